"""Root systems: plants of a given age, in soil, in two dimensions (behind glass) and in three.

Architecture after RootBox and CRootBox (Leitner, Klepsch, Bodner and Schnepf, Plant and Soil 332 (2010) 177; Schnepf et
al., Annals of Botany 121 (2018) 1033). A root that is t days old has the length

    l(t) = k (1 - exp(-r t / k)),      r  rate at the start, k  final length.

It branches behind a basal zone l_b, at distances l_n along it, and never within the apical zone l_a behind its tip: the
lateral at b_i = l_b + sum l_n emerges when l(t) = b_i + l_a, at t = -(k / r) ln(1 - (b_i + l_a) / k), if k is that
long. It stands at the branching angle to its parent and grows by the same law with the parameters of its order. So
length, age and place of every root follow from the parameters, exactly.

Tropism. After each step of length dx a root turns by an angle of N(0, (sigma sqrt(dx))^2), in three dimensions about
itself by any angle; of 1 + n such turns the one that points most downwards is taken, n being the strength (a part of
1 is a chance of one more). Down is the first axis, that of gravity and of a tomograph's rotation.

Lengths k, rates r and distances l_n vary normally by ``spread``, cut off at two standard deviations. An order more
grows at ``next_order`` times the rate and length; from the first laterals on zones are half as long. Where we deviate:
one seed bears one taproot; plants stand side by side at the top, and roots grow out of the window as if there were no
wall.

Geometry as in ``roots``: polylines with a radius that falls linearly with length from base to tip; a pixel or voxel is
root if its centre is within. Hairs stand on the flanks of roots, but not in the zone behind the tip: straight, nearly
at right angles, of a given length and number a millimetre. They are far thinner than a pixel, brighten it by the share
that they cover, and belong to no mask; a volume has none.

Soil. Cracks between aggregates are where a Gaussian random field of two scales is nearest to zero, sand is where
another is largest; each takes exactly the share of pixels that is asked for (of those without cracks, for sand), before
roots grow over both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.phantom import KindSettings, Scene
from morphogen.phantoms.roots import length_inside, near_segment, shares_inside
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem

KIND = "root_system"
SPACING_UM = 50.0
VARIATION: Mapping[str, tuple[float, float]] = {"age_days": (6.5, 9.5), "tap_diameter_mm": (0.45, 0.65)}
MATERIALS = ("soil", "quartz", "root")
PHASE = ("root",)

SOIL, QUARTZ, ROOT = 1, 2, 3  # labels
EMPTY, GREYS = 0.04, {"soil": 0.20, "quartz": 0.46, "root": 0.76}  # reflectance
HAIR = 0.62  # reflectance of a hair
ZONES = 0.5  # zones and distances of a lateral over those of a taproot
LATERAL_TROPISM = 0.4  # strength for laterals over that for taproots
HAIRLESS = 1.5  # length of the zone behind the tip without hairs, millimetres
STEP = 0.2  # millimetres between two turns
_SHORTEST = 1e-6  # millimetres


class Settings(KindSettings):
    """Parameters of root systems."""

    age_days: Annotated[float, Field(ge=0.1, le=1000, description="age of the plants, days")] = 8.0
    plants: Annotated[int, Field(ge=1, le=100, description="plants side by side")] = 2
    tap_rate_mm_day: Annotated[
        float, Field(ge=0.01, le=200, description="growth of a taproot at its start, mm a day")
    ] = 3.0
    tap_length_mm: Annotated[float, Field(ge=0.1, le=1e4, description="final length of a taproot, mm")] = 80.0
    lateral_rate_mm_day: Annotated[
        float, Field(ge=0.01, le=200, description="growth of a first lateral at its start, mm a day")
    ] = 1.3
    lateral_length_mm: Annotated[float, Field(ge=0.1, le=1e4, description="final length of a first lateral, mm")] = 7.0
    next_order: Annotated[
        float, Field(ge=0.01, le=1, description="rate and length of the laterals of laterals over those of these")
    ] = 0.35
    basal_zone_mm: Annotated[float, Field(ge=0, le=1e3, description="unbranched at the base of a taproot, mm")] = 1.0
    apical_zone_mm: Annotated[float, Field(ge=0, le=1e3, description="unbranched behind its tip, mm")] = 4.0
    lateral_distance_mm: Annotated[
        float, Field(ge=0.05, le=1e3, description="distance of laterals along a taproot, mm")
    ] = 1.4
    lateral_angle_deg: Annotated[
        float, Field(ge=5, le=120, description="angle between a lateral and its parent, degrees")
    ] = 70.0
    orders: Annotated[int, Field(ge=0, le=4, description="orders of laterals")] = 2
    spread: Annotated[
        float, Field(ge=0, le=0.4, description="standard deviation of lengths, rates and distances over their mean")
    ] = 0.15
    wander_deg: Annotated[
        float, Field(ge=0, le=90, description="standard deviation of the turn along one mm, degrees")
    ] = 20.0
    gravitropism: Annotated[
        float, Field(ge=0, le=20, description="strength of the tropism of a taproot, further trials a turn")
    ] = 0.7
    tap_diameter_mm: Annotated[float, Field(ge=0.001, le=100, description="diameter of a taproot at its base, mm")] = (
        0.55
    )
    thinner: Annotated[float, Field(ge=0.05, le=1, description="diameter of an order over that of its parents")] = 0.6
    taper: Annotated[float, Field(ge=0, le=0.9, description="loss of diameter from base to tip")] = 0.35
    hair_length_mm: Annotated[float, Field(ge=0, le=10, description="mean length of root hairs, mm; 0 for none")] = 0.35
    hairs_per_mm: Annotated[float, Field(ge=0, le=500, description="root hairs a mm of root, both flanks")] = 20.0
    hair_diameter_um: Annotated[float, Field(ge=1, le=100, description="diameter of a root hair, um")] = 12.0
    crack_fraction: Annotated[float, Field(ge=0, le=0.6, description="share of cracks in the soil")] = 0.10
    aggregate_mm: Annotated[float, Field(ge=0.01, le=100, description="size of the soil's aggregates, mm")] = 1.6
    sand_fraction: Annotated[float, Field(ge=0, le=0.6, description="share of sand in what is not crack")] = 0.06
    sand_mm: Annotated[float, Field(ge=0.01, le=10, description="size of the grains of sand, mm")] = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class GrownRoot:
    """One root, in millimetres and days.

    Attributes:
        points: ``(n, 2)`` or ``(n, 3)`` in the order of the axes, downwards first, from the base to the tip; it may
            leave the window.
        radii: ``(n,)``.
        order: 0 for a taproot, 1 for its laterals, and so on.
        path: number of the plant, then of the lateral on it, and so on.
        age: how long it has grown.
        rate: r of its growth.
        longest: k of its growth.
        branches: ``(m,)`` distances b_i from its base at which laterals stand or will stand.
        apical: l_a, length of the zone behind its tip.
    """

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    order: int
    path: tuple[int, ...]
    age: float
    rate: float
    longest: float
    branches: NDArray[np.float64]
    apical: float

    @property
    def length(self) -> float:
        """By the growth law."""
        return grown_length(self.age, self.rate, self.longest)


def grown_length(age: float, rate: float, longest: float) -> float:
    """l(t) = k (1 - exp(-r t / k))."""
    return -longest * math.expm1(-rate * age / longest)


def age_at(length: float, rate: float, longest: float) -> float:
    """Age at which a root has a length; infinite where it never has."""
    return -longest / rate * math.log1p(-length / longest) if length < longest else math.inf


def scene(settings: Settings, size: tuple[int, int], spacing_um: float, source: Source) -> Scene:
    """Root systems behind glass.

    Args:
        settings: their parameters.
        size: height and width in pixels.
        spacing_um: side of a pixel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the roots, or a taproot is thinner than a pixel.
    """
    _check(settings, size, spacing_um)
    spacing = spacing_um / 1000
    window = tuple(n * spacing for n in size)
    roots = grow(settings, window, source)
    soil, texture = _soil(settings, size, spacing, source)
    inside, light, labels = np.zeros(size), np.zeros(size), np.zeros(size, np.uint8)
    for root in roots:
        tone = 1 + 0.06 * stream(source, f"tone {root.path}").standard_normal()
        for start, end, r0, r1 in _segments(root):
            near = near_segment(start, end, r0 + spacing, spacing, size)
            if near is None:
                continue
            place, share, distance = near
            radius = r0 + (r1 - r0) * share
            labels[place] |= distance <= radius
            cover = np.clip(0.5 + (radius - distance) / spacing, 0, 1)
            round_ = 0.75 + 0.25 * np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))  # a lit cylinder
            np.maximum(inside[place], cover, out=inside[place])
            np.maximum(light[place], tone * round_ * (cover > 0), out=light[place])
    hairs = _hairs(settings, roots, source)
    covered = _covered_by(hairs, settings.hair_diameter_um / 1000, size, spacing)
    grain = np.where(soil == 0, 1.0, 1 + texture)
    brightness = np.array([EMPTY, *GREYS.values()])
    behind = brightness[soil] * grain
    behind += (HAIR - behind) * covered
    reflectance = np.clip(behind + (brightness[ROOT] * light - behind) * inside, 0, 1)
    materials = np.where(labels == 1, ROOT, soil).astype(np.uint8)
    parameters = _parameters(settings, roots, window, soil)
    of_hairs = [length_inside(np.stack(hair), window) for hair in hairs]
    parameters |= {
        "root_area_fraction": float(labels.mean()),
        "hairs": float(sum(length > 0 for length in of_hairs)),
        "total_hair_length_mm": float(sum(of_hairs)),
    }
    caption = _caption("scan", parameters)
    density = np.where(labels == 1, 1.0, np.where(soil == SOIL, grain, 1.0))
    return Scene(reflectance, labels, parameters, caption, materials, MATERIALS, density)


def solid(settings: Settings, shape: tuple[int, int, int], spacing_um: float, source: Source) -> Solid:
    """Root systems in a block of soil; the first axis points downwards.

    Args:
        settings: their parameters.
        shape: depth, height and width in voxels.
        spacing_um: side of a voxel.
        source: of all randomness.

    Raises:
        Problem: the block is too small for the roots, or a taproot is thinner than a voxel.
    """
    _check(settings, shape, spacing_um)
    spacing = spacing_um / 1000
    block = tuple(n * spacing for n in shape)
    roots = grow(settings, block, source)
    labels, _ = _soil(settings, shape, spacing, source)
    parameters = _parameters(settings, roots, block, labels)
    for root in roots:
        for start, end, r0, r1 in _segments(root):
            near = near_segment(start, end, r0, spacing, shape)
            if near is not None:
                place, share, distance = near
                labels[place][distance <= r0 + (r1 - r0) * share] = ROOT
    parameters |= {"root_volume_fraction": float((labels == ROOT).mean())}
    geometry = {
        "points": 1000 * np.concatenate([root.points for root in roots]),
        "radii": 1000 * np.concatenate([root.radii for root in roots]),
        "points of each root": np.array([len(root.points) for root in roots], np.float64),
        "orders": np.array([root.order for root in roots], np.float64),
    }
    caption = _caption("microCT volume", parameters)
    return Solid(labels, MATERIALS, spacing_um, MappingProxyType(parameters), caption, MappingProxyType(geometry))


def grow(settings: Settings, window: Sequence[float], source: Source) -> list[GrownRoot]:
    """All roots of all plants, a parent before its laterals.

    With named streams each root has its own, so that what happens to one does not change the others.

    Args:
        settings: the parameters.
        window: sides of the window in mm, downwards first; two or three.
        source: of all randomness.
    """
    roots: list[GrownRoot] = []
    down = np.eye(len(window))[0]
    for plant in range(settings.plants):
        chance = stream(source, f"plant {plant}")
        base = np.array(
            [-settings.tap_diameter_mm / 2, *(side * (0.3 + 0.4 * chance.uniform()) for side in window[1:])]
        )
        base[-1] = window[-1] * (plant + 0.3 + 0.4 * chance.uniform()) / settings.plants
        _grow(settings, base, _turned(down, math.radians(8) * chance.standard_normal(), chance),
              settings.age_days, (plant,), roots, source)  # fmt: skip
    return roots


def _grow(
    settings: Settings, base: NDArray[np.float64], heading: NDArray[np.float64], age: float, path: tuple[int, ...],
    roots: list[GrownRoot], source: Source,
) -> None:  # fmt: skip
    """One root, and then its laterals."""
    order = len(path) - 1
    chance = stream(source, f"root {path}")

    def about(mean: float) -> float:
        return mean * (1 + settings.spread * float(np.clip(chance.standard_normal(), -2, 2)))

    fewer = settings.next_order ** (order - 1)
    longest = about(settings.tap_length_mm if order == 0 else settings.lateral_length_mm * fewer)
    rate = about(settings.tap_rate_mm_day if order == 0 else settings.lateral_rate_mm_day * fewer)
    zones = 1.0 if order == 0 else ZONES
    apical = about(zones * settings.apical_zone_mm)
    branches: list[float] = []
    place = about(zones * settings.basal_zone_mm)
    while order < settings.orders and place + apical < longest:
        branches.append(place)
        place += about(zones * settings.lateral_distance_mm)
    length = grown_length(age, rate, longest)
    if length < 10 * _SHORTEST:  # it has not come out yet
        return
    diameter = settings.tap_diameter_mm * settings.thinner**order

    # A branching point is a node of the polyline, so that it lies on both roots.
    nodes = np.unique(np.concatenate([np.arange(0, length, STEP), [b for b in branches if b < length], [length]]))
    nodes = nodes[np.concatenate([[True], np.diff(nodes) > _SHORTEST])]
    nodes[-1] = length
    strength = settings.gravitropism * (1.0 if order == 0 else LATERAL_TROPISM)
    points, headings = [base], [heading]
    for step in np.diff(nodes):
        points.append(points[-1] + step * headings[-1])
        turns = 1 + int(strength) + int(chance.uniform() < strength % 1)
        sigma = math.radians(settings.wander_deg) * math.sqrt(step)
        tried = [_turned(headings[-1], sigma * chance.standard_normal(), chance) for _ in range(turns)]
        headings.append(max(tried, key=lambda heading: float(heading[0])))
    radii = diameter / 2 * (1 - settings.taper * nodes / length)
    roots.append(GrownRoot(np.array(points), radii, order, path, age, rate, longest, np.array(branches), apical))
    for number, at in enumerate(branches):
        since = age - age_at(at + apical, rate, longest)
        if since > 0:
            node = int(np.argmin(np.abs(nodes - at)))
            of_lateral = (*path, number)
            angle = math.radians(settings.lateral_angle_deg + 6 * float(np.clip(chance.standard_normal(), -2, 2)))
            away = _turned(headings[node], angle, chance)
            _grow(settings, points[node], away, since, of_lateral, roots, source)


def _turned(heading: NDArray[np.float64], angle: float, chance: np.random.Generator) -> NDArray[np.float64]:
    """A unit vector at an angle to another one, on a random side of it."""
    if len(heading) == 2:
        angle *= float(chance.choice((-1.0, 1.0)))
        y, x = heading
        return np.array([y * math.cos(angle) - x * math.sin(angle), y * math.sin(angle) + x * math.cos(angle)])
    aside = chance.standard_normal(3)
    aside -= heading * (aside @ heading)
    turned: NDArray[np.float64] = heading * math.cos(angle) + aside / np.linalg.norm(aside) * math.sin(angle)
    return turned / np.linalg.norm(turned)


def _segments(
    root: GrownRoot,
) -> list[tuple[Sequence[float], Sequence[float], float, float]]:
    points, radii = root.points.tolist(), root.radii.tolist()
    return list(zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True))


Hair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _hairs(settings: Settings, roots: list[GrownRoot], source: Source) -> list[Hair]:
    """Ends of all hairs in mm, the first on the flank of a root."""
    hairs: list[Hair] = []
    if not settings.hair_length_mm:
        return hairs
    for root in roots:
        chance = stream(source, f"hairs {root.path}")
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(root.points, axis=0), axis=1))])
        count = int(chance.poisson(settings.hairs_per_mm * max(0.0, along[-1] - HAIRLESS)))
        places = chance.uniform(0, max(along[-1] - HAIRLESS, 0), count)
        sides = chance.choice((-1.0, 1.0), count)
        leans = np.radians(15) * chance.standard_normal(count)
        lengths = settings.hair_length_mm * (1 + 0.25 * np.clip(chance.standard_normal(count), -2, 2))
        for place, side, lean, length in zip(places, sides, leans, lengths, strict=True):
            node = min(int(np.searchsorted(along, place, side="right")) - 1, len(along) - 2)
            share = (place - along[node]) / (along[node + 1] - along[node])
            tangent = (root.points[node + 1] - root.points[node]) / (along[node + 1] - along[node])
            normal = side * np.array([-tangent[1], tangent[0]])
            radius = root.radii[node] + share * (root.radii[node + 1] - root.radii[node])
            foot = root.points[node] + share * (root.points[node + 1] - root.points[node]) + radius * normal
            hairs.append((foot, foot + length * (normal * math.cos(lean) + tangent * math.sin(lean))))
    return hairs


def _covered_by(hairs: list[Hair], diameter: float, size: tuple[int, int], spacing: float) -> NDArray[np.float64]:
    """Share of each pixel that thin lines cover: their area is dealt to the pixels along them."""
    covered = np.zeros(size)
    for start, end in hairs:
        length = float(np.linalg.norm(end - start))
        count = max(2, math.ceil(2 * length / spacing))
        places = (start + (np.arange(count)[:, None] + 0.5) / count * (end - start)) / spacing - 0.5
        area = length * diameter / spacing**2 / count  # pixels
        corner = np.floor(places).astype(int)
        part = places - corner
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            rows, columns = corner[:, 0] + dy, corner[:, 1] + dx
            weight = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            held = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
            np.add.at(covered, (rows[held], columns[held]), area * weight[held])
    return np.clip(covered, 0, 1)


def _soil(
    settings: Settings, size: Sequence[int], spacing: float, source: Source
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Soil without roots, and the grain of its brightness, of mean zero."""

    def field(name: str, length: float) -> NDArray[np.float64]:
        white = stream(source, name).standard_normal(tuple(size))
        smooth = gaussian_filter(white, max(length / spacing / 3, 0.4), mode="reflect")
        found: NDArray[np.float64] = (smooth - smooth.mean()) / smooth.std()
        return found

    labels = np.full(size, SOIL, np.uint8)
    sand = field("sand", settings.sand_mm)
    between = np.abs(field("aggregates", settings.aggregate_mm) + 0.5 * field("crumbs", settings.aggregate_mm / 4))
    labels.ravel()[np.argsort(between, axis=None, kind="stable")[: round(settings.crack_fraction * labels.size)]] = 0
    order = np.argsort(-sand, axis=None, kind="stable")
    order = order[labels.ravel()[order] == SOIL]
    labels.ravel()[order[: round(settings.sand_fraction * len(order))]] = QUARTZ
    return labels, np.clip(0.16 * field("clods", settings.aggregate_mm) + 0.14 * field("grain", 0.12), -0.7, 0.7)


