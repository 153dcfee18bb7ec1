"""Local thickness of the phase: pore sizes of a rock, where the phase is its pores.

Hildebrand and Ruegsegger, Journal of Microscopy 185 (1997) 67. At each point p of the phase the diameter of the largest
disc that contains p and lies in the phase,

    t(p) = 2 max { D(c) : |p - c| < D(c) },

D(c) the distance from the pixel c to the nearest one that is not in the phase. Mean, median and distribution weigh
each pixel alike: they are shares of area.

Computed exactly, by painting discs in the order of their radius. Only discs that no disc about a neighbouring pixel
contains are painted (Remy and Thiel, Image and Vision Computing 23 (2005) 167): a disc of radius D about c lies
within that of radius D' about c + v where D' exceeds the distance from c + v to the farthest pixel of the first, which
one table gives for every D: the pixels of a large disc, sorted by their distance, with running maxima.

Pixels. Nothing is added to or taken from 2 D, because two errors balance. D runs to the *centre* of a pixel outside,
half a pixel beyond the edge. And discs stand about centres of pixels only: they miss the middle of a round pore by up
to 0.7 px, and leave its rim to smaller ones. Measured, over random places and directions: strips come out 0.4 to 0.6 px
too wide on the mean, whatever their width (along an axis n + 1 for an odd number n of pixels, n for an even one),
round pores 0.3 to 0.7 px too narrow. A single pixel has the thickness 2 px.

Edges. Beyond the field nothing is known, and nothing is assumed: a disc may reach across the edge, as if the phase that
is cut there went on. The diameter is too large where it does not. A disc wider than the field makes the reading
invalid.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section

MEAN, MEDIAN, DISTRIBUTION = "mean local thickness", "median local thickness", "local thickness distribution"

SMALLEST_SIDE = 8
"""Pixels; below, half of the side leaves too few diameters for a distribution."""


@dataclass(frozen=True, slots=True)
class PoreSizes:
    """Mean, median and cumulative distribution of the local thickness."""

    name: str = "local thickness"
    unit: str = "µm"
    definition: str = "Diameter of the largest disc within the phase that contains a point of it, over all its points."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        (height, width), (dy, dx), unit = section.phase.shape, section.pixel, section.unit
        pitch, shorter = min(dy, dx), min(height * dy, width * dx)
        # Midway between whole pixels, so that rounding never decides on which side of x a thickness is.
        x = pitch * (np.arange(1.0, math.floor(shorter / pitch / 2 + 1e-9)) + 0.5)
        reason = ""
        if min(height, width) < SMALLEST_SIDE:
            reason = f"a field of {height} x {width} pixels is too small"
        elif not section.has_both_phases:
            reason = ONE_PHASE
        elif 2 * section.distance.max() > shorter:
            reason = "the phase is wider than the field"
        if reason:
            return Readings(
                {name: Scalar(unit, None, reason) for name in (MEAN, MEDIAN)},
                {DISTRIBUTION: CurveReading("local thickness", unit, "", x, None, reason)},
            )
        thickness = np.sort(local_thickness(section.distance, section.pixel)[section.phase])
        return Readings(
            {MEAN: Scalar(unit, float(thickness.mean())), MEDIAN: Scalar(unit, float(np.median(thickness)))},
            {
                DISTRIBUTION: CurveReading(
                    "local thickness", unit, "", x, np.searchsorted(thickness, x, side="right") / len(thickness)
                )
            },
        )


def local_thickness(distance: NDArray[np.float64], pixel: tuple[float, float] = (1.0, 1.0)) -> NDArray[np.float64]:
    """Diameter of the largest disc about each pixel's place, 0 outside the phase.

    Args:
        distance: ``(height, width)`` from each pixel to the nearest outside the phase, 0 outside; with both phases.
        pixel: height and width of a pixel, in the unit of ``distance``.
    """
    # Disc by disc, the smaller first, so that the largest stays. Each pixel's own disc contains it.
    radii: NDArray[np.float64] = distance.copy()
    rows, columns = np.nonzero(_is_ridge(distance, pixel))
    order = np.argsort(distance[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    for row, column, radius in zip(rows.tolist(), columns.tolist(), distance[rows, columns].tolist(), strict=True):
        disc = _disc(radius, pixel)
        up, left = disc.shape[0] // 2, disc.shape[1] // 2
        above, before = min(up, row), min(left, column)
        part = radii[row - above : row + up + 1, column - before : column + left + 1]
        top, start = up - above, left - before
        np.copyto(part, radius, where=disc[top : top + part.shape[0], start : start + part.shape[1]])
    return 2 * radii


DESCRIPTOR = PoreSizes()


@lru_cache(maxsize=512)
def _disc(radius: float, pixel: tuple[float, float]) -> NDArray[np.bool_]:
    """Pixels nearer to that in the middle than a radius."""
    up, left = (math.ceil(radius / side) - 1 for side in pixel)
    y, x = np.arange(-up, up + 1) * pixel[0], np.arange(-left, left + 1) * pixel[1]
    inside: NDArray[np.bool_] = y[:, None] ** 2 + x**2 < radius**2 * (1 - 1e-9)
    return inside


def _is_ridge(distance: NDArray[np.float64], pixel: tuple[float, float]) -> NDArray[np.bool_]:
    """Where the disc of a pixel holds more than that pixel, and no disc about one of its 8 neighbours contains it."""
    height, width = distance.shape
    squares = distance**2 * (1 - 1e-9)  # equal distances must compare as equal
    near, farthest = _farthest(float(distance.max()), pixel)
    last = np.searchsorted(near, squares) - 1  # the farthest pixel of each disc, in the order of distances
    ridge: NDArray[np.bool_] = distance > min(pixel) * (1 + 1e-9)
    around = np.pad(squares, 1)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                needed = farthest[abs(dy), abs(dx)][last]
                ridge &= around[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] <= needed
    return ridge


@lru_cache(maxsize=8)
def _farthest(
    radius: float, pixel: tuple[float, float]
) -> tuple[NDArray[np.float64], dict[tuple[int, int], NDArray[np.float64]]]:
    """Squared distances of pixels within a radius, rising; and of the farthest of each first k from a neighbour."""
    y, x = (np.arange(math.ceil(radius / side) + 1) * side for side in pixel)
    # A quadrant will do: the farthest pixel lies away from the neighbour along both axes.
    near = np.add.outer(y**2, x**2)
    order = np.argsort(near, axis=None, kind="stable")
    farthest = {
        (dy, dx): np.maximum.accumulate(np.add.outer((y + dy * pixel[0]) ** 2, (x + dx * pixel[1]) ** 2).ravel()[order])
        for dy, dx in ((0, 1), (1, 0), (1, 1))
    }
    return near.ravel()[order], farthest
