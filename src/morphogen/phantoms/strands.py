"""Strands: bent and frayed bundles of fibers in a matrix, as moulded carbon fiber compounds show them in microCT.

A bundle is no ellipse. Its centre line is an arc and a wave on it, in the plane of height and width but for a small
tilt; the turn of the arc between the ends is normal with the chosen spread. Its section is an ellipse, wide in that
plane and thin through the depth, which narrows towards the ends to points. The outline is made irregular: both half
axes are scaled by

    exp(roughness g(s, phi)),    g = sum over k of sqrt(2 / n) cos(q_k s + m_k phi + psi_k),    variance 1,

a sum of n waves along the bundle and around it, of lengths from twice its width up to its own. At both ends strands
leave the bundle: sheets that are thin in the plane and bent themselves, at angles that spread; other strands lie
alone. A place is fiber where its gauge is below 1: its distance from the centre line over that outline in its
direction. Bundles may be pressed into each other.

Bundles, each with its strands, are thrown until they have the asked share; all outlines are then scaled by one factor,
which makes it exact to a voxel. The parameters give the orientation tensor of all centre lines, by volume. Voids and
cracks go through the depth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from morphogen.mathematics.directions import fisher_directions, orientation_tensor
from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bodies import voxel_centres
from morphogen.phantoms.flaws import (
    FIBER,
    FRACTION,
    MATERIALS,
    PHASE,
    Across,
    CompositeSettings,
    flaws_said,
    open_flaws,
)
from morphogen.phantoms.sections import section_of
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem

KIND = "strands"
SPACING_UM = 20.0
VARIATION: Mapping[str, tuple[float, float]] = {
    "fiber_volume_fraction": (0.15, 0.30),
    "bundle_width_um": (260.0, 380.0),
}
GREYS, EMPTY = MappingProxyType({"matrix": 0.40, "fiber": 0.62}), 0.05  # a bundle is half matrix itself

WAVES = 6  # of an outline
OUT_OF_PLANE = 0.15  # of the tilts that bundles would have without the mould
LARGEST = 1.6  # factor of an outline on its half axes, at most
MOST_BUNDLES = 3_000

Floats = NDArray[np.float64]


class Settings(CompositeSettings):
    """Parameters of bundles and strands."""

    fiber_volume_fraction: Annotated[
        float, Field(ge=0.01, le=0.7, description="share of the volume that is bundles and strands, before cracks")
    ] = 0.22
    bundle_width_um: Annotated[float, Field(ge=0.1, le=1e6, description="mean width of a bundle, micrometres")] = 320.0
    bundle_flatness: Annotated[float, Field(ge=1, le=10, description="width of a bundle over its thickness")] = 2.0
    bundle_length_um: Annotated[float, Field(ge=0.5, le=1e7, description="mean length of a bundle, micrometres")] = (
        2000.0
    )
    size_spread: Annotated[
        float, Field(ge=0, le=0.8, description="standard deviation of widths and lengths over their mean")
    ] = 0.35
    alignment: Annotated[
        float, Field(ge=0, le=1e4, description="von Mises and Fisher's kappa of the bundles about the main direction")
    ] = 15.0
    direction_deg: Annotated[
        float, Field(ge=-90, le=90, description="main direction, from the width down towards the height, degrees")
    ] = 0.0
    bend_deg: Annotated[
        float, Field(ge=0, le=180, description="standard deviation of the turn of a bundle between its ends, degrees")
    ] = 35.0
    roughness: Annotated[
        float, Field(ge=0, le=0.5, description="standard deviation of the logarithm of the outline; 0: an even one")
    ] = 0.2
    strands: Annotated[int, Field(ge=0, le=20, description="strands that leave a bundle at each end")] = 4
    loose_strands: Annotated[int, Field(ge=0, le=50, description="strands that lie alone, for each bundle")] = 4
    strand_width_um: Annotated[float, Field(ge=0.1, le=1e6, description="width of a strand, micrometres")] = 60.0
    void_diameter_um: Annotated[
        float, Field(ge=0.01, le=1e6, description="diameter of the voids across the fibers, micrometres")
    ] = 100.0
    crack_length_um: Annotated[
        float, Field(ge=0.01, le=1e7, description="length of a crack across the fibers, micrometres")
    ] = 1000.0
    crack_aperture_um: Annotated[
        float, Field(ge=0.001, le=1e6, description="how wide a crack is open in its middle, micrometres")
    ] = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """One bundle or strand; lengths in micrometres.

    Attributes:
        line: ``(n, 3)``, its centre line: depth, height, width.
        wide: ``(n,)``, half of its width along the line, without roughness.
        thin: ``(n,)``, half of its thickness.
        waves: ``(WAVES, 4)``, of the outline: amplitude, wave number along, times around, phase.
    """

    line: Floats
    wide: Floats
    thin: Floats
    waves: Floats

    @property
    def volume(self) -> float:
        """Without roughness."""
        steps = np.linalg.norm(np.diff(self.line, axis=0), axis=1)
        area = math.pi * self.wide * self.thin
        return float((steps * (area[1:] + area[:-1]) / 2).sum())


def solid(settings: Settings, shape: tuple[int, int, int], spacing_um: float, source: Source) -> Solid:
    """Bundles and strands in a matrix.

    Args:
        settings: their parameters.
        shape: depth, height and width in voxels; depth 1 is a section.
        spacing_um: side of a voxel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the bundles, a strand is thinner than a voxel, or too many are needed.
    """
    if settings.strand_width_um < spacing_um or min(shape[1:]) * spacing_um < 2 * settings.bundle_width_um:
        raise Problem(
            f"bundles {settings.bundle_width_um / spacing_um:.3g} and strands"
            f" {settings.strand_width_um / spacing_um:.3g} pixels wide do not fit {shape[1]} x {shape[2]} pixels",
            do="choose strands of a pixel or more, and bundles of at most half of the window",
        )
    window = np.array(shape) * spacing_um
    turn = math.radians(settings.direction_deg)
    along = np.array([0.0, math.sin(turn), math.cos(turn)])
    gauge = np.full(shape, 2.0, dtype=np.float32)
    wanted = round(settings.fiber_volume_fraction * gauge.size)
    # Bundles whose middles lie so far outside reach in too.
    thickness, length = settings.bundle_width_um / settings.bundle_flatness, settings.bundle_length_um
    beside = np.array([2 * thickness, 0.7 * length, 0.7 * length])
    drawn: list[Bundle] = []
    bundles = 0
    while int((gauge < 1).sum()) < wanted:
        if bundles >= MOST_BUNDLES:
            raise Problem("the bundles do not come to the asked share", do="ask for less, or for larger ones")
        bundle = _bundle(settings, window, beside, along, source)
        family = [bundle, *_frays(settings, bundle, window, beside, along, source)]
        for one in family:
            _draw(one, gauge, spacing_um)
        drawn += family
        bundles += 1
    level = float(np.partition(gauge, wanted, axis=None)[wanted])
    labels = np.where(gauge < level, np.uint8(FIBER), np.uint8(1))
    axes = Across(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    flaws, flaw_geometry = open_flaws(settings, labels, axes, spacing_um, source)
    tangents, weights = _tangents(drawn)
    A = orientation_tensor(tangents, weights)
    parameters = {
        "fiber_volume_fraction_asked": settings.fiber_volume_fraction,
        "fiber_volume_fraction": float((labels == FIBER).mean()),
        "outline_factor": level,
        "bundle_width_um": settings.bundle_width_um, "bundle_flatness": settings.bundle_flatness,
        "bundle_length_um": settings.bundle_length_um, "size_spread": settings.size_spread,
        "alignment": settings.alignment, "direction_deg": settings.direction_deg, "bend_deg": settings.bend_deg,
        "roughness": settings.roughness, "strands": float(settings.strands),

        "loose_strands": float(settings.loose_strands), "strand_width_um": settings.strand_width_um,
        "bundles": float(bundles),
        "orientation_zz": float(A[0, 0]), "orientation_yy": float(A[1, 1]), "orientation_xx": float(A[2, 2]),
        "orientation_zy": float(A[0, 1]), "orientation_zx": float(A[0, 2]), "orientation_yx": float(A[1, 2]),
        **flaws,
    }  # fmt: skip
    lengths = np.array([len(one.line) for one in drawn], dtype=np.float64)
    geometry = {
        "centre lines": np.concatenate([one.line for one in drawn]),
        "half widths": np.concatenate([one.wide for one in drawn]) * level,
        "half thicknesses": np.concatenate([one.thin for one in drawn]) * level,
        "points of each line": lengths,
        **flaw_geometry,
    }
    kind = "slice" if shape[0] == 1 else "volume"
    return Solid(labels, MATERIALS, spacing_um, parameters, _caption(parameters, kind), MappingProxyType(geometry))


def _bundle(settings: Settings, window: Floats, beside: Floats, along: Floats, source: Source) -> Bundle:
    chance = stream(source, "bundle")
    log_variance = math.log1p(settings.size_spread**2)
    width, length = np.exp(math.sqrt(log_variance) * np.clip(chance.standard_normal(2), -2, 2) - log_variance / 2)
    width, length = width * settings.bundle_width_um, length * settings.bundle_length_um
    middle = chance.uniform(-beside, window + beside)
    u = fisher_directions(along, settings.alignment, 1, chance)[0]
    u[0] *= OUT_OF_PLANE
    line = _bent(middle - u / np.linalg.norm(u) * length / 2, u, length, width / 2, settings.bend_deg, chance)
    share = np.linspace(-1, 1, len(line))
    taper = np.maximum(1 - share**2, 0.01) ** 0.7
    wide = width / 2 * taper
    return Bundle(line, wide, wide / settings.bundle_flatness, _waves(settings, length, width, chance))


def _frays(
    settings: Settings, bundle: Bundle, window: Floats, beside: Floats, along: Floats, source: Source
) -> list[Bundle]:
    """Strands that leave a bundle at its ends, and those that lie alone."""
    chance = stream(source, "strand")
    frays = []
    count = len(bundle.line)
    for end in (0, 1):
        for _ in range(settings.strands):
            at = int(chance.uniform(0.6, 0.9) * (count - 1))
            at = at if end else count - 1 - at
            u = bundle.line[min(at + 1, count - 1)] - bundle.line[max(at - 1, 0)]
            u = u / np.linalg.norm(u) * (1 if end else -1)
            _, side = _normals(u)
            off = chance.uniform(-0.8, 0.8)
            start = bundle.line[at] + off * bundle.wide[at] * side
            leaves = math.tan(math.radians(float(chance.normal(12 * off, 6))))
            length = float(chance.uniform(0.2, 0.5)) * settings.bundle_length_um
            frays.append(_strand(settings, start, u + leaves * side, length, bundle.thin.max(), chance))
    for _ in range(settings.loose_strands):
        start = chance.uniform(-beside, window + beside)
        u = fisher_directions(along, settings.alignment, 1, chance)[0] * np.array([OUT_OF_PLANE, 1, 1])
        length = settings.bundle_length_um * float(chance.uniform(0.4, 1.2))
        frays.append(_strand(settings, start, u, length, bundle.thin.max(), chance))
    return frays


def _strand(
    settings: Settings, start: Floats, u: Floats, length: float, thickest: float, chance: np.random.Generator
) -> Bundle:
    """A thin strand, torn off as a sheet: upright about as thick as its bundle, and narrower towards its end."""
    width = settings.strand_width_um * float(np.exp(0.3 * chance.standard_normal()))
    line = _bent(start, u, length, 2 * width, 1.2 * settings.bend_deg, chance)
    narrower = np.sqrt(np.linspace(1, 0.1, len(line)))
    thin = max(0.5 * thickest, width / 2) * narrower
    return Bundle(line, width / 2 * narrower, thin, _waves(settings, length, width, chance))


def _bent(start: Floats, u: Floats, length: float, step: float, bend_deg: float, chance: np.random.Generator) -> Floats:
    """A line that starts in a direction and bends in the plane of height and width: an arc, and a wave on it."""
    count = max(6, math.ceil(length / step))
    s = (np.arange(count) + 0.5) / count
    arc, wave = np.radians(bend_deg) * chance.standard_normal(2)
    phase = chance.uniform(0, 2 * math.pi)
    heading = (
        math.atan2(u[1], u[2]) + arc * (s - 0.5) + 0.3 * wave * (np.sin(2 * math.pi * s + phase) - math.sin(phase))
    )
    rise = u[0] / max(float(np.linalg.norm(u)), 1e-300)
    flat = math.sqrt(max(1 - rise**2, 0.0))
    steps = np.stack([np.full(count, rise), flat * np.sin(heading), flat * np.cos(heading)], axis=1) * (length / count)
    return np.concatenate([[start], start + np.cumsum(steps, axis=0)])


def _waves(settings: Settings, length: float, width: float, chance: np.random.Generator) -> Floats:
    """Amplitudes, wave numbers, turns and phases of an outline."""
    amplitude = np.full(WAVES, math.sqrt(2 / WAVES) * settings.roughness)
    wavelength = np.exp(chance.uniform(math.log(2 * width), math.log(max(length, 2.02 * width)), WAVES))
    around = chance.integers(0, 3, WAVES) * chance.choice((-1.0, 1.0), WAVES)
    return np.stack([amplitude, 2 * math.pi / wavelength, around, chance.uniform(0, 2 * math.pi, WAVES)], axis=1)


def _normals(u: Floats) -> tuple[Floats, Floats]:
    """Across a direction: the one nearest to depth, and the one in the plane of height and width."""
    side = np.array([0.0, -u[2], u[1]])
    side = side / max(float(np.linalg.norm(side)), 1e-300)
    return np.cross(u, side), side


def _draw(bundle: Bundle, gauge: NDArray[np.float32], spacing_um: float) -> None:
    """Takes the gauge of a bundle into the least of all."""
    z, y, x = (c.ravel() for c in voxel_centres(gauge.shape, spacing_um))
    steps = np.diff(bundle.line, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    begins = np.concatenate([[0], np.cumsum(lengths)])
    wides = np.maximum(bundle.wide[:-1], bundle.wide[1:])
    thins = np.maximum(bundle.thin[:-1], bundle.thin[1:]) + np.abs(steps[:, 0])
    reach = LARGEST * np.stack([thins, wides, wides], axis=1)
    lows = np.minimum(bundle.line[:-1], bundle.line[1:]) - reach
    highs = np.maximum(bundle.line[:-1], bundle.line[1:]) + reach
    lows = np.ceil(lows / spacing_um - 0.5).clip(0).astype(int)
    highs = np.minimum(np.floor(highs / spacing_um + 0.5).clip(0).astype(int), gauge.shape)
    for k in np.flatnonzero((lows < highs).all(1)):
        origin, step, length, low, high = bundle.line[k], steps[k], lengths[k], lows[k], highs[k]
        wide, thin = bundle.wide[k : k + 2], bundle.thin[k : k + 2]
        u = step / length
        up, side = _normals(u)
        dz, dy, dx = ((c[a:b] - o).astype(np.float32) for c, a, b, o in zip((z, y, x), low, high, origin, strict=True))

        def along_axis(v: Floats) -> NDArray[np.float32]:
            v32 = v.astype(np.float32)
            return np.asarray(
                ((dz * v32[0])[:, None, None] + (dy * v32[1])[:, None]) + dx * v32[2]  # noqa: B023
            )

        s = along_axis(u)
        share = np.clip(s / np.float32(length), 0, 1)
        beyond = s - share * np.float32(length)  # ends of pieces are round, so that bends leave no gap
        sideways, upwards = along_axis(side), along_axis(up)
        half_wide = np.float32(wide[0]) + share * np.float32(wide[1] - wide[0])
        half_thin = np.float32(thin[0]) + share * np.float32(thin[1] - thin[0])
        phi = np.arctan2(upwards / half_thin, sideways / half_wide)
        at = np.float32(begins[k]) + share * np.float32(length)
        outline = np.zeros_like(s)
        if bundle.waves[0, 0]:
            for amplitude, q, m, psi in bundle.waves.astype(np.float32):
                outline += amplitude * np.cos(q * at + m * phi + psi)
        factor = np.minimum(np.exp(outline), np.float32(LARGEST))
        found = np.sqrt((sideways**2 + beyond**2) / half_wide**2 + (upwards / half_thin) ** 2) / factor
        place = gauge[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        np.minimum(place, found, out=place)


def _tangents(drawn: list[Bundle]) -> tuple[Floats, Floats]:
    """Unit tangents of all pieces of all lines, and their volumes."""
    steps = np.concatenate([np.diff(one.line, axis=0) for one in drawn])
    lengths = np.linalg.norm(steps, axis=1)
    areas = np.concatenate([(one.wide * one.thin)[1:] + (one.wide * one.thin)[:-1] for one in drawn])
    return steps / lengths[:, None], areas * lengths


def _caption(parameters: Mapping[str, float], kind: str) -> str:
    said = [
        f"microCT {kind} of a strand phantom, bent bundles",
        f"fiber volume fraction {parameters['fiber_volume_fraction']:.2f}",
        f"bundle width {parameters['bundle_width_um']:.0f} um",
    ]
    if parameters["strands"]:
        said.append("frayed ends")
    return ", ".join(said + flaws_said(parameters))


scene = section_of(solid, phase=PHASE, greys=GREYS, empty=EMPTY, fraction=FRACTION, caption=_caption)
