"""Local thickness: how wide the phase is at each of its points, exactly on pixels.

Hildebrand and Ruegsegger, Journal of Microscopy 185 (1997) 67. At each point p of the phase the diameter of the largest
disc that contains p and lies in the phase,

    t(p) = 2 max { D(c) : |p - c| < D(c) },

D(c) the distance from the pixel c to the nearest one that is not in the phase.

Computed exactly, by painting discs in the order of their radius. Only discs that no disc about a neighbouring pixel
contains are painted (Remy and Thiel, Image and Vision Computing 23 (2005) 167): a disc of radius D about c lies
within that of radius D' about c + v where D' exceeds the distance from c + v to the farthest pixel of the first, which
one table gives for every D: the pixels of a large disc, sorted by their distance, with running maxima.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


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
