"""Root length density: length of root per area of the field.

Sum over the branches of the skeleton graph (``evaluation/skeleton_graph.py``, which says how the staircase of pixels
is smoothed away), divided by the area of the field. In the plane of a scan it is the projected length; roots that lie
over each other count once.

A root counts from where it leaves its parent's axis to the centre of its rounded tip, as in architecture models whose
roots are capped polylines: the half diameter of the cap is not added. Roots that leave the field count up to its
edge. A field without roots has the density 0. One where all is root has no lines to measure.
"""

import math
from dataclasses import dataclass

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.evaluation.skeleton_graph import skeleton_graph


@dataclass(frozen=True, slots=True)
class RootLength:
    """Length of the centre lines per area."""

    name: str = "root length density"
    unit: str = "1/µm"
    definition: str = "Length of the roots' centre lines divided by the area of the field."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit = f"1/{section.unit}"
        if section.fraction == 1:
            return Readings({self.name: Scalar(unit, None, ONE_PHASE)})
        area = section.phase.size * math.prod(section.pixel)
        return Readings({self.name: Scalar(unit, skeleton_graph(section).length / area)})


DESCRIPTOR = RootLength()
