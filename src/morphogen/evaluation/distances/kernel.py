"""Kernel distance between two sets of features: the unbiased squared maximum mean discrepancy.

Binkowski et al., Demystifying MMD GANs, ICLR 2018; Gretton et al., JMLR 13 (2012):

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    over features of a network, of length d:    k(x, y) = (x.y/d + 1)^3                      the cubic kernel of KID
    over descriptors, standardised:             k(x, y) = 1 / (1 + |x - y|^2 / m)            a rational quadratic one

with m the median of |x_i - x_j|^2 over measured pairs, which the replicates keep. A dozen descriptors are no hundreds
of features: single fields lie many standard deviations out (a kurtosis, say), and the cube of a product lets the few
farthest pairs decide. A DCGAN on a carbonate whose images all had one porosity scored 1.1 [0.8, 1.5] by the cubic
kernel, and a set with the measured means and spreads 0.6 [0.1, 1.5]; by the bounded one 0.19 [0.15, 0.22] and 0.015
[0.008, 0.026]. The cubic kernel compares three moments; the rational quadratic one tells any two distributions apart.

All pairs are used, in one block: the customary mean over random subsets of 1000 estimates the same number
with more noise. No factor (1000 or 100) is applied. Called "KID" only over Inception-v3 pool features.

It is unbiased: where both sets come from one distribution it scatters about zero and is as often
negative. A set compared with itself gives a slightly negative number, not zero, because each image then
has its twin in the other set.

Interval: a weighted bootstrap. A pair has the weight w_i w_j; pairs of a row with itself, and pairs across
two copies of the same specimen, have none. Without that, copies count as similarity within a set and raise
every replicate. Where the two sets agree, MMD^2 is a degenerate U-statistic and this interval
is too wide by a factor of up to sqrt(3): on the safe side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.distances.set_distance import Metric
from morphogen.evaluation.feature_table import FeatureTable, comparable
from morphogen.evaluation.intervals import Replicates, resampling_weights, units
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate

ROWS = 1024  # rows of the kernel matrix that are held at a time


@dataclass(frozen=True, slots=True)
class Kernel:
    """The unbiased squared MMD as a set distance."""

    metrics: tuple[Metric, ...] = (Metric("kernel distance", higher_is_better=False),)

    def __call__(
        self, *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
    ) -> tuple[Replicates, ...]:
        """See ``SetDistance``."""
        X, Y = comparable(measured=measured, generated=generated)
        k = partial(rational_quadratic_kernel, scale=_median_square(X)) if measured.units_differ else cubic_kernel
        # The first row of weights is the sample itself, the others are its replicates.
        w = _with_sample(resampling_weights(measured.groups, resamples, seed, Use.WEIGHTS_OF_MEASURED))
        v = _with_sample(resampling_weights(generated.groups, resamples, seed, Use.WEIGHTS_OF_COMPARED))
        results = (
            _mean_within(X, units(measured.groups), w, k)
            + _mean_within(Y, units(generated.groups), v, k)
            - 2 * _mean_between(X, Y, w, v, k)
        )
        return (Replicates.around(results[0], results[1:], len(X), len(Y)),)


DISTANCE = Kernel()

Values = NDArray[np.float64]


def kernel_distance(
    *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
) -> Estimate:
    """Unbiased MMD^2 with its 95 % interval; may be negative where the two sets agree."""
    (result,) = DISTANCE(measured=measured, generated=generated, seed=seed, resamples=resamples)
    return result.estimate


def cubic_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """k(x, y) = (x.y/d + 1)^3 for all pairs of rows, ``(n, m)``."""
    inner: NDArray[np.float64] = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


def rational_quadratic_kernel(x: Values, y: Values, scale: float) -> Values:
    """k(x, y) = 1 / (1 + |x - y|^2 / scale) for all pairs of rows, ``(n, m)``."""
    squares = _squares(x, y)
    squares /= scale
    squares += 1
    return np.reciprocal(squares, out=squares)


def _squares(x: Values, y: Values) -> Values:
    """|x - y|^2 for all pairs of rows, ``(n, m)``."""
    squares: Values = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
    return np.maximum(squares, 0, out=squares)  # rounding


def _median_square(x: Values) -> float:
    """Median of |x_i - x_j|^2 over pairs of the first ``ROWS`` rows; 1 where all rows are equal."""
    x = x[:ROWS]
    squares = _squares(x, x)
    return float(np.median(squares[np.triu_indices(len(x), 1)])) or 1.0 if len(x) > 1 else 1.0


def _with_sample(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.ones((1, weights.shape[1])), weights])


def _mean_within(
    x: Values, unit_of_row: NDArray[np.intp], w: Values, kernel: Callable[[Values, Values], Values]
) -> Values:
    """Weighted mean of k over the admitted pairs of one set, for each row of weights ``w`` (r, n).

    Two rows of different units have the weight w_i w_j. Two different rows of one unit, whose common
    weight w counts its copies, meet once within each copy: w, not w^2.
    """
    n = len(x)
    total = np.zeros(len(w))
    same = np.empty(n)  # sum of k over the other rows of the same unit
    for block in _blocks(n):
        k = kernel(x[block], x)
        k[np.arange(len(k)), np.arange(n)[block]] = 0  # no row meets itself
        total += np.einsum("ri,ri->r", w[:, block], w @ k.T)
        same[block] = (k * (unit_of_row[block, None] == unit_of_row)).sum(axis=1)
    mates = np.bincount(unit_of_row)[unit_of_row] - 1
    copies = w**2 - w
    pairs = w.sum(axis=1) ** 2 - (w**2).sum(axis=1) - copies @ mates
    result: NDArray[np.float64] = (total - copies @ same) / pairs
    return result


def _mean_between(x: Values, y: Values, w: Values, v: Values, kernel: Callable[[Values, Values], Values]) -> Values:
    """Weighted mean of k over all pairs of one row of each set."""
    total = np.zeros(len(w))
    for block in _blocks(len(x)):
        total += np.einsum("ri,ri->r", w[:, block], v @ kernel(x[block], y).T)
    result: NDArray[np.float64] = total / (w.sum(axis=1) * v.sum(axis=1))
    return result


def _blocks(count: int) -> Sequence[slice]:
    return [slice(start, min(start + ROWS, count)) for start in range(0, count, ROWS)]
