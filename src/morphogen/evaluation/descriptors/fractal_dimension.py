"""Fractal dimension of the roots' centre lines, by counting boxes.

The number N(s) of squares of side s, on a grid, that hold a pixel of the centre lines grows as s^-D. D is the slope
of the least-squares line through log N over log 1/s (Tatsumi, Yamauchi and Kono, Annals of Botany 64 (1989) 499, on
root systems). A root system is no fractal: D tells how its lines fill the plane over these scales, about 1 for a
single root across the field (less for one that is short against it) and 2 where they fill the field.

- The centre lines are counted, not the phase, so that thick roots are no denser than thin ones.
- Sides are powers of two of the smaller pixel side, from 2 to a quarter of the field's shorter side. Boxes of one
  pixel are left out: they count how a line was drawn, not how it lies. Fewer than three sizes give no slope.
- For each size the grid is shifted, along x by a pixel at a time and along y by at least a sixteenth of a box, and the
  smallest count is taken: N is defined as the least number of boxes that cover the lines.
- Boxes are measured in physical lengths: they are square also where pixels are not.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.evaluation.skeleton_graph import Floats

FEWEST_SIZES = 3
ORIGINS = 16  # of the grid along y


def box_sizes(size: tuple[int, ...], pixel: tuple[float, float] = (1.0, 1.0)) -> Floats:
    """Sides of the boxes for a field of ``(height, width)`` pixels: perhaps none."""
    pitch = min(pixel)
    quarter = min(size[0] * pixel[0], size[1] * pixel[1]) / (4 * pitch)
    powers = math.floor(math.log2(quarter) + 1e-9)
    return np.asarray(pitch * 2.0 ** np.arange(1, powers + 1), dtype=np.float64)


def box_counts(mask: NDArray[np.bool_], pixel: tuple[float, float] = (1.0, 1.0)) -> NDArray[np.intp]:
    """Least number of boxes of each of ``box_sizes`` that hold all true pixels (their centres)."""
    y, x = ((at + 0.5) * side for at, side in zip(np.nonzero(mask), pixel, strict=True))
    counts = []
    for side in box_sizes(mask.shape, pixel):
        pitches = round(side / min(pixel))
        rows = [np.floor(y / side + start).astype(np.intp) for start in _starts(min(pitches, ORIGINS))]
        columns = [np.floor(x / side + start).astype(np.intp) for start in _starts(pitches)]
        across = math.ceil(mask.shape[1] * pixel[1] / side) + 1
        counts.append(min(np.count_nonzero(np.bincount(row * across + column)) for row in rows for column in columns))
    return np.array(counts, dtype=np.intp)


def _starts(count: int) -> Floats:
    return np.arange(count) / count


def box_dimension(mask: NDArray[np.bool_], pixel: tuple[float, float] = (1.0, 1.0)) -> float:
    """Slope of log N over log 1/s, for a mask with a true pixel and at least two ``box_sizes``."""
    slope = np.polyfit(np.log(box_sizes(mask.shape, pixel)), np.log(box_counts(mask, pixel)), 1)[0]
    return float(-slope)


@dataclass(frozen=True, slots=True)
class FractalDimension:
    """Box-counting dimension of the centre lines, 0 to 2."""

    name: str = "fractal dimension"
    unit: str = ""
    definition: str = "Slope of the number of boxes that hold a piece of root over 1/side, both as logarithms."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        reason = ""
        if section.fraction == 1:
            reason = ONE_PHASE
        elif section.fraction == 0:
            reason = "there is no root"
        elif len(box_sizes(section.phase.shape, section.pixel)) < FEWEST_SIZES:
            height, width = section.phase.shape
            reason = f"a field of {height} x {width} pixels is too small"
        value = None if reason else box_dimension(section.skeleton, section.pixel)
        return Readings({self.name: Scalar("", value, reason)})


DESCRIPTOR = FractalDimension()
