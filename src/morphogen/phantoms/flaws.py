"""Composites: what they have in common, and their flaws, voids and cracks.

Materials are the matrix (1) and the fibers (2, 3 ...); a flaw is empty (0). Voids are ellipsoids along the fibers,
thrown into the matrix where it is widest, and only the matrix has them: fibers stand in their way, as in a resin that
did not wet them. They are thrown until they have the asked share, and all are then made smaller by one factor that
makes it exact to a voxel.

A crack runs along the fibers, its trace across them a curve of length c, open by

    w(s) = w sqrt(1 - (2 s / c)^2),    s in [-c/2, c/2] along it,

as a crack in an elastic solid under tension (Griffith): it is w wide in the middle and pi / 4 c w in area. It goes
straight through all that it meets, or between the fibers: along the cheapest way through the matrix across the middle
of the volume, where only matrix opens.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import cKDTree
from skimage.graph import route_through_array

from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bodies import Grains, gauge_of, voxel_centres
from morphogen.phantoms.phantom import KindSettings
from morphogen.problems import Problem

MATERIALS = ("matrix", "fiber")
PHASE, FRACTION = ("fiber",), "fiber_volume_fraction"
GREYS, EMPTY = MappingProxyType({"matrix": 0.30, "fiber": 0.76}), 0.05
FIBER = MATERIALS.index("fiber") + 1

Floats = NDArray[np.float64]


class CompositeSettings(KindSettings):
    """The flaws that composites of every structure can have."""

    void_fraction: Annotated[float, Field(ge=0, le=0.4, description="share of the volume that is voids")] = 0.0
    void_diameter_um: Annotated[
        float, Field(ge=0.01, le=1e6, description="diameter of the voids across the fibers, micrometres")
    ] = 10.0
    void_aspect: Annotated[
        float, Field(ge=1, le=10, description="length of the voids along the fibers over their diameter")
    ] = 3.0
    cracks: Annotated[int, Field(ge=0, le=20, description="number of cracks")] = 0
    crack_length_um: Annotated[
        float, Field(ge=0.01, le=1e7, description="length of a crack across the fibers, micrometres")
    ] = 60.0
    crack_aperture_um: Annotated[
        float, Field(ge=0.001, le=1e6, description="how wide a crack is open in its middle, micrometres")
    ] = 2.0
    crack_direction_deg: Annotated[
        float, Field(ge=-90, le=90, description="direction of the cracks across the fibers, from horizontal, degrees")
    ] = 0.0
    crack_through: Annotated[bool, Field(description="1: cracks cut fibers; 0: they run between them")] = False


@dataclass(frozen=True, slots=True)
class Across:
    """The plane across the fibers, in which cracks have their traces.

    Attributes:
        along: unit vector along the fibers; depth, height, width.
        down: unit vector across them that is downwards in the section.
        right: unit vector across both.
    """

    along: Floats
    down: Floats
    right: Floats


def open_flaws(
    settings: CompositeSettings, labels: NDArray[np.uint8], axes: Across, spacing_um: float, source: Source
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Opens voids and cracks in labels of matrix and fiber, in place.

    Args:
        settings: the flaws.
        labels: ``(depth, height, width)``, 1 matrix, 2 and more fiber.
        axes: which way fibers run.
        spacing_um: side of a voxel.
        source: of all randomness.

    Returns:
        What was realised; and the geometry: voids by centres, half axes and axes, cracks by their traces.

    Raises:
        Problem: there is not enough matrix for the voids, or a crack is thinner than labels can show.
    """
    parameters = {
        "void_fraction_asked": settings.void_fraction, "void_diameter_um": settings.void_diameter_um,
        "void_aspect": settings.void_aspect, "cracks": float(settings.cracks),
        "crack_length_um_asked": settings.crack_length_um, "crack_aperture_um": settings.crack_aperture_um,
        "crack_direction_deg": settings.crack_direction_deg, "crack_through": float(settings.crack_through),
    }  # fmt: skip
    geometry: dict[str, Floats] = {}
    if settings.void_fraction:
        voids, scale = _voids(settings, labels, axes, spacing_um, source)
        geometry["void centres"] = voids.centres
        geometry["void half axes"] = np.stack([voids.along, voids.across, voids.across], axis=1)
        parameters["void_diameter_um"] = settings.void_diameter_um * scale
        parameters["voids"] = float(len(voids.radii))
    parameters["void_fraction"] = float((labels == 0).mean())
    if settings.cracks:
        before = int((labels == 0).sum())
        traces = [_crack(settings, labels, axes, spacing_um, source) for _ in range(settings.cracks)]
        parameters["crack_length_um"] = float(np.mean([_length(trace) for trace in traces]))
        parameters["crack_fraction"] = (int((labels == 0).sum()) - before) / labels.size
        geometry |= {f"crack {k}": trace for k, trace in enumerate(traces)}
    return parameters, geometry


