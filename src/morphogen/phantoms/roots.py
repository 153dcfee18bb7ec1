"""Root: branching roots that grow down from the top, of a chosen total length.

A root axis grows in steps of constant length. Its heading, the angle from straight down, is an
Ornstein-Uhlenbeck process in arc length s,

    d(heading) = -gravitropism heading ds + wander dW,

as in the root architecture models after Diggle, Plant and Soil 105 (1988) 169. Laterals emerge to the left
or right at random, at gamma distributed distances along their parent, behind the unbranched zone at its
tip, at the chosen angle. Each order grows more slowly, is thinner and shorter, and turns less towards
gravity. All axes grow together until the length inside the window, summed over them, is the asked one; the
last step is cut to hit it. Axes also start and live beside the window, so that roots both enter and leave
it at the sides. A window much deeper than 30 mm needs more length, or fewer laterals, to fill it.

What is asked for "after growth" leaves every root at its place: laterals can be left out, with what grows on them, and
all roots can be made thicker or thinner.

The geometry is exact: an axis is a polyline whose radius falls linearly with arc length from base to tip,
and a pixel is root if its centre is nearer to a segment than the radius at the nearest point of that
segment. Lengths, tips and branching points inside the window are counted on the polylines, not on the
pixels. Axes that cross overlap, as in any projection.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.phantom import KindSettings, Scene
from morphogen.problems import Problem

KIND = "root"
SPACING_UM = 100.0
SECTION = ("soil", "root")
VARIATION: Mapping[str, tuple[float, float]] = {
    "length_density_per_mm": (0.42, 0.56),
    "root_diameter_mm": (0.42, 0.54),
}

BACKGROUND, ROOT = 0.24, 0.80  # reflectance
THINNER = 0.72  # diameter of a lateral over that of its parent
SLOWER = 0.35  # growth rate of a lateral over that of its parent
LATERAL = 14.0  # mean final length of a first lateral, main diameters; those of an order more are SHORTER
SHORTER = 0.4
TAPER = 0.3  # loss of diameter from base to tip
WANDER = 0.18  # radians per square root of a main diameter
UNBRANCHED = 4.0  # length of the zone behind the tip without laterals, main diameters
STEP = 0.4  # step length of a main root over its diameter


class Settings(KindSettings):
    """Parameters of a root system."""

    length_density_per_mm: Annotated[
        float, Field(ge=0.005, le=1.5, description="length of root per area of image, mm per square mm")
    ] = 0.48
    total_length_mm: Annotated[
        float | None,
        Field(ge=0.1, le=1e6, description="total length in the window, mm; in place of the length density"),
    ] = None
    root_diameter_mm: Annotated[
        float, Field(ge=0.001, le=100, description="diameter of a main root at its base, mm")
    ] = 0.48
    main_spacing_mm: Annotated[
        float, Field(ge=0.05, le=1e4, description="mean distance between main roots at the top, mm")
    ] = 5.0
    lateral_spacing_mm: Annotated[
        float, Field(ge=0.05, le=1e4, description="mean distance between laterals along a root, mm")
    ] = 3.0
    lateral_angle_deg: Annotated[
        float, Field(ge=5, le=120, description="angle between a lateral and its parent, degrees")
    ] = 60.0
    branching_orders: Annotated[int, Field(ge=0, le=4, description="orders of laterals; 0 for unbranched roots")] = 2
    gravitropism_per_mm: Annotated[
        float, Field(ge=0, le=10, description="how fast a main root turns towards gravity, per mm")
    ] = 0.2
    laterals_kept: Annotated[
        float, Field(ge=0, le=1, description="share of the laterals that are kept after growth")
    ] = 1.0
    thickened: Annotated[
        float, Field(ge=0.3, le=3, description="diameters after growth over those that the roots grew with")
    ] = 1.0


@dataclass(slots=True, eq=False)
class _Axis:
    """One growing root; lengths in mm, y down from the top of the window."""

    order: int
    heading: float  # radians from straight down, positive to the right
    diameter: float
    next_lateral: float  # arc length
    longest: float  # length at which it stops
    points: list[tuple[float, float]]
    path: tuple[int, ...]  # number of the main root, then those of the laterals on each other
    chance: np.random.Generator
    length: float = 0.0
    laterals: int = 0
    grows: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """One root axis.

    Attributes:
        points: ``(n, 2)`` y and x in mm, from the base to the tip; it may start and end outside the window.
        radii: ``(n,)`` in mm.
        order: 0 for a main root, 1 for its laterals, and so on.
        path: number of the main root, then that of the lateral on it, and so on.
    """

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    order: int
    path: tuple[int, ...] = ()


def scene(settings: Settings, size: tuple[int, int], spacing_um: float, source: Source) -> Scene:
    """A root system.

    Args:
        settings: its parameters.
        size: height and width in pixels, at least eight main diameters.
        spacing_um: side of a pixel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the roots, a root is thinner than a pixel, or the roots would
            fill the window.
    """
    diameter_px = settings.root_diameter_mm * 1000 / spacing_um
    if diameter_px < 1 or min(size) < 8 * diameter_px:
        raise Problem(
            f"roots of diameter {diameter_px:.3g} pixels do not fit {size[0]} x {size[1]} pixels",
            do="choose a diameter between one pixel and an eighth of the window",
        )
    window = size[0] * spacing_um / 1000, size[1] * spacing_um / 1000
    asked = settings.total_length_mm or settings.length_density_per_mm * math.prod(window)
    if asked * settings.root_diameter_mm > 0.6 * math.prod(window):
        most = 0.6 * math.prod(window) / settings.root_diameter_mm
        raise Problem(
            f"{asked:.4g} mm of root would fill a window of {window[0]:.3g} x {window[1]:.3g} mm",
            do=f"choose at most {most:.3g} mm, or thinner roots",
        )
    roots = _as_drawn(grow(settings, asked, window, source), settings, source)
    reflectance, labels = _draw(roots, size, spacing_um / 1000, source)
    length = sum(length_inside(root.points, window) for root in roots)
    parameters = {
        "total_length_mm_asked": asked,
        "total_length_mm": length,
        "root_diameter_mm": settings.root_diameter_mm * settings.thickened,
        "root_area_fraction": float(labels.mean()),
        "tips": float(sum(_is_inside(root.points[-1], window) for root in roots)),
        "branches": float(sum(root.order > 0 and _is_inside(root.points[0], window) for root in roots)),
        "main_spacing_mm": settings.main_spacing_mm,
        "lateral_spacing_mm": settings.lateral_spacing_mm,
        "lateral_angle_deg": settings.lateral_angle_deg,
        "branching_orders": float(settings.branching_orders),
        "gravitropism_per_mm": settings.gravitropism_per_mm,
        "laterals_kept": settings.laterals_kept,
    }
    said = f"{length:.0f}" if length >= 10 else f"{length:.1f}"  # more digits tell nothing that an image shows
    diameter = settings.root_diameter_mm * settings.thickened
    caption = f"scan of a root phantom, total root length {said} mm, root diameter {diameter:.2f} mm"
    return Scene(reflectance, labels, parameters, caption)


def grow(settings: Settings, length_mm: float, window: tuple[float, float], source: Source) -> list[Root]:
    """Roots whose length inside the window is the asked one.

    With named streams each axis has its own, so that what happens to one does not change the others.

    Args:
        settings: the parameters.
        length_mm: total length inside the window, summed over all axes.
        window: height and width in mm.
        source: of all randomness.
    """
    height, width = window
    beside = min(0.25 * width, 3 * settings.main_spacing_mm)  # roots also live this far outside
    diameter = settings.root_diameter_mm
    mains = max(1, round((width + 2 * beside) / settings.main_spacing_mm))
    axes: list[_Axis] = []
    remaining = length_mm

    def lateral_distance(chance: np.random.Generator) -> float:
        return settings.lateral_spacing_mm * float(chance.gamma(4.0)) / 4

    def sow(x: float) -> None:
        path = (sum(axis.order == 0 for axis in axes),)
        chance = stream(source, f"root {path}")
        start = -diameter - 0.15 * height * chance.uniform()  # some are ahead of others
        heading = 0.2 * chance.standard_normal()
        axes.append(_Axis(0, heading, diameter, lateral_distance(chance), math.inf, [(start, x)], path, chance))

    for main in range(mains):
        # A single root stands in the middle third; several are spread with jitter.
        jitter = stream(source, "place").uniform(0.3, 0.7)
        sow(-beside + (main + jitter) / mains * (width + 2 * beside) if mains > 1 else width * (1 + jitter) / 3)

    while remaining > 0:
        if not any(axis.grows for axis in axes):  # all have left: another plant
            sow(float(stream(source, "place").uniform(0, width)))
        for axis in list(axes):
            if not axis.grows:
                continue
            step = STEP * diameter * SLOWER**axis.order
            gravitropism = settings.gravitropism_per_mm * 0.5**axis.order
            axis.heading += -gravitropism * axis.heading * step
            axis.heading += WANDER * math.sqrt(step / diameter) * axis.chance.standard_normal()
            y, x = axis.points[-1]
            end = y + step * math.cos(axis.heading), x + step * math.sin(axis.heading)
            low, high = shares_inside((y, x), end, window)
            if (high - low) * step >= remaining:
                cut = low + remaining / step
                end = y + cut * (end[0] - y), x + cut * (end[1] - x)
                remaining = 0.0
            else:
                remaining -= (high - low) * step
            axis.points.append(end)
            axis.length += step
            gone_up = end[0] < 0 and (axis.order > 0 or math.cos(axis.heading) < 0)
            axis.grows = axis.length < axis.longest
            axis.grows &= end[0] < height + diameter and not gone_up and -beside < end[1] < width + beside
            if remaining == 0:
                break
            # Laterals leave a point of the polyline, so that the branching point lies on both axes.
            if axis.order < settings.branching_orders and axis.length - UNBRANCHED * diameter > axis.next_lateral:
                node = round(axis.next_lateral / step)
                (y0, x0), (y1, x1) = axis.points[node], axis.points[node + 1]
                path = (*axis.path, axis.laterals)
                chance = stream(source, f"root {path}")
                side = chance.choice((-1.0, 1.0))
                angle = math.radians(settings.lateral_angle_deg + 8 * chance.standard_normal())
                heading = math.atan2(x1 - x0, y1 - y0) + side * angle
                heading = (heading + math.pi) % (2 * math.pi) - math.pi
                thin = axis.diameter * THINNER
                longest = LATERAL * SHORTER**axis.order * diameter * float(chance.uniform(0.5, 1.5))
                distance = lateral_distance(chance)
                axes.append(_Axis(axis.order + 1, heading, thin, distance, longest, [(y0, x0)], path, chance))
                axis.next_lateral += lateral_distance(axis.chance)
                axis.laterals += 1

    roots = []
    for axis in axes:
        if len(axis.points) > 1:
            points = np.array(axis.points)
            length = np.concatenate([[0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
            roots.append(Root(points, axis.diameter / 2 * (1 - TAPER * length / length[-1]), axis.order, axis.path))
    return roots


def _as_drawn(roots: list[Root], settings: Settings, source: Source) -> list[Root]:
    """What is left of grown roots, each at its place; a lateral goes with the one that it grows on."""
    kept: dict[tuple[int, ...], Root] = {}
    for root in roots:  # a parent comes before its laterals
        if root.order and settings.laterals_kept < 1:
            stays = stream(source, f"kept {root.path}").uniform() < settings.laterals_kept
            if root.path[:-1] not in kept or not stays:
                continue
        kept[root.path] = Root(root.points, root.radii * settings.thickened, root.order, root.path)
    return list(kept.values())


def length_inside(points: NDArray[np.float64], window: Sequence[float]) -> float:
    """Length of the part of a polyline that lies in the window.

    Args:
        points: ``(n, 2)`` y and x, or ``(n, 3)`` in the axes of a volume.
        window: height and width, or the sides of a volume; its upper left corner is the origin.
    """
    length = 0.0
    for start, end in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        low, high = shares_inside(start, end, window)
        length += (high - low) * math.dist(start, end)
    return length


def shares_inside(start: Sequence[float], end: Sequence[float], window: Sequence[float]) -> tuple[float, float]:
    """Shares of a segment at which it enters and leaves a window or box (Liang and Barsky); 0, 0 if never."""
    low, high = 0.0, 1.0
    for a, b, limit in zip(start, end, window, strict=True):
        if a == b:
            if not 0 <= a <= limit:
                return 0.0, 0.0
            continue
        enters, leaves = sorted(((0 - a) / (b - a), (limit - a) / (b - a)))
        low, high = max(low, enters), min(high, leaves)
    return (low, high) if low < high else (0.0, 0.0)


def _is_inside(point: NDArray[np.float64], window: tuple[float, float]) -> bool:
    return bool(0 <= point[0] <= window[0] and 0 <= point[1] <= window[1])


def _draw(
    roots: list[Root], size: tuple[int, int], spacing: float, source: Source
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    labels = np.zeros(size, dtype=np.uint8)
    inside, light = np.zeros((2, *size))
    for root in roots:
        tone = 1 + 0.06 * stream(source, f"tone {root.path}").standard_normal()
        for (y0, x0), (y1, x1), r0, r1 in zip(
            root.points[:-1], root.points[1:], root.radii[:-1], root.radii[1:], strict=True
        ):
            near = near_segment((y0, x0), (y1, x1), r0 + spacing, spacing, size)
            if near is None:
                continue
            place, share, distance = near
            radius = r0 + (r1 - r0) * share
            labels[place] |= distance <= radius
            cover = np.clip(0.5 + (radius - distance) / spacing, 0, 1)
            round_ = 0.75 + 0.25 * np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))  # a lit cylinder
            np.maximum(inside[place], cover, out=inside[place])
            np.maximum(light[place], tone * round_ * (cover > 0), out=light[place])
    # Soil: soft clods and fine grain.
    noise = stream(source, "soil").standard_normal((2, *size))
    clods = gaussian_filter(noise[0], 5.0) * (10 * math.sqrt(math.pi))
    grain = gaussian_filter(noise[1], 1.2) * (2.4 * math.sqrt(math.pi))
    soil = BACKGROUND + 0.025 * clods + 0.03 * grain
    return np.clip(soil + (ROOT * light - soil) * inside, 0, 1), labels


def near_segment(
    start: Sequence[float], end: Sequence[float], reach: float, spacing: float, size: Sequence[int]
) -> tuple[tuple[slice, ...], NDArray[np.float64], NDArray[np.float64]] | None:
    """The pixels or voxels about a segment.

    Args:
        start: of the segment, in the order of the axes.
        end: of the segment.
        reach: how far from it.
        spacing: side of a pixel.
        size: of the image or volume.

    Returns:
        Their box; the share of the way along the segment at which each is nearest to it, from 0 to 1; and the distance
        there from the centre of the pixel. None where the box is empty.
    """
    bounds = [
        _pixels(min(a, b) - reach, max(a, b) + reach, spacing, n) for a, b, n in zip(start, end, size, strict=True)
    ]
    if any(low >= high for low, high in bounds):
        return None
    away, along = [], []
    for axis, ((low, high), a, b) in enumerate(zip(bounds, start, end, strict=True)):
        shape = [1] * len(size)
        shape[axis] = -1
        away.append(((np.arange(low, high) + 0.5) * spacing).reshape(shape) - a)
        along.append(b - a)
    dot = reduce(np.add, (p * v for p, v in zip(away, along, strict=True)))
    share = np.clip(dot / sum(v * v for v in along), 0, 1)
    distance = reduce(np.hypot, (p - share * v for p, v in zip(away, along, strict=True)))
    return tuple(slice(low, high) for low, high in bounds), share, distance


def _pixels(low: float, high: float, spacing: float, count: int) -> tuple[int, int]:
    """First pixel and the one after the last whose centres lie between two coordinates."""
    return max(0, math.ceil(low / spacing - 0.5)), min(count, math.floor(high / spacing + 0.5))
