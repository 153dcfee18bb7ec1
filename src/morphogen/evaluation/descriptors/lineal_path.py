"""Lineal path function: how far one can go straight ahead without leaving the phase.

Lu and Torquato, Phys. Rev. A 45 (1992) 922; Torquato, Random Heterogeneous Materials (2002), ch. 2.

    L(z) = probability that a segment of length z, thrown at random, lies wholly in the phase,
    L(0) = phi,     L(z) <= S2(z) <= phi.

A segment of k pixel pitches covers k + 1 pixels, from the centre of the first to that of the last. Nothing wraps
round: all W - k placements inside each line of W pixels are tried, which is unbiased at every length. They are
counted from the lengths n of the runs of the phase,

    L(k) = sum_runs max(0, n - k) / (lines (W - k)),

so the work does not grow with the number of lengths, and the counts are exact. L is given along x, along y and as
the mean of the two, each direction alike, for segments up to half of the shorter side. Where pixels are not square the
mean is taken at multiples of the smaller side, each direction linear between its lengths.

Lineal path length: where L(z) / phi first falls to 1/e, linear between lengths. In the space between overlapping
discs of radius R, L(z) = phi^(1 + 2 z / (pi R)) falls exponentially, and this is the mean chord length
pi R / (2 ln(1 / phi)). It does not exist where only one phase is present, or where the fall is not complete at half
of the shorter side.

Between pixel centres a segment does not see what is thinner than a pixel: of a disc of radius R it misses
1 / (24 R^2) of the width (R in pixels).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.descriptors.two_point_correlation import DIRECTIONS, first_lag_at, too_small
from morphogen.evaluation.section import ONE_PHASE, Section

NAME = "lineal path"
_CURVES = {f"{NAME}{end}": f"{NAME} length{end}" for end in DIRECTIONS[:3]}  # each curve and its length


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of a phase along x, row by row: pixels ``start`` to ``stop - 1`` of ``row``; all ``(runs,)``."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def of(cls, phase: NDArray[np.bool_]) -> "Runs":
        """The runs of ``(height, width)``; give the transpose for those along y."""
        height, width = phase.shape
        framed = np.zeros((height, width + 1), dtype=bool)  # one pixel between the end of a row and the next
        framed[:, :width] = phase
        flat = framed.ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        if flat[0]:
            changes = np.append(0, changes)
        row, start = np.divmod(changes[::2], width + 1)
        return cls(row, start, start + changes[1::2] - changes[::2])

    @property
    def length(self) -> NDArray[np.int64]:
        """Pixels of each run."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, eq=False)
class LinealPath:
    """L at increasing lengths of the segment; ``lengths`` and ``values`` are ``(k,)``, and the first length is 0."""

    lengths: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def decay(self) -> float | None:
        """First length at which L / phi is down to 1/e; None where that is further out, or without the phase."""
        return first_lag_at(self.lengths, self.values, self.values[0] / math.e) if self.values[0] > 0 else None


def lineal_path(phase: NDArray[np.bool_], pixel: tuple[float, float] = (1.0, 1.0)) -> Mapping[str, LinealPath]:
    """L(z) along x, along y, and their mean.

    Args:
        phase: ``(height, width)``, at least 2 x 2.
        pixel: height and width of a pixel, in any unit; lengths come in the same.

    Returns:
        "lineal path" (the mean), "... along x" and "... along y".
    """
    farthest = min(n * side for n, side in zip(phase.shape, pixel, strict=True)) / 2
    along_x, along_y = _along(phase, pixel[1], farthest), _along(phase.T, pixel[0], farthest)
    lengths = min(along_x, along_y, key=lambda path: path.lengths[1]).lengths
    lengths = lengths[lengths <= min(along_x.lengths[-1], along_y.lengths[-1])]
    at_x, at_y = (np.interp(lengths, path.lengths, path.values) for path in (along_x, along_y))
    return dict(zip(_CURVES, (LinealPath(lengths, (at_x + at_y) / 2), along_x, along_y), strict=True))


@dataclass(frozen=True, slots=True)
class LinealPathFunction:
    """L(z) as curves, and the lengths at which it falls to 1/e."""

    name: str = NAME
    unit: str = ""
    definition: str = "Probability that a segment of length z lies wholly in the phase."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit = section.unit
        if reason := too_small(section.phase.shape):
            nothing = CurveReading("length", unit, "", np.empty(0), None, reason)
            return Readings(
                {name: Scalar(unit, None, reason) for name in _CURVES.values()}, dict.fromkeys(_CURVES, nothing)
            )
        found = lineal_path(section.phase, section.pixel)
        scalars = {}
        for name, path in found.items():
            length = path.decay if section.has_both_phases else None
            beyond = "straight paths reach beyond half of the shorter side"
            reason = "" if length is not None else beyond if section.has_both_phases else ONE_PHASE
            scalars[_CURVES[name]] = Scalar(unit, length, reason)
        return Readings(
            scalars, {name: CurveReading("length", unit, "", c.lengths, c.values) for name, c in found.items()}
        )


DESCRIPTOR = LinealPathFunction()


def _along(phase: NDArray[np.bool_], side: float, farthest: float) -> LinealPath:
    lines, width = phase.shape
    runs = np.bincount(Runs.of(phase).length, minlength=width + 1)  # how many there are of each length
    # sum_n runs(n) max(0, n - k): two sums from the long end.
    at_least = runs[::-1].cumsum()[::-1]
    inside = at_least[1:][::-1].cumsum()[::-1]
    k = np.arange(max(1, min(width - 1, math.floor(farthest / side + 1e-9))) + 1)
    return LinealPath(k * side, inside[k] / (lines * (width - k)))