def flaws_said(parameters: Mapping[str, float]) -> list[str]:
    """Parts of a caption."""
    said = []
    if parameters["void_fraction_asked"]:
        said.append(f"voids {parameters['void_fraction']:.3f}")
    if parameters["cracks"]:
        number = "a crack" if parameters["cracks"] == 1 else f"{parameters['cracks']:.0f} cracks"
        way = "through fibers" if parameters["crack_through"] else "between fibers"
        said.append(f"{number} {way}, {parameters['crack_aperture_um']:.1f} um wide")
    return said


def _voids(
    settings: CompositeSettings, labels: NDArray[np.uint8], axes: Across, spacing_um: float, source: Source
) -> tuple[Grains, float]:
    """Voids that are open now, at their final size, and the factor on what was asked."""
    chance = stream(source, "void")
    matrix = labels == 1
    wanted = round(settings.void_fraction * labels.size)
    if wanted > 0.7 * matrix.sum():
        raise Problem(
            f"voids of {settings.void_fraction:g} do not fit a matrix of {float(matrix.mean()):.2f}", do="ask for fewer"
        )
    places = np.flatnonzero(matrix)
    # The radius of the sphere of a void's volume; `Grains` stretches it.
    radius = settings.void_diameter_um / 2 * settings.void_aspect ** (1 / 3)
    fibers = cKDTree(np.argwhere(labels >= FIBER)[::7]) if (labels >= FIBER).any() else None
    gauge = np.full(labels.shape, 2.0, dtype=np.float32)
    centres: list[Floats] = []
    while int((matrix & (gauge <= 1)).sum()) < wanted:
        if len(centres) > 20_000:
            raise Problem("the voids do not come to the asked share", do="ask for fewer, or for larger ones")
        batch = []
        for _ in range(1 if len(centres) < 20 else len(centres) // 20):
            tried = np.stack(np.unravel_index(chance.choice(places, 8), labels.shape), axis=1)
            wide = fibers.query(tried)[0] if fibers is not None else np.zeros(8)
            place = (tried[int(np.argmax(wide))] + chance.uniform(size=3)) * spacing_um
            # A section meets voids anywhere along their length.
            slide = chance.uniform(-0.5, 0.5) * settings.void_diameter_um * settings.void_aspect
            batch.append(place + (slide * axes.along if labels.shape[0] == 1 else 0.0))
        more = _ellipsoids(np.array(batch), radius, axes, settings.void_aspect)
        np.minimum(gauge, gauge_of(more, labels.shape, spacing_um, 1.0)[0], out=gauge)
        centres += batch
    level = float(np.partition(gauge[matrix], wanted - 1)[wanted - 1])
    labels[matrix & (gauge <= level)] = 0
    return _ellipsoids(np.array(centres), radius * level, axes, settings.void_aspect), level


def _ellipsoids(centres: Floats, radius: float, axes: Across, aspect: float) -> Grains:
    count = len(centres)
    return Grains(centres, np.full(count, radius), np.tile(axes.along, (count, 1)), aspect)


def _crack(
    settings: CompositeSettings, labels: NDArray[np.uint8], axes: Across, spacing_um: float, source: Source
) -> Floats:
    """Opens one crack, and returns its trace: ``(n, 2)`` down and right in the plane across the fibers, micrometres."""
    if settings.crack_aperture_um < 1.5 * spacing_um:
        raise Problem(
            f"a crack of {settings.crack_aperture_um:g} um is thinner than 1.5 voxels ({1.5 * spacing_um:g} um)",
            do="choose a wider crack or smaller pixels",
        )
    chance = stream(source, "crack")
    z, y, x = voxel_centres(labels.shape, spacing_um)
    middle = np.array(labels.shape) * spacing_um / 2
    down = (z * axes.down[0] + y * axes.down[1]) + x * axes.down[2]
    right = (z * axes.right[0] + y * axes.right[1]) + x * axes.right[2]
    # Cracks begin about the middle of the window.
    inner = np.array(labels.shape) * spacing_um * chance.uniform(-0.2, 0.2, 3)
    centre = np.array([axes.down @ (middle + inner), axes.right @ (middle + inner)])
    angle = math.radians(settings.crack_direction_deg)
    direction = np.array([math.sin(angle), math.cos(angle)])
    half = settings.crack_length_um / 2
    if settings.crack_through:
        trace: Floats = centre + np.array([[-half], [half]]) * direction
        s = (down - centre[0]) * direction[0] + (right - centre[1]) * direction[1]
        away = np.abs((right - centre[1]) * direction[0] - (down - centre[0]) * direction[1])
        labels[away < settings.crack_aperture_um / 2 * np.sqrt(np.maximum(1 - (s / half) ** 2, 0))] = 0
        return trace
    trace = _between_fibers(labels, down, right, centre, direction, half, spacing_um)
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(trace, axis=0), axis=1))])
    fine = np.arange(0, steps[-1], spacing_um / 4)
    points = np.stack([np.interp(fine, steps, trace[:, k]) for k in (0, 1)], axis=1)
    opening = settings.crack_aperture_um / 2 * np.sqrt(np.maximum(1 - (2 * fine / steps[-1] - 1) ** 2, 0))
    flat = np.stack([np.broadcast_to(c, labels.shape)[labels == 1] for c in (down, right)], axis=1)
    away, nearest = cKDTree(points).query(flat, distance_upper_bound=settings.crack_aperture_um / 2)
    near = np.isfinite(away)
    opens = np.zeros(len(flat), dtype=np.bool_)
    opens[near] = away[near] < opening[nearest[near]]
    of_matrix = np.ones(len(flat), dtype=np.uint8)
    of_matrix[opens] = 0
    labels[labels == 1] = of_matrix
    return trace


