"""Weave: plies of plain weave, sinusoidal tows with crimp, whose centre lines are known.

Tows run along the width (warp) and the depth (weft), with the spacing p; the thickness of the fabric is the height,
so that a section shows warp tows along their waves and weft tows across. In a ply about height 0, with warp i in the
middle at depth (i + 1/2) p and weft j at width (j + 1/2) p, centre lines are

    warp: y = (-1)^i A sin(pi x / p),    weft: y = -(-1)^j A sin(pi z / p),

which lie 2 A apart where they cross, now one above and now the other. Sections of the tows, upright across their
direction, are ellipses of width w and thickness t. Warp and weft touch and do not overlap if

    A >= t / 2 max over s in [0, 1) of sqrt(1 - s^2) / cos(pi w s / 2 p),

which is t / 2 for w below 2 p / pi, and is taken where no amplitude is asked for. With a = pi A / p, of the slope,
these follow exactly (E the complete elliptic integral): the crimp, arc length over length less 1,

    2 / pi sqrt(1 + a^2) E(a^2 / (1 + a^2)) - 1,

the share of the volume in plies of height H, pi w t / (2 p H), by which the asked share sets H; and the orientation
tensor, diagonal, by volume: along warp and weft 1 / (2 sqrt(1 + a^2)) each, and through the thickness the rest.

Each ply is moved by chance in its plane. Voids and cracks are those of ``flaws``, along the weft.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ellipe

from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bodies import voxel_centres
from morphogen.phantoms.flaws import FRACTION, Across, CompositeSettings, flaws_said, open_flaws
from morphogen.phantoms.sections import section_of
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem

KIND = "weave"
SPACING_UM = 10.0
VARIATION: Mapping[str, tuple[float, float]] = {
    "fiber_volume_fraction": (0.42, 0.54),
    "tow_spacing_um": (900.0, 1100.0),
}
MATERIALS = ("matrix", "warp", "weft")
PHASE = ("warp", "weft")
GREYS, EMPTY = MappingProxyType({"matrix": 0.30, "warp": 0.76, "weft": 0.70}), 0.05

Floats = NDArray[np.float64]


class Settings(CompositeSettings):
    """Parameters of a plain weave."""

    fiber_volume_fraction: Annotated[
        float, Field(ge=0.02, le=0.75, description="share of the volume that is tows, before cracks cut them")
    ] = 0.5
    tow_spacing_um: Annotated[
        float, Field(ge=0.1, le=1e6, description="from the middle of a tow to that of the next, micrometres")
    ] = 1000.0
    tow_width_um: Annotated[float, Field(ge=0.05, le=1e6, description="width of a tow, micrometres")] = 800.0
    tow_thickness_um: Annotated[float, Field(ge=0.05, le=1e6, description="thickness of a tow, micrometres")] = 220.0
    amplitude_um: Annotated[
        float | None,
        Field(ge=0.01, le=1e6, description="of the waves of the tows, micrometres; else as touching needs"),
    ] = None
    void_diameter_um: Annotated[
        float, Field(ge=0.01, le=1e6, description="diameter of the voids across the weft, micrometres")
    ] = 80.0
    crack_length_um: Annotated[
        float, Field(ge=0.01, le=1e7, description="length of a crack across the weft, micrometres")
    ] = 1000.0
    crack_aperture_um: Annotated[
        float, Field(ge=0.001, le=1e6, description="how wide a crack is open in its middle, micrometres")
    ] = 30.0


def touching_amplitude(width: float, thickness: float, spacing: float) -> float:
    """The least amplitude at which warp and weft do not overlap."""
    s = np.linspace(0, 1, 20_001)[:-1]
    return thickness / 2 * float((np.sqrt(1 - s**2) / np.cos(math.pi * width * s / (2 * spacing))).max())


def crimp(amplitude: float, spacing: float) -> float:
    """Arc length of a centre line over its length, less 1."""
    a = (math.pi * amplitude / spacing) ** 2
    return float(2 / math.pi * math.sqrt(1 + a) * ellipe(a / (1 + a)) - 1)


def solid(settings: Settings, shape: tuple[int, int, int], spacing_um: float, source: Source) -> Solid:
    """Plies of plain weave.

    Args:
        settings: its parameters.
        shape: depth, height and width in voxels; depth 1 is a section.
        spacing_um: side of a voxel.
        source: of all randomness.

    Raises:
        Problem: tows that are wider than their spacing, overlap, do not fill so much, or do not fit the window.
    """
    p, w, t = settings.tow_spacing_um, settings.tow_width_um, settings.tow_thickness_um
    amplitude = _amplitude(settings)
    height = math.pi * w * t / (2 * p * settings.fiber_volume_fraction)  # of a ply
    if height < 2 * amplitude + t:
        most = math.pi * w * t / (2 * p * (2 * amplitude + t))
        raise Problem(
            f"such tows fill at most {most:.3f} of the volume, not {settings.fiber_volume_fraction:g}",
            do="ask for less, for wider tows, or for thinner ones",
        )
    if t < 3 * spacing_um or min(shape[1] * spacing_um / t, shape[2] * spacing_um / w) < 1:
        raise Problem(
            f"tows of {w / spacing_um:.3g} x {t / spacing_um:.3g} pixels do not fit {shape[1]} x {shape[2]} pixels",
            do="choose tows thicker than three pixels and smaller than the window",
        )
    z, y, x = voxel_centres(shape, spacing_um)
    window = np.array(shape) * spacing_um
    start = float(stream(source, "ply").uniform(0, height))
    plies = math.ceil((window[1] + start) / height)
    shifts = stream(source, "shift").uniform(0, 2 * p, (plies, 2))  # along depth and width
    labels = np.ones(shape, dtype=np.uint8)
    lines: list[Floats] = []
    owner: list[tuple[float, float]] = []
    for ply, (z_shift, x_shift) in enumerate(shifts):
        middle = (ply + 0.5) * height - start
        rows = np.abs(y.ravel() - middle) <= height / 2
        if rows.any():
            h = (y[:, rows] - middle).astype(np.float32)
            zs, xs = z + z_shift, x + x_shift
            here = labels[:, rows]
            here[_in_tow(zs, xs, h, amplitude, p, w, t)] = 2
            here[_in_tow(xs, zs, h, -amplitude, p, w, t)] = 3
            labels[:, rows] = here
        for direction, (across_shift, across, along) in enumerate(
            ((z_shift, window[0], window[2]), (x_shift, window[2], window[0]))
        ):
            along_shift = x_shift if direction == 0 else z_shift
            sign = 1 if direction == 0 else -1
            first, last = math.floor((across_shift - w) / p), math.ceil((across_shift + across + w) / p)
            for tow in range(first, last + 1):
                place = (tow + 0.5) * p - across_shift
                if not -w / 2 < place < across + w / 2:
                    continue
                s = np.linspace(0, along, 129)
                wave = middle + sign * (-1) ** tow * amplitude * np.sin(math.pi * (s + along_shift) / p)
                fixed = np.full_like(s, place)
                lines.append(np.stack([fixed, wave, s] if direction == 0 else [s, wave, fixed], axis=1))
                owner.append((float(direction), float(ply)))
    axes = Across(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    flaws, flaw_geometry = open_flaws(settings, labels, axes, spacing_um, source)
    level = 1 / math.sqrt(1 + (math.pi * amplitude / p) ** 2)
    parameters = {
        "fiber_volume_fraction_asked": settings.fiber_volume_fraction,
        "fiber_volume_fraction": float((labels >= 2).mean()),
        "tow_spacing_um": p, "tow_width_um": w, "tow_thickness_um": t, "amplitude_um": amplitude,
        "ply_height_um": height, "crimp": crimp(amplitude, p),
        "orientation_zz": level / 2, "orientation_yy": 1 - level, "orientation_xx": level / 2,
        **flaws,
    }  # fmt: skip
    geometry = {
        "centre lines": np.array(lines).reshape(-1, 129, 3), "direction and ply": np.array(owner).reshape(-1, 2),
        **flaw_geometry,
    }  # fmt: skip
    kind = "slice" if shape[0] == 1 else "volume"
    return Solid(labels, MATERIALS, spacing_um, parameters, _caption(parameters, kind), MappingProxyType(geometry))


def _in_tow(
    across: Floats, along: Floats, h: NDArray[np.float32], amplitude: float, p: float, w: float, t: float
) -> NDArray[np.bool_]:
    """Where a tow of one family is: its number follows from the place across, its height from the place along."""
    tow = np.floor(across / p)
    off = (across - (tow + 0.5) * p) / (w / 2)
    centre = np.where(tow % 2, -amplitude, amplitude) * np.sin(math.pi * along / p)
    rise = (h - centre.astype(np.float32)) / np.float32(t / 2)
    return np.asarray(off.astype(np.float32) ** 2 + rise**2 < 1)


def _amplitude(settings: Settings) -> float:
    p, w, t = settings.tow_spacing_um, settings.tow_width_um, settings.tow_thickness_um
    if w > p:
        raise Problem(f"tows of width {w:g} um do not fit beside each other every {p:g} um", do="choose narrower tows")
    least = touching_amplitude(w, t, p)
    if settings.amplitude_um is None:
        return least
    if settings.amplitude_um < least:
        raise Problem(
            f"tows with waves of {settings.amplitude_um:g} um would overlap",
            do=f"choose {least:.4g} um or more, or none",
        )
    return settings.amplitude_um


def _caption(parameters: Mapping[str, float], kind: str) -> str:
    said = [
        f"microCT {kind} of a plain weave phantom, tow volume fraction {parameters['fiber_volume_fraction']:.2f}",
        f"tows of {parameters['tow_width_um']:.0f} x {parameters['tow_thickness_um']:.0f} um",
        f"crimp {100 * parameters['crimp']:.1f} %",
    ]
    return ", ".join(said + flaws_said(parameters))


scene = section_of(solid, phase=PHASE, greys=GREYS, empty=EMPTY, fraction=FRACTION, caption=_caption)
