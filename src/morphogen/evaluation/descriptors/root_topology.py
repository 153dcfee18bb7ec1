"""Tips, branch points and branching angles of the roots' skeleton (``evaluation/skeleton_graph.py``).

    tips per area            free ends that the edge of the field does not cut off, over its area
    branch points per area   nodes where three branches meet, over the area of the field
    crossings per area       nodes where four or more meet: in a projection two roots that cross, or opposite laterals
    branching angle          mean over branch points of the angle between the daughter and the continuation of its
                             parent, degrees

At a branch point the two branches that are nearest to one straight line are the parent and its continuation, the third
is the daughter. Which of the two is the continuation an image does not tell; laterals lean forward in nearly all
plants, so it is the one nearer to the daughter, and the angle is 0 to 90 degrees. At an even fork it is the whole
opening angle. Directions run from ``START`` local radii from the node to ``REACH`` radii
farther, and at least ``LEAST`` pixels: nearer the centre line of the daughter is drawn into its parent (from one radius
on, angles come out 7 to 9 degrees too wide; from two on, within 2). A branch that ends before half of that tells
no direction, and its node no angle.

Spurs and grains were pruned and near junctions merged as that page says. Roots that lie over each other hide tips and
feign branch points: two that cross at a small angle run together for a while and show two branch points. So
counts compare fields of one density; they are no census of a plant.
"""

import math
from dataclasses import dataclass

import numpy as np

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.evaluation.skeleton_graph import Branch, Floats, SkeletonGraph, skeleton_graph

TIPS, BRANCHES, CROSSINGS, ANGLE = (
    "tips per area",
    "branch points per area",
    "crossings per area",
    "branching angle",
)

START = 2.0
"""Local radii from the node at which a direction begins."""

REACH = 2.0
"""Local radii over which a direction is taken."""

LEAST = 5.0
"""Pixels over which it is at least taken."""


def branching_angles(graph: SkeletonGraph, pixel: tuple[float, float]) -> Floats:
    """Angle at each branch point that shows one, in degrees, ``(k,)``."""
    directions: dict[int, list[Floats]] = {node: [] for node in np.flatnonzero(graph.degrees == 3).tolist()}
    for branch in graph.branches:
        for node, backwards in zip(branch.nodes, (False, True), strict=True):
            if node in directions:
                reach = max(REACH * float(graph.radii[node]), LEAST * max(pixel))
                direction = _direction(branch, backwards, START * float(graph.radii[node]), reach)
                if direction is not None:
                    directions[node].append(direction)
    found = []
    for three in directions.values():
        if len(three) == 3:
            # The straightest pair encloses the greatest angle, so its cosine is the smallest; the daughter's angle
            # to the nearer one of that pair has the greatest of the three: it is with one of the two.
            cosines = {(i, j): float(three[i] @ three[j]) for i, j in ((0, 1), (0, 2), (1, 2))}
            parent = min(cosines, key=lambda pair: cosines[pair])
            nearest = max(cosine for pair, cosine in cosines.items() if pair != parent)
            found.append(math.degrees(math.acos(min(1.0, max(-1.0, nearest)))))
    return np.array(found)


@dataclass(frozen=True, slots=True)
class RootTopology:
    """Tips, branch points and crossings per area, and the branching angle."""

    name: str = TIPS
    unit: str = "1/µm²"
    definition: str = "Number of root tips in the field divided by its area."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit = f"1/{section.unit}²"
        if section.fraction == 1:
            per_area = {name: Scalar(unit, None, ONE_PHASE) for name in (TIPS, BRANCHES, CROSSINGS)}
            return Readings({**per_area, ANGLE: Scalar("°", None, ONE_PHASE)})
        graph = skeleton_graph(section)
        area = section.phase.size * math.prod(section.pixel)
        angles = branching_angles(graph, section.pixel)
        counts = {
            TIPS: np.count_nonzero((graph.degrees == 1) & ~graph.at_edge),
            BRANCHES: np.count_nonzero(graph.degrees == 3),
            CROSSINGS: np.count_nonzero(graph.degrees > 3),
        }
        angle = (
            Scalar("°", float(angles.mean()))
            if len(angles)
            else Scalar("°", None, "there is no branch point with three branches long enough to tell their directions")
        )
        return Readings({**{name: Scalar(unit, count / area) for name, count in counts.items()}, ANGLE: angle})


DESCRIPTOR = RootTopology()


def _direction(branch: Branch, backwards: bool, start: float, reach: float) -> Floats | None:
    """Unit vector from ``start`` to ``start + reach`` along a branch; None where less than half of it is there."""
    points = branch.points[::-1] if backwards else branch.points
    along = branch.along[-1] - branch.along[::-1] if backwards else branch.along
    stop = min(start + reach, float(along[-1]))
    if stop < start + reach / 2:
        return None
    way = np.array([np.interp(stop, along, axis) - np.interp(start, along, axis) for axis in points.T])
    found: Floats = way / np.hypot(*way)
    return found