def _between_fibers(
    labels: NDArray[np.uint8], down: Floats, right: Floats, centre: Floats, direction: Floats, half: float,
    spacing_um: float,
) -> Floats:  # fmt: skip
    """The cheapest way through the matrix between the ends of a straight crack, ``(n, 2)``, cut to its length."""
    # A map across the fibers at the middle of the volume: voxels nearest to the plane, by their place in it.
    low = centre - 1.3 * half
    side = max(8, math.ceil(2.6 * half / spacing_um))
    rows = np.floor((np.broadcast_to(down, labels.shape) - low[0]) / spacing_um).astype(int)
    columns = np.floor((np.broadcast_to(right, labels.shape) - low[1]) / spacing_um).astype(int)
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    fibers = np.bincount(rows[inside] * side + columns[inside], labels[inside] >= FIBER, side * side)
    voxels = np.bincount(rows[inside] * side + columns[inside], minlength=side * side)
    share = (fibers / np.maximum(voxels, 1)).reshape(side, side)
    share[(voxels == 0).reshape(side, side)] = 0.5  # beyond the window
    cost = 1 + 60 * share
    ends = [
        tuple(np.clip((centre + sign * half * direction - low) / spacing_um, 0, side - 1).astype(int))
        for sign in (-1, 1)
    ]
    way, _cost = route_through_array(cost, *ends, fully_connected=True, geometric=True)
    trace = low + (np.array(way) + 0.5) * spacing_um
    if len(trace) > 4:  # the corners of voxels are no length of a crack
        smooth = np.copy(trace)
        smooth[1:-1] = (trace[:-2] + 2 * trace[1:-1] + trace[2:]) / 4
        trace = smooth
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(trace, axis=0), axis=1))])
    if steps[-1] > 2 * half:  # a winding way is longer than a straight one: both ends are cut
        ends_at = steps[-1] / 2 + np.array([-half, half])
        kept = (steps > ends_at[0]) & (steps < ends_at[1])
        tips = [[np.interp(at, steps, trace[:, k]) for k in (0, 1)] for at in ends_at]
        trace = np.concatenate([[tips[0]], trace[kept], [tips[1]]])
    return trace


def _length(trace: Floats) -> float:
    return float(np.linalg.norm(np.diff(trace, axis=0), axis=1).sum())
