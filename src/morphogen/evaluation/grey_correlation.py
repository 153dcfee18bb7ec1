"""How far grey levels are alike: within an image, and from slice to slice of a volume.

Within an image, with the grey levels g less their mean over the window,

    chi(r) = C(r) / (C(0) - s^2),    C(r) = < g(x) g(x + r) >,

over all pairs of pixels inside (nothing wraps round), averaged over rings of lags as S2 is. s^2 is the variance of the
pixel noise (``noise_and_sharpness``): noise is alike to nothing, and would make every length too short. The correlation
length is where chi first comes down to 1/e, and the integral range its integral over the plane; both are read as
those of a phase are (``two_point_correlation``). A field of area V holds about V / A independent pieces. Noise that
is not white (a reconstruction's, a JPEG's) counts as structure. A slow change of lighting makes both too long.

Between slices, rho(k) is the correlation coefficient of two slices k apart, with s^2 taken from both variances. A stack
of n slices holds

    n / (1 + 2 sum_k rho(k))

independent ones, summed up to the first k where rho is below ``UNLIKE``: what the variance of a mean over the stack
knows of its length (Sokal 1989).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from morphogen.evaluation.descriptors.noise_and_sharpness import noise_level
from morphogen.evaluation.descriptors.two_point_correlation import Correlation, lags_of

UNLIKE = 0.1
"""Correlation below which two slices count as independent."""

SMALLEST_WINDOW = 16
"""Pixels a side."""

MOST_NOISE = 0.9
"""Share of the variance that may be noise; with more, nothing is left to be told."""


@dataclass(frozen=True, slots=True, eq=False)
class GreyCorrelation(Correlation):
    """chi at increasing lags, both ``(k,)``; 1 at lag 0."""

    @property
    def autocovariance(self) -> NDArray[np.float64]:
        """Chi itself."""
        return self.values


def grey_correlation(grey: NDArray[np.float64], pixel: tuple[float, float] = (1.0, 1.0)) -> GreyCorrelation | None:
    """Chi of one window.

    Args:
        grey: ``(height, width)``, at least ``SMALLEST_WINDOW`` a side.
        pixel: height and width of a pixel; lags come in the same unit.

    Returns:
        None where the window is constant or nearly all of its variance is noise.
    """
    centred = grey - grey.mean()
    variance = float(np.mean(centred**2))
    noise = noise_level(grey) ** 2
    if variance <= 0 or noise > MOST_NOISE * variance:
        return None
    lags = lags_of((grey.shape[0], grey.shape[1]), pixel)
    down, right = lags.reach
    padded = [fft.next_fast_len(n + lag, real=True) for n, lag in zip(grey.shape, lags.reach, strict=True)]
    power = np.abs(fft.rfft2(centred, padded)) ** 2
    sums = fft.irfft2(power, padded)
    # Lags 0 ... down, and -right ... right, as ``Lags`` has them.
    sums = np.concatenate([sums[: down + 1, -right:], sums[: down + 1, : right + 1]], axis=1)
    radial = lags.average(sums)[""]
    chi = radial.values / (variance - noise)
    return GreyCorrelation(radial.lags, np.concatenate([[1.0], np.minimum(chi[1:], 1.0)]))


def mean_correlation(found: Sequence[Correlation]) -> GreyCorrelation:
    """The mean over windows of one size of their normalised autocovariances."""
    return GreyCorrelation(found[0].lags, np.mean([c.autocovariance for c in found], axis=0))


def correlation_of_slices(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Correlation coefficient of two slices of one size, without their noise; None where one shows nothing."""
    a, b = one - one.mean(), other - other.mean()
    variances = [float(np.mean(s**2)) - noise_level(s) ** 2 for s in (a, b)]
    if min(variances) <= (1 - MOST_NOISE) * float(max(np.mean(a**2), np.mean(b**2))):
        return None
    return min(1.0, float(np.mean(a * b)) / math.sqrt(variances[0] * variances[1]))


def alike_slices(apart: Sequence[int], rho: Sequence[float]) -> float:
    """How many slices of a stack stand for one: 1 + 2 sum_k rho(k), with rho linear between the distances given.

    Args:
        apart: distances, ascending, from 1 on.
        rho: the correlation at each.
    """
    k = np.arange(1, apart[-1] + 1)
    between = np.interp(k, apart, rho)
    below = np.flatnonzero(between < UNLIKE)
    end = int(below[0]) if len(below) else len(k)
    return 1 + 2 * float(np.maximum(between[:end], 0).sum())
