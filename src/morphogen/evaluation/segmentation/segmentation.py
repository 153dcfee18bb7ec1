"""The contract of a segmentation: which pixels belong to the phase of interest.

A segmentation is fitted once, on the measured images, and then applied to every set alike: one that were fitted
anew for each generated set would let it choose its own scale and so hide a wrong contrast or a wrong amount of
the phase. It is a value with a description in words, which goes into every record.

Each file beside this one holds ``fit(measured, phase_is, argument)``, which gives a ``Segmentation``. A person
names one as "NAME" or "NAME=ARGUMENT": "otsu", "level=112".
"""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.catalogue import Catalogue
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture

PhaseIs = Literal["dark", "bright"]

SEGMENTATIONS = Catalogue("morphogen.evaluation.segmentation", "segmentation", frozenset({"segmentation", "threshold"}))


class Segmentation(Protocol):
    """Tells the phase of interest from the rest. Its ``repr`` holds every parameter: equal text, equal masks."""

    @property
    def words(self) -> str:
        """What it does, in words that complete "pixels ...": "up to the grey level 112 (Otsu)"."""

    def phase(self, picture: Picture) -> NDArray[np.bool_]:
        """True where the phase of interest is, ``(height, width)``.

        Raises:
            Problem: the picture lacks what it needs, such as a mask.
        """


def segmentation_names() -> list[str]:
    """The ways that are known: the files of this folder."""
    return SEGMENTATIONS.names()


def fit_segmentation(called: str, measured: ImageSet, phase_is: PhaseIs) -> Segmentation:
    """Fit a segmentation to the measured images.

    Args:
        called: "NAME" or "NAME=ARGUMENT".
        measured: the measured images.
        phase_is: whether the phase of interest is the dark or the bright one.

    Raises:
        Problem: there is none of that name, an argument that it does not understand, or images that it cannot
            tell phases in.
    """
    name, _, argument = called.partition("=")
    found: Segmentation = SEGMENTATIONS.module(name.strip()).fit(measured, phase_is, argument.strip())
    return found
