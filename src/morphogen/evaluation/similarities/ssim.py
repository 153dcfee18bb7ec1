"""SSIM, structural similarity of two aligned images.

Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
Similarity" (IEEE TIP 2004):

    l(x, y)  = (2 mu_x mu_y + C1) / (mu_x^2 + mu_y^2 + C1)              luminance
    cs(x, y) = (2 sigma_xy + C2) / (sigma_x^2 + sigma_y^2 + C2)         contrast and structure
    SSIM     = mean of l cs,   C1 = (0.01 L)^2,   C2 = (0.03 L)^2

with local moments under a Gaussian window of 11 x 11 pixels and sigma 1.5, where the window lies wholly
inside the image. L is the declared range: guessed from the images it would change the number. Pixels
enter as they were measured, neither clipped nor rounded. Of an RGB image it is the mean over channels.

The moments are ours and not scikit-image's, because MS-SSIM needs l and cs apart; scikit-image and
torchmetrics are the oracles in the tests.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from morphogen.evaluation.similarities.similarity import Values, partners, refuse_smaller, score_pixels
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap

WINDOW = 11
"""Side of the window, the smallest image, in pixels."""

SIGMA = 1.5
_RADIUS = WINDOW // 2
Map = NDArray[np.floating]
K1, K2 = 0.01, 0.03


def luminance_and_structure(x: Values, y: Values, data_range: float) -> tuple[Values, Values]:
    """The maps l and cs of SSIM.

    Args:
        x: ``(..., height, width)``, at least 11 pixels a side.
        y: of the same shape.
        data_range: L, in the units of the pixels.

    Returns:
        l and cs, each ``(..., height - 10, width - 10)``.
    """
    # A common offset leaves the covariances as they are and keeps 16 bit values from cancelling in them.
    offset = x.mean(axis=(-2, -1), keepdims=True)
    u, v = x - offset, y - offset
    inside = (..., slice(_RADIUS, -_RADIUS), slice(_RADIUS, -_RADIUS))
    offset_x, offset_y = _windowed(u)[inside], _windowed(v)[inside]
    var_x = _windowed(u * u)[inside] - offset_x**2
    var_y = _windowed(v * v)[inside] - offset_y**2
    covariance = _windowed(u * v)[inside] - offset_x * offset_y
    luminance, structure = of_moments((offset_x + offset, var_x), (offset_y + offset, var_y), covariance, data_range)
    return luminance.astype(np.float64, copy=False), structure.astype(np.float64, copy=False)


def of_moments(x: tuple[Map, Map], y: tuple[Map, Map], covariance: Map, data_range: float) -> tuple[Map, Map]:
    """The maps l and cs from local moments.

    Args:
        x: local means and variances of one image.
        y: of the other, of the same shape.
        covariance: local covariances of both.
        data_range: L.
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    (mu_x, var_x), (mu_y, var_y) = x, y
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return luminance, structure


def ssim(x: Values, y: Values, data_range: float) -> Values:
    """SSIM of stacks of images, ``(n, channels, height, width)`` each, to ``(n,)``."""
    luminance, structure = luminance_and_structure(x, y, data_range)
    value: Values = (luminance * structure).mean(axis=(1, 2, 3))
    return value


class Measure:
    """SSIM for images of one size.

    Args:
        size: height and width in pixels, at least 11.

    Raises:
        Problem: the size is smaller.
    """

    name = "SSIM"
    higher_is_more_similar = True
    higher_is_more_diverse = False

    def __init__(self, size: tuple[int, int]) -> None:
        refuse_smaller(size, WINDOW, self.name)
        self._size = size

    def __call__(self, images: ImageSet, intensity: IntensityMap, pairs: Sequence[tuple[int, int]]) -> Values:
        """SSIM of images of one set; see ``Similarity``."""
        return score_pixels(ssim, images, images, pairs, intensity=intensity, size=self._size, name=self.name)

    def between(self, *, measured: ImageSet, generated: ImageSet, intensity: IntensityMap) -> Values:
        """SSIM of paired images; see ``Similarity``."""
        pairs = partners(measured, generated)
        return score_pixels(ssim, measured, generated, pairs, intensity=intensity, size=self._size, name=self.name)


def _windowed(x: Values) -> Values:
    mean: Values = gaussian_filter(x, SIGMA, radius=_RADIUS, axes=(-2, -1))
    return mean
