"""Two-point cluster function: how far the phase is connected, which the two-point correlation does not see.

Torquato, Beasley and Chiew, J. Chem. Phys. 88 (1988) 6540; Torquato, Random Heterogeneous Materials (2002), ch. 2:

    C2(r) = probability that two points at distance r lie in the same connected cluster of the phase,
    C2(0) = phi,     C2 <= S2,     C2 = S2 where the phase is one cluster.

Clusters are those of ``Section.components`` (8 neighbours) and of the field alone: a connection outside the
picture is not seen. Nothing wraps round; pairs, rings and axes are those of the two-point correlation, so that
C2 and S2 of a field can be compared lag by lag.

Cluster length: where C2(r) / phi first falls to 1/e, linear between lags. C2 / phi is the pair connectedness of
percolation theory, the probability that a point at distance r from one of the phase belongs to its cluster, which
decays as exp(-r / xi) with the correlation length xi (Stauffer and Aharony, Introduction to Percolation Theory, 1994,
section 3.3). It does not exist where the phase percolates with more than 1/e of the area in one cluster.

Connectivity at a lag: C2(r) / S2(r), the share of pairs of the phase at that distance that are connected (Western,
Bloeschl and Grayson 2001; Renard and Allard, Adv. Water Resour. 51, 2013). 1 for a phase in one piece.

Counting. The sum over pairs is the sum of the clusters' own. A cluster of many runs of pixels along x is correlated
within its bounding box by FFT. Of the many small ones all pairs of runs are taken at once: the runs [a0, a1) and
[b0, b1), dy rows apart, have T(d) pairs of pixels at dx = d, a trapezoid whose second difference is

    +1 at b0 - a1 + 1,   -1 at b0 - a0 + 1,   -1 at b1 - a1 + 1,   +1 at b1 - a0 + 1,

so that four counts a pair of runs and two running sums at the end are all. Both ways give exact whole numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.descriptors.lineal_path import Runs
from morphogen.evaluation.descriptors.two_point_correlation import (
    BEYOND_REACH,
    DIRECTIONS,
    RADIAL,
    Correlation,
    first_lag_at,
    lags_of,
    pair_sums,
    too_small,
    two_point_correlation,
)
from morphogen.evaluation.section import ONE_PHASE, Section

NAME, LENGTH = "two-point cluster function", "cluster length"
LAG_PX = 16
"""Lag, in pitches, at which the connectivity is read."""
CONNECTIVITY = f"connectivity at {LAG_PX} px"

PAIRS_PER_FFT, PAIRS_PER_POINT = 4000, 0.2
"""Pairs of runs that take as long as an FFT, and as one of its points (measured)."""
PAIRS_AT_ONCE = 1 << 20

_DIRECTIONS = DIRECTIONS[:3]


def two_point_cluster(
    labels: NDArray[np.integer], count: int, pixel: tuple[float, float] = (1.0, 1.0)
) -> Mapping[str, Correlation]:
    """C2 over rings of lags, and along each axis.

    Args:
        labels: ``(height, width)``, the number of the cluster of each pixel, from 1; 0 outside the phase.
        count: how many clusters there are.
        pixel: height and width of a pixel, in any unit; lags come in the same.

    Returns:
        "two-point cluster function" (radial), "... along x" and "... along y".
    """
    lags = lags_of(labels.shape, pixel)
    sums = pair_sums(labels > 0, lags.reach) if count == 1 else _pair_sums(labels, count, lags.reach)
    return {f"{NAME}{direction}": curve for direction, curve in lags.average(sums).items()}


@dataclass(frozen=True, slots=True)
class TwoPointCluster:
    """C2(r) as curves, the lengths at which it falls to 1/e, and the connectivity at one lag."""

    name: str = NAME
    unit: str = ""
    definition: str = "Probability that two points at distance r are in the same connected cluster of the phase."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        pixel, unit = section.pixel, section.unit
        if reason := too_small(section.phase.shape):
            nothing = CurveReading("lag", unit, "", np.empty(0), None, reason)
            return Readings(
                {f"{LENGTH}{end}": Scalar(unit, None, reason) for end in _DIRECTIONS}
                | {CONNECTIVITY: Scalar("", None, reason)},
                {f"{NAME}{end}": nothing for end in _DIRECTIONS},
            )
        found = two_point_cluster(*section.components, pixel)
        scalars = {}
        for end in _DIRECTIONS:
            C2 = found[f"{NAME}{end}"]
            length = first_lag_at(C2.lags, C2.values, C2.fraction / math.e) if section.has_both_phases else None
            beyond = "the clusters reach beyond half of the shorter side"
            reason = "" if length is not None else beyond if section.has_both_phases else ONE_PHASE
            scalars[f"{LENGTH}{end}"] = Scalar(unit, length, reason)
        scalars[CONNECTIVITY] = _connectivity(found[NAME], section)
        return Readings(scalars, {name: CurveReading("lag", unit, "", c.lags, c.values) for name, c in found.items()})


DESCRIPTOR = TwoPointCluster()


def _connectivity(C2: Correlation, section: Section) -> Scalar:
    lag = LAG_PX * min(section.pixel)
    if lag > C2.lags[-1]:
        return Scalar("", None, BEYOND_REACH)
    S2 = two_point_correlation(section.phase, section.pixel)[RADIAL].at(lag)
    if S2 == 0:
        return Scalar("", None, "no two points of the phase are at this distance")
    return Scalar("", C2.at(lag) / S2)


def _pair_sums(labels: NDArray[np.integer], count: int, reach: tuple[int, ...]) -> NDArray[np.floating]:
    """As ``pair_sums``, for pairs of pixels in one cluster."""
    runs = Runs.of(labels > 0)  # clusters touch neither along a row nor across a corner
    cluster = labels[runs.row, runs.start]
    in_cluster = np.bincount(cluster, minlength=count + 1)
    pairs = in_cluster * (in_cluster + 1) // 2
    large = pairs > PAIRS_PER_FFT
    sums = np.zeros((reach[0] + 1, 2 * reach[1] + 1))
    if large.any():
        boxes = ndimage.find_objects(labels)
        for number in np.flatnonzero(large):
            box = boxes[number - 1]
            own = tuple(min(side.stop - side.start - 1, lag) for side, lag in zip(box, reach, strict=True))
            points = math.prod(
                fft.next_fast_len(side.stop - side.start + lag, real=True) for side, lag in zip(box, own, strict=True)
            )
            if pairs[number] < PAIRS_PER_FFT + PAIRS_PER_POINT * points:
                large[number] = False
                continue
            middle = slice(reach[1] - own[1], reach[1] + own[1] + 1)
            sums[: own[0] + 1, middle] += pair_sums(labels[box] == number, own)
    order = np.argsort(cluster, kind="stable")
    order = order[~large[cluster[order]]]
    small = Runs(runs.row[order], runs.start[order], runs.stop[order])
    return sums + _pair_sums_of_runs(small, cluster[order], labels.shape[1], reach)


def _pair_sums_of_runs(
    runs: Runs, cluster: NDArray[np.integer], width: int, reach: tuple[int, ...]
) -> NDArray[np.int64]:
    """As ``pair_sums``, for runs in the order of their clusters and, within one, of their rows."""
    period = 2 * width + 1  # columns: dx + width - 1, from dx = 1 - width to the last bend at width + 1
    bends = np.zeros((reach[0] + 1) * period, dtype=np.int64)
    # Each run pairs with itself and with those that follow in its cluster.
    partners = np.searchsorted(cluster, cluster, side="right") - np.arange(len(cluster))
    ahead = np.concatenate([[0], np.cumsum(partners)])
    at = 0
    while at < len(cluster):
        end = max(at + 1, int(np.searchsorted(ahead, ahead[at] + PAIRS_AT_ONCE, side="right")) - 1)
        a = np.repeat(np.arange(at, end), partners[at:end])
        b = a + np.arange(ahead[at], ahead[end]) - np.repeat(ahead[at:end], partners[at:end])
        rows = runs.row[b] - runs.row[a]
        near = rows <= reach[0]
        a, b = a[near], b[near]
        index = rows[near] * period + width
        for sign, edge in (
            (1, runs.start[b] - runs.stop[a]),
            (-1, runs.start[b] - runs.start[a]),
            (-1, runs.stop[b] - runs.stop[a]),
            (1, runs.stop[b] - runs.start[a]),
        ):
            bends += sign * np.bincount(index + edge, minlength=len(bends))
        at = end
    sums = bends.reshape(-1, period).cumsum(axis=1).cumsum(axis=1)[:, width - 1 - reach[1] : width + reach[1]]
    sums[0, : reach[1]] = sums[0, : reach[1] : -1]  # within a row only the pairs to the right were taken
    return sums
