"""Local thickness of the phase: pore sizes of a rock, where the phase is its pores.

Hildebrand and Ruegsegger, Journal of Microscopy 185 (1997) 67. At each point p of the phase the diameter of the largest
disc that contains p and lies in the phase,

    t(p) = 2 max { D(c) : |p - c| < D(c) },

D(c) the distance from the pixel c to the nearest one that is not in the phase. Mean, median and distribution weigh
each pixel alike: they are shares of area.

Computed exactly: ``mathematics.local_thickness``.

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

import numpy as np

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.mathematics.local_thickness import local_thickness

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


DESCRIPTOR = PoreSizes()
