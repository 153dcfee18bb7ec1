"""What a descriptor reads: a picture whose phase of interest has been told apart from the rest.

In stereology a planar image of a body is a section through it. What several descriptors need of one section is
computed once, when it is first asked for.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import thin

from morphogen.evaluation.segmentation.segmentation import Segmentation
from morphogen.images.picture import Picture

IN_COLOUR = "the image is in colour and has no single grey level; read it as grey"
"""Why a descriptor of grey levels says nothing about a colour image."""

ONE_PHASE = "only one phase is present"
"""Why a descriptor of the phase says nothing about a field without it, or with nothing else."""


@dataclass(frozen=True, eq=False)
class Section:
    """A picture and its phase.

    Attributes:
        picture: the image with its pixel size.
        phase: ``(height, width)``, true in the phase of interest.
    """

    picture: Picture
    phase: NDArray[np.bool_]

    @classmethod
    def of(cls, picture: Picture, segmentation: Segmentation) -> "Section":
        """Segment a picture."""
        return cls(picture, segmentation.phase(picture))

    @cached_property
    def pixel(self) -> tuple[float, float]:
        """Height and width of a pixel in ``unit``."""
        return self.picture.spacing_um if self.unit == "µm" else (1.0, 1.0)

    @cached_property
    def unit(self) -> str:
        """Unit of length: "µm" where the pixel size is known, else "px"."""
        return "µm" if all(math.isfinite(s) for s in self.picture.spacing_um) else "px"

    @cached_property
    def fraction(self) -> float:
        """Share of the pixels that are in the phase."""
        return float(self.phase.mean())

    @property
    def has_both_phases(self) -> bool:
        """Whether there are pixels of the phase and others."""
        return 0.0 < self.fraction < 1.0

    @cached_property
    def grey(self) -> NDArray[np.float64] | None:
        """Grey levels ``(height, width)`` on the scale of the instrument; None for a colour image."""
        return self.picture.grey if self.picture.channels == 1 else None

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """Distance from the centre of each pixel of the phase to that of the nearest other one, in ``unit``; 0 outside.

        Beyond the edge of the picture nothing is known, and nothing is assumed.
        """
        found: NDArray[np.float64] = ndimage.distance_transform_edt(self.phase, sampling=self.pixel)
        return found

    @cached_property
    def components(self) -> tuple[NDArray[np.int32], int]:
        """Connected parts of the phase (8 neighbours): ``(height, width)`` numbers from 1, 0 outside; and how many."""
        labels, count = ndimage.label(self.phase, structure=np.ones((3, 3)))
        return labels, int(count)

    @cached_property
    def skeleton(self) -> NDArray[np.bool_]:
        """The phase thinned to lines one pixel wide, ``(height, width)``.

        Guo and Hall (1989), since the thinning of Zhang and Suen loses diagonal lines an even number of pixels wide.
        """
        found: NDArray[np.bool_] = thin(self.phase)
        return found
