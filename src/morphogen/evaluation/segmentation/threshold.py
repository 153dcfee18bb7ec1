"""One grey level that tells two phases apart, found once on the measured images.

Otsu, IEEE Trans. SMC 9 (1979), over the pooled histogram of the measured set. The same grey level is then
applied to every set.

Where no measured pixel lies between the two phases, all levels of the gap are equally good to Otsu. The
middle of the gap is taken, not its lower end, so that other sets may scatter as far on either side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture
from morphogen.problems import Problem

BINS = 4096  # of the histogram of luminances and of floats; integers have one bin a grey level


@dataclass(frozen=True, slots=True)
class Threshold:
    """A grey level that separates two phases.

    Attributes:
        value: grey level in the units of the pixels; up to it dark, above it bright.
        phase_is: whether the phase of interest is the dark or the bright one.
        found_by: how it was found, as it follows in a sentence, " (Otsu)".
    """

    value: float
    phase_is: PhaseIs
    found_by: str = ""

    @property
    def words(self) -> str:
        """See ``Segmentation``."""
        return f"{'up to' if self.phase_is == 'dark' else 'above'} the grey level {self.value:.6g}{self.found_by}"

    def phase(self, picture: Picture) -> NDArray[np.bool_]:
        """True where the phase of interest is, ``(height, width)``."""
        bright: NDArray[np.bool_] = picture.grey > self.value
        return bright if self.phase_is == "bright" else ~bright

    @classmethod
    def otsu(cls, images: ImageSet, phase_is: PhaseIs) -> "Threshold":
        """The threshold of greatest variance between the two phases, over all pixels of the set.

        Args:
            images: the measured images.
            phase_is: whether the phase of interest is dark or bright.

        Raises:
            Problem: all pixels are equal, or some are not numbers.
        """
        ends = np.array([(picture.grey.min(), picture.grey.max()) for picture in images])
        lowest, highest = float(ends.min()), float(ends.max())
        if not np.isfinite(ends).all():
            raise Problem("some pixels are not numbers", do="leave those images out or mend them")
        if highest <= lowest:
            raise Problem(
                f"all pixels have the grey level {lowest:g}, so there is no phase to tell",
                do="give images that show both phases",
            )
        first = images[0]
        one_bin_a_level = first.channels < 3 and np.issubdtype(first.pixels.dtype, np.integer)
        edges = np.arange(lowest, highest + 2) - 0.5 if one_bin_a_level else np.linspace(lowest, highest, BINS + 1)
        counts = np.sum([np.histogram(picture.grey, edges)[0] for picture in images], axis=0)
        centres = (edges[:-1] + edges[1:]) / 2
        dark = centres <= threshold_otsu(hist=(counts, centres))
        brightest_dark, darkest_bright = (
            centres[dark & (counts > 0)].max(),
            centres[~dark & (counts > 0)].min(),
        )
        return cls(float(brightest_dark + darkest_bright) / 2, phase_is, " (Otsu)")
