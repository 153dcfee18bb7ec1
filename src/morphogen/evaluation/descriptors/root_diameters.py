"""Root diameters, weighted with length.

Across a root the distance d to the outside is a tent whose top stands on the axis. At each point of the smoothed
centre line (``evaluation/skeleton_graph.py``) its height h is read from its slopes, at a pixel's width s on either side
along the normal n, linear between pixels; so it is right also where the axis runs between two pixels:

    h = s + (d(p + s n) + d(p - s n)) / 2,     diameter = 2 h - 0.8 pixel

The distance goes to the centre of the first pixel outside, which lies on the mean 0.5 pixel beyond the outline of a
root along the grid and less beyond that of an oblique one, where more pixels lie near the outline. ``OUTSIDE`` is
the mean over directions; a pixel is its extent along n. Straight roots of 1.5 to 12 pixels come out right within 0.9
pixel at any angle (most of which is their drawing on the grid), and within 0.3 on the mean over angles.

Left out are points within one local radius of the end of a branch (junction or tip) or nearer to the edge of the
field than to the outside of the root: there the distance tells not of one root. Each point weighs with the length of
centre line around it. The curve is the share of length whose diameter is at most x, at fixed x: a quarter octave
apart, from 1 to 256 of the smaller pixel side.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.evaluation.skeleton_graph import Floats, SkeletonGraph, skeleton_graph

MEAN, MEDIAN, SPREAD, CUMULATIVE = (
    "root diameter mean",
    "root diameter median",
    "root diameter spread",
    "root diameter distribution",
)

OUTSIDE = 0.8
"""Pixels by which twice the distance exceeds the diameter, on the mean over directions."""

GRID = 2.0 ** np.arange(0, 8.25, 0.25)
"""Diameters of the curve, in smaller pixel sides."""

NO_PIECE = "no piece of root is longer than it is wide"


def diameters(graph: SkeletonGraph, distance: Floats, pixel: tuple[float, float]) -> tuple[Floats, Floats]:
    """Diameters along the centre lines, and the length that each stands for; both ``(k,)``, perhaps empty.

    Args:
        graph: of the skeleton.
        distance: ``(height, width)``, ``Section.distance``.
        pixel: height and width of a pixel.
    """
    # A ring has no end: the radius of "node -1" is none.
    node_radii = np.append(graph.radii, 0.0)
    points, normals, weights = [], [], []
    for branch in graph.branches:
        first, last = branch.nodes
        along = branch.along
        between = (along >= node_radii[first]) & (along[-1] - along >= node_radii[last])
        if not between.any():
            continue
        tangent = np.gradient(branch.points, axis=0)
        points.append(branch.points[between])
        normals.append(np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)[between])
        weights.append(np.gradient(along)[between])
    if not points:
        return np.empty(0), np.empty(0)
    p, n, weight = np.concatenate(points), np.concatenate(normals), np.concatenate(weights)
    n /= np.maximum(np.hypot(*n.T), 1e-12)[:, None]
    side = min(pixel)

    def at(places: Floats) -> Floats:
        found: Floats = ndimage.map_coordinates(distance, (places / pixel - 0.5).T, order=1, mode="nearest")
        return found

    height = side + (at(p + side * n) + at(p - side * n)) / 2
    to_edge = np.minimum(p, np.multiply(distance.shape, pixel) - p).min(axis=1)
    inside = to_edge >= height
    found = 2 * height - OUTSIDE * np.hypot(*(n * pixel).T)
    return found[inside], weight[inside]


@dataclass(frozen=True, slots=True)
class RootDiameters:
    """Mean, median, spread and distribution of diameters over the length of the roots."""

    name: str = MEAN
    unit: str = "µm"
    definition: str = "Diameter of the roots, averaged over their length."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit, grid = section.unit, GRID * min(section.pixel)
        found, length = np.empty(0), np.empty(0)
        if section.fraction < 1:
            found, length = diameters(skeleton_graph(section), section.distance, section.pixel)
        if length.sum() == 0:
            reason = ONE_PHASE if section.fraction == 1 else NO_PIECE
            return Readings(
                {name: Scalar(unit, None, reason) for name in (MEAN, MEDIAN, SPREAD)},
                {CUMULATIVE: CurveReading("diameter", unit, "", grid, None, reason)},
            )
        order = found.argsort()
        found, share = found[order], length[order].cumsum() / length.sum()
        mean = float(np.average(found, weights=length[order]))
        spread = float(np.average((found - mean) ** 2, weights=length[order]) ** 0.5)
        median = float(found[np.searchsorted(share, 0.5)])
        up_to = np.append(0.0, share)[np.searchsorted(found, grid, side="right")]
        return Readings(
            {MEAN: Scalar(unit, mean), MEDIAN: Scalar(unit, median), SPREAD: Scalar(unit, spread)},
            {CUMULATIVE: CurveReading("diameter", unit, "", grid, up_to)},
        )


DESCRIPTOR = RootDiameters()