def _parameters(
    settings: Settings, roots: list[GrownRoot], window: Sequence[float], soil: NDArray[np.uint8]
) -> dict[str, float]:
    """What was asked for, and what there is inside the window."""
    inside = [length_inside(root.points, window) for root in roots]
    total = sum(inside)

    def within(point: NDArray[np.float64]) -> bool:
        return bool(np.all((point >= 0) & (point <= np.asarray(window))))

    thickness = 0.0
    for root in roots:
        for start, end, r0, r1 in _segments(root):
            low, high = shares_inside(start, end, window)
            thickness += (high - low) * math.dist(start, end) * (2 * r0 + (r1 - r0) * (low + high))
    asked = {f"{name}_asked" if name in {"crack_fraction", "sand_fraction"} else name: float(value)
             for name, value in settings.model_dump().items()}  # fmt: skip
    return {
        **asked,
        "total_length_mm": total,
        **{
            f"length_of_order_{order}_mm": sum(
                length for length, root in zip(inside, roots, strict=True) if root.order == order
            )
            for order in range(settings.orders + 1)
        },
        "grown_length_mm": sum(root.length for root in roots),
        "roots": float(len(roots)),
        "tips": float(sum(within(root.points[-1]) for root in roots)),
        "branches": float(sum(root.order > 0 and within(root.points[0]) for root in roots)),
        "root_diameter_mm": thickness / total if total else 0.0,
        "crack_fraction": float((soil == 0).mean()),
        "sand_fraction": float((soil == QUARTZ).sum() / max(int((soil > 0).sum()), 1)),
    }


def _caption(taken: str, parameters: Mapping[str, float]) -> str:
    length = parameters["total_length_mm"]
    said = f"{length:.0f}" if length >= 10 else f"{length:.1f}"
    diameter = parameters["root_diameter_mm"]
    return f"{taken} of a root system phantom, total root length {said} mm, root diameter {diameter:.2f} mm"


def _check(settings: Settings, size: Sequence[int], spacing_um: float) -> None:
    diameter_px = settings.tap_diameter_mm * 1000 / spacing_um
    if diameter_px < 1 or min(size[1:]) < 4 * diameter_px:
        raise Problem(
            f"roots of diameter {diameter_px:.3g} pixels do not fit {' x '.join(map(str, size))} pixels",
            do="choose a diameter between one pixel and a quarter of the window",
        )
    ends = settings.tap_length_mm / settings.lateral_distance_mm * settings.plants
    if settings.orders and ends > 20_000:
        raise Problem(
            f"{ends:.3g} laterals on the taproots are too many to draw",
            do="choose a larger distance between laterals, or a shorter taproot",
        )
