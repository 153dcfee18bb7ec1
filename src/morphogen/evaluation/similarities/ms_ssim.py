"""MS-SSIM, structural similarity over several scales.

Wang, Simoncelli and Bovik, "Multi-Scale Structural Similarity for Image Quality Assessment" (Asilomar
2003). Scale j is the image after j - 1 means over 2 x 2 pixels;

    MS-SSIM = mean(l_M cs_M)^w_M  prod over j < M of mean(cs_j)^w_j

with the paper's weights w for M = 5 scales. Five scales need 176 pixels a side (the window of 11 pixels
at the coarsest scale). Smaller images get as many scales as they have room for, with the first weights
divided by their sum; the number of scales is part of the name, because values with different numbers of
scales are not comparable. A negative mean, for which the power is not defined, counts as 0.
"""

from collections.abc import Sequence

import numpy as np

from morphogen.evaluation.similarities.similarity import Values, partners, refuse_smaller, score_pixels
from morphogen.evaluation.similarities.ssim import WINDOW, luminance_and_structure
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def scales_for(size: tuple[int, int]) -> int:
    """How many scales, 1 to 5, images of that height and width have room for."""
    return min(len(_WEIGHTS), (min(size) // WINDOW).bit_length())


def ms_ssim(x: Values, y: Values, data_range: float, scales: int) -> Values:
    """MS-SSIM of stacks of images, ``(n, channels, height, width)`` each, to ``(n,)``."""
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    product = np.ones(x.shape[:2])
    for scale, weight in enumerate(weights, start=1):
        luminance, structure = luminance_and_structure(x, y, data_range)
        if scale == scales:
            structure = luminance * structure
        product *= np.maximum(structure.mean(axis=(2, 3)), 0.0) ** weight
        x, y = _halved(x), _halved(y)
    value: Values = product.mean(axis=1)
    return value


class Measure:
    """MS-SSIM for images of one size.

    Args:
        size: height and width in pixels, at least 11; 22, 44, 88 and 176 give a scale more each.

    Raises:
        Problem: the size is smaller.
    """

    higher_is_more_similar = True
    higher_is_more_diverse = False

    def __init__(self, size: tuple[int, int]) -> None:
        refuse_smaller(size, WINDOW, "MS-SSIM")
        self._size = size
        self._scales = scales_for(size)
        self.name = f"MS-SSIM ({self._scales} scale{'s' if self._scales > 1 else ''})"

    def __call__(self, images: ImageSet, intensity: IntensityMap, pairs: Sequence[tuple[int, int]]) -> Values:
        """MS-SSIM of images of one set; see ``Similarity``."""
        return score_pixels(self._score, images, images, pairs, intensity=intensity, size=self._size, name=self.name)

    def between(self, *, measured: ImageSet, generated: ImageSet, intensity: IntensityMap) -> Values:
        """MS-SSIM of paired images; see ``Similarity``."""
        pairs = partners(measured, generated)
        return score_pixels(
            self._score, measured, generated, pairs, intensity=intensity, size=self._size, name=self.name
        )

    def _score(self, x: Values, y: Values, data_range: float) -> Values:
        return ms_ssim(x, y, data_range, self._scales)


def _halved(x: Values) -> Values:
    """Means over 2 x 2 pixels; an odd last row or column is left out."""
    height, width = x.shape[-2] // 2, x.shape[-1] // 2
    blocks = x[..., : 2 * height, : 2 * width].reshape(*x.shape[:-2], height, 2, width, 2)
    mean: Values = blocks.mean(axis=(-3, -1))
    return mean
