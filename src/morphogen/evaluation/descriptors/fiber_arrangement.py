"""How the fibers lie to each other in cross-section: nearest neighbours, and Ripley's K of their centres.

The points are the centres of the sections that ``fiber_sections`` tells apart.

**Window.** The centre of a fiber that the edge of the field cuts off is not known, only that of the part that can be
seen. Both lie nearer to the edge than half a long axis, so inside a window that is smaller by this much on every side
all centres are known, none is missing and none is wrong. The margin is half the long axis that nine of ten whole
sections stay below: a single blob where sections could not be told apart must not eat up the field. Everything below
is about the n points of that window, of sides (a, b), area A = a b and intensity lambda = n / A.

**Nearest neighbours.** Of points near the edge, the nearest neighbour in the window may not be the true one. Those are
taken whose neighbour at distance d is nearer than the edge, weighed by the inverse of their chance to be so,
1 / ((a - 2 d) (b - 2 d)) (Hanisch 1984). The index of Clark and Evans (1954) is their mean distance over what complete
spatial randomness (a Poisson process) has,

    R = mean d / (1 / (2 sqrt(lambda))):      1 random, below 1 clustered, up to 2.149 on a triangular lattice.

**Ripley's K** (1976): lambda K(r) is the mean number of other points within r of a point. With translation correction
(Ohser 1983; Ohser and Muecklich 2000), a pair weighs the inverse of the area in which its first point can lie such
that its second lies in the window too,

    K(r) = A^2 / (n (n - 1)) sum_{i != j} 1[|d_ij| <= r] / ((a - |dx_ij|) (b - |dy_ij|)),    L(r) = sqrt(K(r) / pi).

A Poisson process has L(r) = r; fibers that keep apart have less, clusters and resin-rich areas give more. The curve is
L(r) - r in the unit of length from 0 to a quarter of the field's shorter side. The number is

    clustering = L(r) / r - 1    at r = 2 / sqrt(lambda), two mean spacings, within which twelve others are expected:

beyond the ring of direct neighbours, which is there in every dense packing, and near enough to be seen in small fields.

Invalid: fewer than ``FEWEST`` centres in the window, a window that is less than half of the field along either side, or
two mean spacings that reach beyond half of its shorter side.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.descriptors.fiber_sections import NONE_WHOLE, FiberSections, fiber_sections
from morphogen.evaluation.section import Section

FEWEST = 10
"""Centres in the window below which their arrangement says nothing."""

SPACINGS = 2.0
"""Mean spacings 1 / sqrt(lambda) at which clustering is read."""

MARGIN_QUANTILE = 0.9


def nearest_neighbour_distance(points: NDArray[np.float64], window: tuple[float, float]) -> float | None:
    """Mean distance to the nearest neighbour with Hanisch's edge correction.

    Args:
        points: ``(n, 2)``, y and x, within ``[0, height] x [0, width]``.
        window: height and width.

    Returns:
        The mean, or None where no point is farther from the edge than from its nearest neighbour.
    """
    if len(points) < 2:
        return None
    d = cKDTree(points).query(points, k=2)[0][:, 1]
    to_edge = np.minimum(points, np.array(window) - points).min(axis=1)
    d = d[d < to_edge]
    weights = 1 / ((window[0] - 2 * d) * (window[1] - 2 * d))
    return float(weights @ d / weights.sum()) if len(d) else None


def ripley_k(
    points: NDArray[np.float64], window: tuple[float, float], radii: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Ripley's K with translation correction.

    Args:
        points: ``(n, 2)``, y and x, within ``[0, height] x [0, width]``; two or more.
        window: height and width.
        radii: ``(k,)`` in increasing order, below the shorter side of the window.

    Returns:
        ``(k,)`` areas.
    """
    count, area = len(points), math.prod(window)
    first, second = cKDTree(points).query_pairs(float(radii[-1]), output_type="ndarray").T
    apart = points[second] - points[first]
    weights = 2 / np.prod(np.array(window) - np.abs(apart), axis=1)  # each pair in both orders
    in_order = np.argsort(distances := np.hypot(apart[:, 0], apart[:, 1]))
    sums = np.concatenate([[0.0], np.cumsum(weights[in_order])])
    K: NDArray[np.float64] = sums[np.searchsorted(distances[in_order], radii, side="right")]
    return K * area**2 / (count * (count - 1))


def centres_in_window(
    sections: FiberSections, field: tuple[float, float]
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The centres that are known without gap or error, and the window that they lie in.

    Args:
        sections: the sections of a field, of which at least one is whole.
        field: its height and width, in the unit of the sections.

    Returns:
        ``(n, 2)``, y and x from the corner of the window, and the window's height and width (below 0 where the
        fibers are wider than the field).
    """
    margin = float(np.quantile(sections.long_axes[sections.whole], MARGIN_QUANTILE)) / 2
    window = (field[0] - 2 * margin, field[1] - 2 * margin)
    points = sections.centres - margin
    return points[((points >= 0) & (points <= np.array(window))).all(axis=1)], window


@dataclass(frozen=True, slots=True)
class FiberArrangement:
    """Distance to the nearest neighbour, its ratio to randomness, and Ripley's L(r) - r."""

    name: str = "fiber arrangement"
    unit: str = "µm"
    definition: str = (
        "Nearest-neighbour distances (Hanisch's edge correction) and Ripley's L(r) - r (translation correction) of the"
        " centres of the fibers' sections."
    )

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit, size, pixel = section.unit, section.phase.shape, section.pixel
        field = (size[0] * pixel[0], size[1] * pixel[1])
        pitch, farthest = min(pixel), min(field) / 4
        radii = np.arange(math.floor(farthest / pitch + 1e-9) + 1) * pitch
        L_less_r: NDArray[np.float64] | None = None
        distance: float | None = None
        index: float | None = None
        clustering: float | None = None
        sections = fiber_sections(section)
        reason = NONE_WHOLE
        if sections.whole.any():
            points, window = centres_in_window(sections, field)
            reason = _reason(len(points), window, field)
        too_far = lonely = reason
        if not reason:
            distance = nearest_neighbour_distance(points, window)
            index = None if distance is None else 2 * distance * math.sqrt(len(points) / math.prod(window))
            lonely = "every fiber is nearer to the edge than to its neighbour" if distance is None else ""
            L_less_r = np.sqrt(ripley_k(points, window, radii) / math.pi) - radii
            r = SPACINGS * math.sqrt(math.prod(window) / len(points))
            if r <= min(window) / 2:
                clustering = math.sqrt(float(ripley_k(points, window, np.array([r]))[0]) / math.pi) / r - 1
            else:
                too_far = "two mean spacings reach beyond half of the shorter side"
        return Readings(
            {
                "nearest fiber distance": Scalar(unit, distance, lonely),
                "Clark-Evans index": Scalar("", index, lonely),
                "fiber clustering": Scalar("", clustering, too_far),
            },
            {"Ripley's L(r) - r": CurveReading("distance", unit, unit, radii, L_less_r, reason)},
        )


DESCRIPTOR = FiberArrangement()


def _reason(count: int, window: tuple[float, float], field: tuple[float, float]) -> str:
    """Why nothing can be said, or empty."""
    if any(inner < outer / 2 for inner, outer in zip(window, field, strict=True)):
        return "the fibers are too thick for the field"
    return f"fewer than {FEWEST} centres lie in the field" if count < FEWEST else ""
