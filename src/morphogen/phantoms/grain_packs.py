"""Grain pack: spheres or ellipsoids in three dimensions, overlapping or packed, with beds, minerals and vugs.

Overlapping grains are a Boolean model, with a porosity and a two-point correlation in closed form
(``mathematics.boolean_model``): ``exact=0`` draws just that; ``exact=1`` throws the same grains one after the other and
stops at the number that comes nearest to the asked porosity. Which grains meet a window is drawn without an edge
effect, as in ``grains``: the lognormal radii are weighted by the volume (W + 2R)(H + 2R)(D + 2R) within which a
centre lets a grain of that reach meet the window.

Packed grains (``overlapping=0``) are pushed apart on a torus (``packing``) until none overlaps another; all are then
made smaller by one factor, mostly above 0.99, that brings the porosity to the asked one to a voxel. A section of a
pack is the plane of a pack at which the porosity comes nearest. Equal spheres pack up to random close packing,
porosity 0.36; ellipsoids, which keep their directions, to less.

Ellipsoids have the volume of a sphere of their radius R; with the aspect ratio e of the axis of revolution to the
others their half axes are R e^(2/3) and R e^(-1/3). Axes are distributed by von Mises and Fisher, about the dip of
the beds where they are long, about the normal of the beds where they are flat.

Beds differ in porosity, in the radius of grains, or both; a grain is of the bed that its centre lies in, so that beds
grade into each other within a grain. A voxel belongs to the grain that covers it first (overlapping), or to the only
one.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from morphogen.mathematics.boolean_model import intensity
from morphogen.mathematics.contacts import between_ellipsoids
from morphogen.mathematics.directions import fisher_directions, orientation_tensor
from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bedding import Beds, minerals_of_grains, minerals_of_places, vugs
from morphogen.phantoms.bodies import Grains, first_cover, gauge_of, images_in_window
from morphogen.phantoms.packing import Contact, Room, pack, rattled
from morphogen.phantoms.rocks import (
    EMPTY,
    FRACTION,
    GREYS,
    MATERIALS,
    PHASE,
    RockSettings,
    between_vugs,
    check_rock,
    mineral_shares,
    rock_caption,
    rock_parameters,
)
from morphogen.phantoms.sections import section_of
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem

KIND = "grain_pack"
SPACING_UM = 5.0
VARIATION: Mapping[str, tuple[float, float]] = {"porosity": (0.18, 0.32), "grain_radius_um": (32.0, 42.0)}

RANDOM_CLOSE = 0.64  # solid fraction of equal spheres; what is denser has to crystallise
LOOSE = 0.60  # solid fraction at which dense packs are rattled first
LARGEST_PACK = 20_000

Floats = NDArray[np.float64]


class Settings(RockSettings):
    """Parameters of a pack of grains."""

    grain_radius_um: Annotated[
        float, Field(ge=0.01, le=1e5, description="mean radius of the grains (of spheres of their volume), micrometres")
    ] = 36.0
    radius_spread: Annotated[
        float, Field(ge=0, le=1, description="standard deviation of the radii over their mean")
    ] = 0.2
    aspect_ratio: Annotated[
        float, Field(ge=0.2, le=5, description="axis of revolution over the others; 1: spheres, less: flat, more: long")
    ] = 1.0
    alignment: Annotated[
        float,
        Field(ge=0, le=1e4, description="how much grains lie in the beds: von Mises and Fisher's kappa; 0: random"),
    ] = 0.0
    overlapping: Annotated[bool, Field(description="1: grains run into each other; 0: they are packed and touch")] = (
        True
    )
    bed_grain_ratio: Annotated[
        float, Field(ge=0.2, le=5, description="radius of grains in the first kind of bed over that in the second")
    ] = 1.0
    mineral_length_um: Annotated[
        float, Field(ge=0, le=1e6, description="0: each grain is one mineral; else correlation length of the minerals")
    ] = 0.0


def solid(settings: Settings, shape: tuple[int, int, int], spacing_um: float, source: Source) -> Solid:
    """A pack of grains.

    Args:
        settings: its parameters.
        shape: depth, height and width in voxels; depth 1 is a section.
        spacing_um: side of a voxel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the grains or the beds, a grain is smaller than a voxel, shares do not
            add up, or the grains cannot be packed so densely.
    """
    _check(settings, shape, spacing_um)
    beds = Beds(
        settings.bed_thickness_um, settings.dip_deg, stream(source, "bed").uniform(0, 2) * settings.bed_thickness_um
    )
    hollow, vug_centres = vugs(settings.vug_fraction, settings.vug_radius_um, settings.exact, shape, spacing_um, source)
    between = between_vugs(settings, hollow)
    draw = _throw if settings.overlapping else _packed
    grains, owner, mean_radius = draw(settings, between, hollow, beds, shape, spacing_um, source)
    owner[hollow] = len(grains.radii)
    full = owner < len(grains.radii)
    shares = mineral_shares(settings)
    if not shares:
        labels = full.astype(np.uint8)
    elif settings.mineral_length_um:
        labels = full + minerals_of_places(shares, settings.mineral_length_um, full, spacing_um, source)
        labels[~full] = 0
    else:
        sizes = np.bincount(owner.ravel(), minlength=len(grains.radii) + 1)
        kinds = minerals_of_grains(shares, sizes[:-1].astype(np.float64), source)
        labels = np.append(kinds + 1, 0).astype(np.uint8)[owner]
    parameters = {
        "porosity_asked": settings.porosity,
        **rock_parameters(settings, labels, beds, spacing_um),
        "grain_radius_um_asked": settings.grain_radius_um,
        "grain_radius_um": mean_radius,
        "radius_spread": settings.radius_spread,
        "aspect_ratio": settings.aspect_ratio,
        "alignment": settings.alignment,
        "overlapping": float(settings.overlapping),
        "bed_grain_ratio": settings.bed_grain_ratio,
        "mineral_length_um": settings.mineral_length_um,
        "grains": float(len(grains.radii)),
    }
    if len(grains.radii):
        A = orientation_tensor(grains.axes)
        parameters |= {"orientation_along_beds": float(beds.down_dip @ A @ beds.down_dip)}
        parameters |= {"orientation_across_beds": float(beds.normal @ A @ beds.normal)}
    geometry = {
        "centres": grains.centres,
        "axes": grains.axes,
        "half axes": np.stack([grains.along, grains.across, grains.across], axis=1),
        "vug centres": vug_centres,
    }
    kind = "slice" if shape[0] == 1 else "volume"
    return Solid(labels, MATERIALS, spacing_um, parameters, _caption(parameters, kind), MappingProxyType(geometry))


def _caption(parameters: Mapping[str, float], kind: str) -> str:
    shape = (
        "spheres"
        if parameters["aspect_ratio"] == 1
        else "flat grains"
        if parameters["aspect_ratio"] < 1
        else "long grains"
    )
    set_ = "overlapping" if parameters["overlapping"] else "packed"
    more = [f"{set_} {shape}, grain radius {parameters['grain_radius_um']:.0f} um"]
    return rock_caption(parameters, kind, "grain pack phantom", more)


def _check(settings: Settings, shape: tuple[int, int, int], spacing_um: float) -> None:
    check_rock(settings, shape, spacing_um)
    thin = (
        settings.grain_radius_um * min(settings.aspect_ratio ** (2 / 3), settings.aspect_ratio ** (-1 / 3)) / spacing_um
    )
    if thin < 1 or min(shape[1:]) * spacing_um < 4 * settings.grain_radius_um:
        raise Problem(
            f"grains of radius {settings.grain_radius_um / spacing_um:.3g} pixels"
            f" do not fit {shape[1]} x {shape[2]} pixels",
            do="choose half axes between one pixel and a quarter of the window",
        )
    if settings.bed_grain_ratio != 1 and not settings.bed_thickness_um:
        raise Problem("beds differ in their grains and have no thickness", do="give bed_thickness_um too")
    densest = RANDOM_CLOSE + 0.1 * settings.radius_spread if settings.aspect_ratio == 1 else RANDOM_CLOSE
    solid_share = (1 - settings.porosity) / (1 - settings.vug_fraction)
    if not settings.overlapping and solid_share > densest:
        raise Problem(
            f"grains that do not overlap cannot fill {solid_share:.3f} of the volume, random close packing is"
            f" {densest:.3f}",
            do=f"ask for a porosity of {1 - densest * (1 - settings.vug_fraction):.3f} or more, or for overlapping=1",
        )


def _radii(settings: Settings, count: int, source: Source, log_shift: NDArray[np.floating] | float = 0.0) -> Floats:
    """Lognormal radii; their log mean moved by so many variances."""
    variance_log = math.log1p(settings.radius_spread**2)
    normal = stream(source, "radius").standard_normal(count)
    return np.asarray(
        settings.grain_radius_um * np.exp((log_shift - 0.5) * variance_log + math.sqrt(variance_log) * normal)
    )


def _axes(settings: Settings, beds: Beds, count: int, source: Source) -> Floats:
    mean = beds.normal if settings.aspect_ratio < 1 else beds.down_dip
    return fisher_directions(mean, settings.alignment, count, stream(source, "axis"))


def _of_beds(settings: Settings, between: float) -> tuple[Floats, Floats]:
    """Porosity between the vugs, and the factor on radii, of both kinds of bed; their geometric mean is 1."""
    contrast = settings.bed_contrast / 2
    ratio = math.sqrt(settings.bed_grain_ratio)
    return np.clip([between + contrast, between - contrast], 0.01, 0.98), np.array([ratio, 1 / ratio])


def _throw(
    settings: Settings, between: float, hollow: NDArray[np.bool_], beds: Beds,
    shape: tuple[int, int, int], spacing_um: float, source: Source,
) -> tuple[Grains, NDArray[np.int32], float]:  # fmt: skip
    """Overlapping grains that meet the window, the first at each voxel (their number where none), the mean radius."""
    window = np.array(shape) * spacing_um
    porosities, factors = _of_beds(settings, between)
    # A grain reaches at most `longest` radii from its centre: with that as its reach, the room of its centre is a
    # polynomial in R, and r^k times a lognormal density is that density with its log mean moved by k variances.
    longest = max(settings.aspect_ratio ** (2 / 3), settings.aspect_ratio ** (-1 / 3)) * float(factors.max())
    variance_log = math.log1p(settings.radius_spread**2)
    moments = settings.grain_radius_um ** np.arange(4) * np.exp(variance_log * np.arange(4) * (np.arange(4) - 1) / 2)
    a, b, c = window
    room = np.array([a * b * c, a * b + b * c + c * a, a + b + c, 1.0]) * (2 * longest) ** np.arange(4) * moments
    volumes = 4 / 3 * math.pi * moments[3] * factors**3
    intensities = np.array([intensity(p, v) for p, v in zip(porosities, volumes, strict=True)])
    densest = float(intensities.max())
    expected = densest * float(room.sum())

    def throw(count: int) -> Grains:
        order = stream(source, "order").choice(4, size=count, p=room / room.sum())
        radii = _radii(settings, count, source, order.astype(np.float64))
        reach = longest * radii[:, None]
        centres = stream(source, "centre").uniform(-reach, window + reach)
        axes = _axes(settings, beds, count, source)
        bed = beds.kind_at(centres[:, 1], centres[:, 2])
        if settings.bed_thickness_um:
            kept = stream(source, "kept").uniform(size=count) * densest < intensities[bed]
            centres, axes, radii = centres[kept], axes[kept], (radii * factors[bed])[kept]
        return Grains(centres, radii, axes, settings.aspect_ratio)

    open_ = ~hollow
    if not settings.exact:
        grains = throw(int(stream(source, "count").poisson(expected)))
        return grains, first_cover(grains, shape, spacing_um), settings.grain_radius_um
    grains = throw(math.ceil(1.1 * expected) + 10)
    first = first_cover(grains, shape, spacing_um)
    while (open_ & (first == len(grains.radii))).mean() + hollow.mean() > settings.porosity:
        more = throw(math.ceil(0.2 * expected) + 10)
        behind = first_cover(more, shape, spacing_um) + np.int32(len(grains.radii))
        first = np.where(first < len(grains.radii), first, behind)
        grains = grains.and_(more)
    covered_by = np.bincount(first[open_], minlength=len(grains.radii) + 1)
    porosity_after = 1 - np.concatenate([[0], np.cumsum(covered_by[:-1])]) / first.size
    count = int(np.argmin(np.abs(porosity_after - settings.porosity)))
    np.minimum(first, count, out=first)
    return grains.of(slice(count)), first, settings.grain_radius_um


def _packed(
    settings: Settings, between: float, hollow: NDArray[np.bool_], beds: Beds,
    shape: tuple[int, int, int], spacing_um: float, source: Source,
) -> tuple[Grains, NDArray[np.int32], float]:  # fmt: skip
    """Packed grains that meet the window, the one at each voxel (their number where none), the mean radius of all."""
    window = np.array(shape) * spacing_um
    porosities, factors = _of_beds(settings, between)
    largest = math.exp(2.5 * math.sqrt(math.log1p(settings.radius_spread**2)))  # no grain is larger, of their mean
    longest = settings.grain_radius_um * largest * float(factors.max())
    longest *= max(settings.aspect_ratio ** (2 / 3), settings.aspect_ratio ** (-1 / 3))
    box = np.maximum(window, 4.2 * longest)
    mean_volume = 4 / 3 * math.pi * settings.grain_radius_um**3 * (1 + settings.radius_spread**2) ** 3
    most = math.ceil(1.6 * float(np.prod(box)) / (mean_volume * float(factors.min()) ** 3)) + 20
    if (1 - between) * most / 1.6 > LARGEST_PACK:
        raise Problem(
            f"a pack of some {(1 - between) * most / 1.6:,.0f} grains is too large",
            do="choose larger grains or a smaller window",
        )
    radii = np.minimum(_radii(settings, most, source), settings.grain_radius_um * largest)
    centres = stream(source, "centre").uniform((0.0, 0.0, 0.0), box, (most, 3))
    bed = beds.kind_at(centres[:, 1], centres[:, 2])
    radii = radii * factors[bed]
    grains = Grains(centres, radii, _axes(settings, beds, most, source), settings.aspect_ratio)
    # As many grains in each kind of bed as fill its share; then one factor on all makes the whole exact.
    volume = 4 / 3 * math.pi * radii**3 / float(np.prod(box))
    share = _share_of_beds(beds, box)
    chosen = []
    for kind in (0, 1):
        members = np.flatnonzero(bed == kind)
        if len(members):
            filled = np.cumsum(volume[members]) / share[kind]
            chosen.append(members[: 1 + int(np.argmin(np.abs(filled - (1 - porosities[kind]))))])
    grains = grains.of(np.sort(np.concatenate(chosen)))
    exactly = ((1 - between) / float((4 / 3 * math.pi * grains.radii**3).sum() / np.prod(box))) ** (1 / 3)
    density = 1 - between
    gap = float(np.interp(density, [0.5, 0.6, 0.64], [0.02, 0.006, 0.001]))
    grains = Grains(grains.centres, grains.radii * exactly, grains.axes, settings.aspect_ratio)
    room = Room(
        box=(float(box[0]), float(box[1]), float(box[2])),
        periodic=(True, True, True),
        reach=np.maximum(grains.along, grains.across) * (1 + gap),
        thickness=float(np.minimum(grains.along, grains.across).min()),
    )
    places = grains.centres
    if density > LOOSE:
        smaller = Grains(places, grains.radii * (LOOSE / density) ** (1 / 3), grains.axes, settings.aspect_ratio)
        places, _ = pack(places, room, _contact(smaller), gap=0.006, bodies="grains")
        places = rattled(places, room, _contact(smaller), stream(source, "rattle"))
    places, least = pack(places, room, _contact(grains), gap=gap, bodies="grains")
    grains = Grains(places, grains.radii, grains.axes, settings.aspect_ratio)
    if shape[0] == 1:  # the plane whose porosity comes nearest
        level = _nearest_plane(grains, box, density) if settings.exact else 0.0
        moved = grains.centres - np.array([level - spacing_um / 2, 0, 0])
        grains = Grains(moved % box, grains.radii, grains.axes, settings.aspect_ratio)
    mean_radius = float(grains.radii.mean())
    owners, centres = images_in_window(grains.centres, grains.reach * least, box, window)
    grains = grains.of(owners, centres)
    gauge, owner = gauge_of(grains, shape, spacing_um, least)
    scale = 1.0
    if settings.exact:
        wanted = round((1 - settings.porosity) * gauge.size)
        ordered = np.sort(gauge[~hollow], axis=None)
        scale = float(min(ordered[min(wanted, len(ordered) - 1)], least)) if wanted < len(ordered) else least
    owner[gauge >= scale] = len(grains.radii)
    return Grains(grains.centres, grains.radii * scale, grains.axes, settings.aspect_ratio), owner, mean_radius * scale


def _share_of_beds(beds: Beds, box: Floats) -> Floats:
    """Share of the box that each kind of bed has."""
    if not beds.thickness_um:
        return np.array([1.0, 0.0])
    y, x = (np.linspace(0, side, 400) for side in box[1:])
    second = float(beds.kind_at(y[:, None], x[None]).mean())
    return np.array([1 - second, second])


def _contact(grains: Grains) -> Contact:
    """Of pairs of these grains."""
    if grains.aspect_ratio == 1:

        def of_spheres(first: NDArray[np.intp], second: NDArray[np.intp], R: Floats) -> tuple[Floats, Floats]:
            distance = np.sqrt((R * R).sum(1))
            touching = grains.radii[first] + grains.radii[second]
            return distance / touching, R / np.maximum(distance * touching, 1e-300)[:, None]

        return of_spheres
    matrices = grains.matrices()
    return lambda first, second, R: between_ellipsoids(R, matrices[first], matrices[second])


def _nearest_plane(grains: Grains, box: Floats, density: float) -> float:
    """Depth of the plane in which the grains have a share that comes nearest to a density."""
    half = grains.reach[:, 0]
    cut = math.pi * grains.along * grains.across**2 / half  # area of the section through the centre
    levels = (np.arange(400) + 0.5) / 400 * box[0]
    share = np.empty(len(levels))
    for k, level in enumerate(levels):
        away = np.abs(grains.centres[:, 0] - level)
        away = np.minimum(away, box[0] - away) / half
        share[k] = (cut * np.maximum(1 - away**2, 0)).sum() / (box[1] * box[2])
    return float(levels[int(np.argmin(np.abs(share - density)))])


scene = section_of(solid, phase=PHASE, greys=GREYS, empty=EMPTY, fraction=FRACTION, caption=_caption)
