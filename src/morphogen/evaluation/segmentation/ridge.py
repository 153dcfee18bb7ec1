"""Ridge filter ("ridge"): for fibers and roots on an uneven background.

Sato et al., Medical Image Analysis 2 (1998) 143, through scikit-image. At each scale s the luminance is filtered with
second derivatives of a Gaussian; where it is bent across a bright (or dark) tube the greater curvature c gives

    R = max over s of  s^2 max(c, 0),

which a slope of the background leaves at 0. A tube of width w answers most at s = w/2. So the argument, widths in
pixels as in "ridge=2-8" (which is also the default), gives scales from half of the smaller to half of the greater
one, a factor sqrt(2) apart at most; pixels and not micrometres, since a filter has a size on the grid. Otsu's
threshold on the pooled responses of the measured images, in grey levels, tells ridges from the rest; it is fixed with
the scales.

Outlines follow the filter, not the grey level: thin ridges come out about a pixel too wide, structures beyond the
widest scale answer at their edges only, and ends and crossings are frayed. On an even background a plain threshold is
better. Bright grains and edges answer too: roots that are no brighter than the soil around them, as behind the window
of a minirhizotron, cannot be told by any of these filters; give masks.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import sato, threshold_otsu

from morphogen.evaluation.segmentation.segmentation import PhaseIs
from morphogen.evaluation.segmentation.threshold import BINS
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import Picture
from morphogen.problems import Problem

WIDTHS = "2-8"
WIDEST = 200.0


@dataclass(frozen=True, slots=True)
class Ridges:
    """Pixels with a ridge response above a threshold.

    Attributes:
        widths: smallest and greatest width in pixels.
        value: response above which a pixel is of the phase, in grey levels.
        phase_is: whether ridges are dark or bright.
    """

    widths: tuple[float, float]
    value: float
    phase_is: PhaseIs

    @property
    def words(self) -> str:
        """See ``Segmentation``."""
        low, high = self.widths
        return (
            f"on {self.phase_is} ridges {low:g} to {high:g} pixels wide (Sato filter, response above"
            f" {self.value:.6g}, Otsu)"
        )

    def phase(self, picture: Picture) -> NDArray[np.bool_]:
        """True where the phase of interest is, ``(height, width)``."""
        found: NDArray[np.bool_] = ridge_response(picture, self.widths, self.phase_is) > self.value
        return found


def ridge_response(picture: Picture, widths: tuple[float, float], phase_is: PhaseIs) -> NDArray[np.float64]:
    """R, ``(height, width)``, 0 and above, in grey levels.

    Args:
        picture: colour is read as luminance.
        widths: smallest and greatest width of the ridges in pixels.
        phase_is: whether they are dark or bright.
    """
    low, high = widths
    steps = math.ceil(2 * math.log2(high / low) - 1e-9) + 1
    scales = np.geomspace(low / 2, high / 2, steps) if steps > 1 else np.array([low / 2])
    response: NDArray[np.float64] = sato(picture.grey, sigmas=scales, black_ridges=phase_is == "dark")
    return response


def fit(measured: ImageSet, phase_is: PhaseIs, argument: str) -> Ridges:
    """See ``fit_segmentation``; the argument is "WIDTH" or "SMALLEST-GREATEST", in pixels.

    Raises:
        Problem: no widths, pixels that are not numbers, or images without any ridge.
    """
    widths = _parsed(argument or WIDTHS)
    if not all(np.isfinite(picture.grey).all() for picture in measured):
        raise Problem("some pixels are not numbers", do="leave those images out or mend them")
    responses = np.concatenate([ridge_response(picture, widths, phase_is).ravel() for picture in measured])
    if responses.max() <= 0:
        raise Problem(f"the measured images show no {phase_is} ridges", do="choose another segmentation")
    return Ridges(widths, float(threshold_otsu(responses, nbins=BINS)), phase_is)


def _parsed(argument: str) -> tuple[float, float]:
    first, dash, second = argument.partition("-")
    try:
        low = float(first)
        high = float(second) if dash else low
    except ValueError:
        low = high = 0.0
    if not 1 <= low <= high <= WIDEST:
        raise Problem(
            f"'ridge={argument}' names no widths", do=f"give pixels from 1 to {WIDEST:g}, as 'ridge={WIDTHS}'"
        )
    return low, high
