"""Root orientation: the angle between the roots and the vertical, along which gravity pulls.

The centre lines (``evaluation/skeleton_graph.py``) are cut into their steps of about a pixel. A step dl, with the
chord (dy, dx) over ``CHORD`` steps on either side of it (fewer at the ends of a branch), has the angle

    theta = arctan(|dx| / |dy|),     0 degrees: vertical, 90: horizontal, up and down, left and right alike.

    mean = sum theta dl / L,     spread = sqrt(sum (theta - mean)^2 dl / L)

and the distribution is the share of the length in nine bins of 10 degrees; on the page it stands over their middles.
Isotropic lines have the mean 45 and the spread 26 (90/sqrt 12), and 1/9 in each bin. The image must be upright: gravity
points down. The pixels of a digital line leave a spread of up to 4 degrees, and lift the mean of vertical lines and
lower that of horizontal ones by up to 2.
"""

from dataclasses import dataclass

import numpy as np

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.evaluation.skeleton_graph import Branch, Floats, skeleton_graph

CHORD = 4
"""Steps on either side over which the direction at a step is taken."""

BINS = np.linspace(0.0, 90.0, 10)

MEAN, SPREAD, DISTRIBUTION = "root angle from vertical", "root angle spread", "root angle distribution"

NO_ROOTS = "there is no root"


def angles_from_vertical(branch: Branch) -> tuple[Floats, Floats]:
    """Angle of each step in degrees, 0 to 90, and its length; both ``(n - 1,)``."""
    step = np.arange(len(branch.points) - 1)
    before, after = np.maximum(step - CHORD, 0), np.minimum(step + 1 + CHORD, len(step))
    dy, dx = np.abs(branch.points[after] - branch.points[before]).T
    return np.degrees(np.arctan2(dx, dy)), np.diff(branch.along)


@dataclass(frozen=True, slots=True)
class RootOrientation:
    """Length-weighted angle to the vertical."""

    name: str = "root orientation"
    unit: str = "°"
    definition: str = "Angle between the roots' centre lines and the vertical, weighted by length."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        middles = (BINS[:-1] + BINS[1:]) / 2
        whole = section.fraction == 1
        steps = [] if whole else [angles_from_vertical(branch) for branch in skeleton_graph(section).branches]
        if not steps:
            reason = ONE_PHASE if whole else NO_ROOTS
            return Readings(
                {name: Scalar(self.unit, None, reason) for name in (MEAN, SPREAD)},
                {DISTRIBUTION: CurveReading("angle from vertical", self.unit, "", middles, None, reason)},
            )
        angles, lengths = (np.concatenate(parts) for parts in zip(*steps, strict=True))
        mean = float(np.average(angles, weights=lengths))
        spread = float(np.average((angles - mean) ** 2, weights=lengths) ** 0.5)
        shares = np.histogram(angles, BINS, weights=lengths)[0] / lengths.sum()
        return Readings(
            {MEAN: Scalar(self.unit, mean), SPREAD: Scalar(self.unit, spread)},
            {DISTRIBUTION: CurveReading("angle from vertical", self.unit, "", middles, shares)},
        )


DESCRIPTOR = RootOrientation()
