"""Fiber bundle: straight round fibers in space, parallel or misaligned, continuous or short, none in another.

Directions are von Mises and Fisher's about the axis of the bundle (``mathematics.directions``): for large kappa both
tilts are normal with standard deviation 1 / sqrt(kappa). The axis is that of depth, seen in cross-section, or
inclined from it towards the width: at 90 degrees a section runs along the fibers.

Continuous fibers cross a slab about the window. Their traces in the middle of the slab lie on a torus, and are pushed
apart (``packing``) until no two segments within the slab are nearer than their radii: exactly, in three dimensions.
Directions stay what was drawn, so the orientation tensor is known: that of the fibers in the slab, weighted by their
volume. Straight misaligned fibers fill less than parallel ones; what cannot be packed is refused. Short fibers
(``fiber_length_um``) are spherocylinders on a torus in all directions, and take any kappa, down to 0.

As many fibers as come nearest have the asked volume fraction after one factor on all radii; after packing a second
factor, mostly above 0.98, makes the fraction in the window exact (to a voxel of the section, where fibers are
parallel), if that can be done without an overlap. A window that is not the torus itself (inclined, or smaller than
the fibers' way across it) is put where the fraction comes nearest.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from morphogen.mathematics.contacts import between_segments
from morphogen.mathematics.directions import fisher_directions, orientation_tensor
from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bodies import Segments, gauge_of_segments, images_in_window
from morphogen.phantoms.flaws import (
    EMPTY,
    FIBER,
    FRACTION,
    GREYS,
    MATERIALS,
    PHASE,
    Across,
    CompositeSettings,
    flaws_said,
    open_flaws,
)
from morphogen.phantoms.packing import Room, pack
from morphogen.phantoms.sections import section_of
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem

KIND = "fiber_bundle"
SPACING_UM = 0.65
VARIATION: Mapping[str, tuple[float, float]] = {
    "fiber_volume_fraction": (0.45, 0.60),
    "fiber_diameter_um": (6.6, 7.6),
}

PARALLEL = 1e5  # kappa from which all fibers are drawn parallel
LARGEST_TILT_COSINE = 0.5  # of continuous fibers
LARGEST_BUNDLE = 4_000
PLACES_TRIED, COARSE = 48, 6_000  # windows on the torus that are compared, on about so many voxels

Floats = NDArray[np.float64]


class Settings(CompositeSettings):
    """Parameters of a bundle of fibers."""

    fiber_volume_fraction: Annotated[
        float, Field(ge=0.01, le=0.75, description="share of the volume that is fibers, before cracks cut them")
    ] = 0.55
    fiber_diameter_um: Annotated[
        float, Field(ge=0.01, le=1e5, description="mean diameter of the fibers, micrometres")
    ] = 7.0
    diameter_spread: Annotated[
        float, Field(ge=0, le=0.4, description="standard deviation of the diameters over their mean")
    ] = 0.05
    alignment: Annotated[
        float,
        Field(ge=0, le=1e6, description="von Mises and Fisher's kappa about the axis; from 1e5: parallel; 0: random"),
    ] = 1e6
    fiber_length_um: Annotated[
        float | None,
        Field(ge=0.01, le=1e6, description="length of short fibers less their round ends; else continuous"),
    ] = None
    inclination_deg: Annotated[
        float, Field(ge=0, le=90, description="angle of the axis from depth: 0 cross-section, 90 along the width")
    ] = 0.0


def solid(settings: Settings, shape: tuple[int, int, int], spacing_um: float, source: Source) -> Solid:
    """A bundle of fibers.

    Args:
        settings: its parameters.
        shape: depth, height and width in voxels; depth 1 is a section.
        spacing_um: side of a voxel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the fibers, a fiber is thinner than two voxels, or the fibers cannot be
            packed.
    """
    diameter = settings.fiber_diameter_um
    if diameter < 2 * spacing_um or min(shape[1:]) * spacing_um < 3 * diameter:
        raise Problem(
            f"fibers of diameter {diameter / spacing_um:.3g} pixels do not fit {shape[1]} x {shape[2]} pixels",
            do="choose a diameter between two pixels and a third of the window",
        )
    turn = math.radians(settings.inclination_deg)
    axes = Across(
        along=np.array([math.cos(turn), 0.0, math.sin(turn)]),
        down=np.array([0.0, 1.0, 0.0]),
        right=np.array([-math.sin(turn), 0.0, math.cos(turn)]),
    )
    rows = np.stack([axes.along, axes.down, axes.right])  # from the window's coordinates to the bundle's
    window = np.array(shape) * spacing_um
    extent = np.abs(rows) @ window  # of the window, in the bundle's coordinates
    fibers, box, periodic, least = _pack(settings, extent, source)
    A = orientation_tensor(fibers.axes @ rows, np.linalg.norm(fibers.halves, axis=1) * fibers.radii**2)
    mean_radius = float(fibers.radii.mean())

    def in_window(moved: Floats) -> Segments:
        """The fibers that meet the window, in its coordinates, once the torus was moved."""
        middles = (fibers.middles + moved - box / 2) @ rows + window / 2
        steps = [range(-2, 3) if p else [0] for p in periodic]
        found: list[tuple[NDArray[np.intp], Floats]] = []
        reach = (np.abs(fibers.halves @ rows) + fibers.radii[:, None]) * 1.001
        for shift in np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3):
            places = middles + (shift * np.where(periodic, box, 0.0)) @ rows
            owners, kept = images_in_window(places, reach, np.full(3, np.inf), window)
            found.append((owners, kept))
        owners = np.concatenate([o for o, _ in found])
        return Segments(np.concatenate([k for _, k in found]), (fibers.halves @ rows)[owners], fibers.radii[owners])

    # In the bundle's own frame the window fills the torus, and all places are alike.
    whole = settings.inclination_deg == 0 and bool((box[periodic] <= extent[periodic] * (1 + 1e-9)).all())
    moved = (
        np.zeros(3)
        if whole
        else _best_place(settings, in_window, np.where(periodic, box, 0.0), shape, spacing_um, source)
    )
    here = in_window(moved)
    gauge, _owner = gauge_of_segments(here, shape, spacing_um, least)
    wanted = round(settings.fiber_volume_fraction * gauge.size)
    ordered = np.partition(gauge, wanted, axis=None)
    scale = float(min(ordered[wanted], least))
    labels = np.where(gauge < scale, np.uint8(FIBER), np.uint8(1))
    flaws, flaw_geometry = open_flaws(settings, labels, axes, spacing_um, source)
    parameters = {
        "fiber_volume_fraction_asked": settings.fiber_volume_fraction,
        "fiber_volume_fraction": float((labels == FIBER).mean()),
        "fiber_diameter_um_asked": diameter,
        "fiber_diameter_um": 2 * mean_radius * scale,
        "diameter_spread": settings.diameter_spread,
        "alignment": settings.alignment,
        "inclination_deg": settings.inclination_deg,
        "fibers": float(len(here.radii)),
        "orientation_zz": float(A[0, 0]), "orientation_yy": float(A[1, 1]), "orientation_xx": float(A[2, 2]),
        "orientation_zy": float(A[0, 1]), "orientation_zx": float(A[0, 2]), "orientation_yx": float(A[1, 2]),
        **({} if settings.fiber_length_um is None else {"fiber_length_um": settings.fiber_length_um}),
        **flaws,
    }  # fmt: skip
    geometry = {
        "middles": here.middles, "halves": here.halves, "radii": here.radii * scale,
        "axes of all fibers": fibers.axes @ rows, **flaw_geometry,
    }  # fmt: skip
    kind = "slice" if shape[0] == 1 else "volume"
    return Solid(labels, MATERIALS, spacing_um, parameters, _caption(parameters, kind), MappingProxyType(geometry))


def _caption(parameters: Mapping[str, float], kind: str) -> str:
    order = "misaligned" if parameters["alignment"] else "randomly directed"
    order = "parallel" if parameters["alignment"] >= PARALLEL else order
    if "fiber_length_um" in parameters:
        order = f"short {order}"
    said = [
        f"microCT {kind} of a fiber bundle phantom, {order} fibers",
        f"fiber volume fraction {parameters['fiber_volume_fraction']:.2f}",
        f"fiber diameter {parameters['fiber_diameter_um']:.1f} um",
    ]
    return ", ".join(said + flaws_said(parameters))


def _pack(settings: Settings, extent: Floats, source: Source) -> tuple[Segments, Floats, NDArray[np.bool_], float]:
    """Fibers that do not overlap, along the axis and across it; the box, where it is a torus, and the least mu."""
    d, asked = settings.fiber_diameter_um, settings.fiber_volume_fraction
    kappa = math.inf if settings.alignment >= PARALLEL else settings.alignment
    log_variance = math.log1p(settings.diameter_spread**2)
    continuous = settings.fiber_length_um is None
    if continuous and kappa < 30:
        raise Problem(
            f"continuous fibers of alignment {settings.alignment:g} would cross each other", do="ask for 30 or more, or"
            " give fiber_length_um for short ones",
        )  # fmt: skip
    slab = float(extent[0]) + 2 * d
    # So many that a box of their reach is filled; a box is four times the reach, for a pair to meet but once on the
    # torus. No tilt is above 4.5 standard deviations, which leaves out 4 in 100,000.
    widest = min(math.acos(LARGEST_TILT_COSINE), 4.5 / math.sqrt(max(kappa, 1)))
    widest_tangent = 0.0 if math.isinf(kappa) else math.tan(widest)
    if continuous:
        reach = slab / 2 * widest_tangent + d
        box = np.array([slab, *np.maximum(extent[1:], 4.2 * reach)])
        periodic = np.array([False, True, True])
        mean_volume = math.pi / 4 * d**2 * (1 + settings.diameter_spread**2) * slab
    else:
        length = float(settings.fiber_length_um or 0.0)
        box = np.maximum(extent, 4.2 * (length / 2 + d))
        periodic = np.array([True, True, True])
        mean_volume = math.pi / 4 * d**2 * (length + 2 / 3 * d)
    most = math.ceil(1.3 * asked * float(np.prod(box)) / mean_volume) + 8
    if most > LARGEST_BUNDLE:
        raise Problem(
            f"a bundle of some {most / 1.3:,.0f} fibers is too large: it is four times as wide as a fiber reaches",
            do="ask for shorter or better aligned fibers, or for a smaller window",
        )
    radii = (
        d / 2 * np.exp(math.sqrt(log_variance) * stream(source, "diameter").standard_normal(most) - log_variance / 2)
    )
    u = fisher_directions([1.0, 0.0, 0.0], kappa, most, stream(source, "direction"))
    if continuous:
        upright = np.abs(u[:, 0]) >= math.cos(widest)
        u, radii = (u * np.sign(u[:, :1]))[upright], radii[upright]
        halves = u / u[:, :1] * (slab / 2)
        volumes = math.pi * radii**2 * 2 * np.linalg.norm(halves, axis=1)
        power = 2.0
    else:
        halves = u * (length / 2)
        volumes = math.pi * radii**2 * (length + 4 / 3 * radii)
        power = 2.0 + (4 / 3 * d / 2) / (length + 4 / 3 * d / 2)
    fractions = np.cumsum(volumes) / float(np.prod(box))
    count = 1 + int(np.argmin(np.abs(fractions - asked)))
    radii = radii[:count] * (asked / fractions[count - 1]) ** (1 / power)
    halves = halves[:count]
    middles = stream(source, "start").uniform((0.0, 0.0, 0.0), box, (count, 3))
    gap = float(np.interp(asked, [0.3, 0.6, 0.75], [0.03, 0.012, 0.004]))
    if continuous:
        middles[:, 0] = slab / 2
        flat = slice(1, 3)
    else:
        flat = slice(0, 3)

    def contact(first: NDArray[np.intp], second: NDArray[np.intp], R: Floats) -> tuple[Floats, Floats]:
        apart = np.zeros((len(R), 3))
        apart[:, flat] = R
        way = between_segments(apart, halves[first], halves[second])
        distance = np.sqrt((way * way).sum(1))
        touching = radii[first] + radii[second]
        return distance / touching, way[:, flat] / np.maximum(distance * touching, 1e-300)[:, None]

    room = Room(
        box=tuple(float(side) for side in box[flat]),
        periodic=tuple(bool(p) for p in periodic[flat]),
        reach=np.linalg.norm(halves[:, flat], axis=1) + radii * (1 + gap),
        thickness=float(radii.min()),
    )
    middles[:, flat], least = pack(middles[:, flat], room, contact, gap=gap, bodies="fibers", most_steps=3000)
    return Segments(middles, halves, radii), box, periodic, least


def _best_place(
    settings: Settings, in_window: Callable[[Floats], Segments], torus: Floats, shape: tuple[int, int, int],
    spacing_um: float, source: Source,
) -> Floats:  # fmt: skip
    """Where to move the torus so that the fraction in the window comes nearest to the asked one."""
    coarser = max(1.0, (math.prod(shape) / COARSE) ** (1 / sum(n > 1 for n in shape)))
    coarse = (max(1, round(shape[0] / coarser)), max(1, round(shape[1] / coarser)), max(1, round(shape[2] / coarser)))
    # The middle of a section stays where it is.
    lift = np.array([(coarser - 1) * spacing_um / 2 if shape[0] == 1 else 0.0, 0.0, 0.0])
    tried = stream(source, "window").uniform(0, 1, (PLACES_TRIED, 3)) * torus
    errors = []
    for moved in tried:
        here = in_window(moved)
        here = Segments(here.middles + lift, here.halves, here.radii)
        share = float((gauge_of_segments(here, coarse, spacing_um * coarser, 1.0)[0] < 1).mean())
        errors.append(abs(share - settings.fiber_volume_fraction))
    best: Floats = tried[int(np.argmin(errors))]
    return best


scene = section_of(solid, phase=PHASE, greys=GREYS, empty=EMPTY, fraction=FRACTION, caption=_caption)
