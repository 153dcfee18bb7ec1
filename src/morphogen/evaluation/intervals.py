"""95 % intervals by the bootstrap, over specimens where there are enough of them, else over fields.

Efron and Tibshirani, An Introduction to the Bootstrap (1993). A replicate gives each unit a weight, the
number of times that it was drawn, w ~ Multinomial(units, 1/units); all fields of one specimen share its
weight, because they are not independent. A statistic is evaluated on weights rather than on copied
rows: copies would be their own nearest neighbours and would enter a U-statistic as perfectly similar
pairs, which biases kernel, Frechet and neighbour statistics upwards.

The replicates only tell the spread. They are shifted so that their mean is the estimate itself, and the
interval runs between their 2.5 % and 97.5 % quantiles, clipped to the values that the statistic can take. Where all
replicates agree although the statistic is not known for certain (a share of exactly 0 or 1), a statistic says itself
how far its interval reaches at least.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from morphogen.evaluation.records import Estimate
from morphogen.mathematics.randomness import numpy_generator

SPECIMENS_NEEDED = 6
"""With fewer specimens a bootstrap over them has too few distinct draws to give an interval."""

Unit = Literal["specimen", "field"]


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """An estimate with its bootstrap replicates.

    Attributes:
        value: the estimate from the whole sample.
        draws: ``(resamples,)`` replicates, shifted to have the mean ``value``.
        n_measured: size of the measured sample.
        n_generated: size of the other sample.
        limits: smallest and largest value that the statistic can take.
        reaches: what lies in the interval whatever the replicates say, from the first to the second; by default
            nothing does.
    """

    value: float
    draws: NDArray[np.float64]
    n_measured: int
    n_generated: int
    limits: tuple[float, float] = (-math.inf, math.inf)
    reaches: tuple[float, float] = (math.inf, -math.inf)

    @classmethod
    def around(
        cls,
        value: float,
        draws: NDArray[np.float64],
        n_measured: int,
        n_generated: int,
        limits: tuple[float, float] = (-math.inf, math.inf),
    ) -> "Replicates":
        """Replicates of a statistic, shifted so that their mean is the estimate."""
        return cls(float(value), draws - draws.mean() + value, n_measured, n_generated, limits)

    @property
    def estimate(self) -> Estimate:
        """The value with its 95 % interval."""
        low, high = np.clip(interval(self.value, self.draws), *self.limits)
        return Estimate(
            value=self.value,
            low=min(float(low), self.reaches[0]),
            high=max(float(high), self.reaches[1]),
            n_measured=self.n_measured,
            n_generated=self.n_generated,
        )

    @property
    def size(self) -> float:
        """Root mean square of the replicates: the value where it is resolved, its noise where it is not."""
        return float(np.sqrt(np.mean(self.draws**2)))


def interval(
    value: float | NDArray[np.float64], draws: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the 95 % interval, from replicates ``(resamples, ...)`` about a value ``(...)``.

    The value is always inside, also where replicates that should all be equal to it differ by rounding.
    """
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    return np.minimum(low, value), np.maximum(high, value)


def clopper_pearson_of_none(count: int) -> float:
    """Upper end of the exact 95 % interval of a share, where none of ``count`` independent draws was a hit.

    A share as large as this gives no hit in 2.5 % of cases. One minus it is the lower end where all were.
    """
    return 1 - math.pow(0.025, 1 / count)


def ratio_to_floor(value: float, floor: Replicates, *, higher_is_better: bool) -> float:
    """How far a set is, in units of how far two measured sets are from each other.

    A distance is divided by the size of the floor, sqrt(mean(d^2)) over its replicates d. This is always
    positive, also where an unbiased kernel floor happens to be below zero: it is the floor where that is
    well resolved and the noise of the floor where it is not. A share (precision, recall) is divided by
    the floor itself.

    Args:
        value: the score of the set.
        floor: the same metric between measured and measured, at the same two sample sizes.
        higher_is_better: true for a share, false for a distance.

    Returns:
        About 1 or below for a distance, about 1 for a share, where the set cannot be told from the
        measured ones. NaN where the floor is exactly zero and nothing can be said.
    """
    scale = floor.value if higher_is_better else floor.size
    return value / scale if scale > 0 else math.nan


def unit(groups: Sequence[str]) -> Unit:
    """What is resampled: specimens where there are at least ``SPECIMENS_NEEDED``, else fields."""
    return "specimen" if len(set(groups)) >= SPECIMENS_NEEDED else "field"


def units(groups: Sequence[str]) -> NDArray[np.intp]:
    """``(n,)`` running number of the resampling unit of each row."""
    if unit(groups) == "field":
        return np.arange(len(groups))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] for name in groups])


def resampling_weights(groups: Sequence[str], resamples: int, *key: int) -> NDArray[np.float64]:
    """How often each row is drawn in each replicate.

    Args:
        groups: specimen of each of ``n`` rows, two units or more.
        resamples: how many replicates.
        key: non-negative integers; equal keys give equal draws.

    Returns:
        ``(resamples, n)``. At least two different units are in each replicate (a statistic of pairs
        needs two), which matters only for the smallest samples.
    """
    unit_of_row = units(groups)
    count = int(unit_of_row.max()) + 1
    generator = numpy_generator(*key)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    while (lonely := (weights > 0).sum(axis=1) < 2).any() and count > 1:
        weights[lonely] = generator.multinomial(count, np.full(count, 1 / count), size=int(lonely.sum()))
    return weights[:, unit_of_row].astype(np.float64)


def mean_replicates(
    values: NDArray[np.float64], groups: Sequence[str], resamples: int, *key: int
) -> NDArray[np.float64]:
    """Bootstrap replicates of the mean over the rows of ``values``.

    The plain bootstrap's variance of a mean is too small by (units - 1)/units, and its quantiles are those of a normal
    distribution where Student's t would be right; the deviations are stretched by both (Hesterberg, The American
    Statistician 69, 371, 2015), which matters for half a dozen specimens.

    Args:
        values: ``(n, ...)``, one row a field.
        groups: specimen of each row.
        resamples: how many replicates.
        key: non-negative integers that name the random stream.

    Returns:
        ``(resamples, ...)``, with the mean ``values.mean(axis=0)``.
    """
    weights = resampling_weights(groups, resamples, *key)
    draws = np.tensordot(weights / weights.sum(axis=1, keepdims=True), values, axes=1)
    count = int(units(groups).max()) + 1
    by = math.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)
    stretched: NDArray[np.float64] = (draws - draws.mean(axis=0)) * by
    stretched += values.mean(axis=0)
    return stretched
