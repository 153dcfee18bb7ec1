"""Masks that come with the images ("masks"): drawn by hand, exact, or generated together with the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture
from morphogen.problems import Problem


@dataclass(frozen=True, slots=True)
class GivenMasks:
    """The mask of each picture."""

    words: str = "of the masks that came with the images"

    def phase(self, picture: Picture) -> NDArray[np.bool_]:
        """True where the phase of interest is, ``(height, width)``.

        Raises:
            Problem: the picture has no mask.
        """
        if picture.mask is None:
            raise Problem(
                f"{picture.origin.source or picture.origin.specimen} has no mask",
                do="put one of its name into a folder masks/ beside images/, or choose another segmentation",
            )
        return picture.mask


def fit(measured: ImageSet, phase_is: PhaseIs, argument: str) -> GivenMasks:
    """See ``fit_segmentation``; takes no argument.

    Raises:
        Problem: an argument, or a measured image without a mask.
    """
    if argument:
        raise Problem(f"'masks={argument}': masks take no argument", do="say 'masks'")
    given = GivenMasks()
    for picture in measured:
        given.phase(picture)
    return given
