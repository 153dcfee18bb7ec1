"""Convex hull of the roots: how much of the field they explore, and how densely.

The smallest convex polygon that holds all pixels of the phase, each a rectangle of the size of a pixel. Its area is
given in itself and as a share of the field; solidity is the area of the phase divided by that of its hull (Trachsel,
Kaeppler, Brown and Lynch, Plant and Soil 341 (2011) 75, and others after them). A lone speck far from the roots
widens the hull: a mask must be clean. A hull that reaches the edges of the field tells of the field.

Without roots the hull is empty: its area is 0, and a solidity does not exist.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import Section

SHARE, AREA, SOLIDITY = "convex hull share", "convex hull area", "root solidity"


def hull_area(phase: NDArray[np.bool_], pixel: tuple[float, float] = (1.0, 1.0)) -> float:
    """Area of the convex hull of the phase, in squared units of ``pixel``; 0 without phase."""
    rows = np.flatnonzero(phase.any(axis=1))
    if len(rows) == 0:
        return 0.0
    left = phase[rows].argmax(axis=1)
    right = phase.shape[1] - phase[rows, ::-1].argmax(axis=1)
    corners = np.array([(y, x) for y in (rows, rows + 1) for x in (left, right)])  # (4, 2, rows)
    points = corners.transpose(0, 2, 1).reshape(-1, 2)
    return float(ConvexHull(points).volume) * math.prod(pixel)  # scipy calls the area in two dimensions volume


@dataclass(frozen=True, slots=True)
class HullArea:
    """Area of the convex hull, and solidity."""

    name: str = SHARE
    unit: str = ""
    definition: str = "Area of the convex hull of all roots divided by the area of the field."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        pixel, size = section.pixel, section.phase.size
        area = hull_area(section.phase, pixel)
        share = area / (size * math.prod(pixel))
        return Readings(
            {
                SHARE: Scalar("", share),
                AREA: Scalar(f"{section.unit}²", area),
                SOLIDITY: Scalar("", section.fraction / share) if share else Scalar("", None, "there is no root"),
            }
        )


DESCRIPTOR = HullArea()
