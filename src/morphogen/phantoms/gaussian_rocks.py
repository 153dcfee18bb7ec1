"""Gaussian rock: pores and solid are cut from a Gaussian random field at a level.

The field has Matern's covariance with a chosen correlation length and smoothness, stretched along the beds where
wanted; porosity and two-point correlation of what lies below a level are known (``mathematics.gaussian_fields``).
``exact=0`` cuts at the level of the asked porosity, whose closed forms then hold in the mean of many; ``exact=1``
cuts each field at its own quantile, so that its porosity is the asked one to a voxel. A section of such a field is
such a field, and is drawn as one.

The field is drawn on the grid of voxels, so another spacing gives another rock of the same statistics.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from pydantic import Field

from morphogen.mathematics.gaussian_fields import level_of
from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bedding import Beds, gaussian_field, minerals_of_places, vugs
from morphogen.phantoms.bodies import voxel_centres
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

KIND = "gaussian_rock"
SPACING_UM = 5.0
VARIATION: Mapping[str, tuple[float, float]] = {"porosity": (0.18, 0.32), "correlation_length_um": (30.0, 45.0)}

__all__ = [
    "EMPTY",
    "FRACTION",
    "GREYS",
    "KIND",
    "MATERIALS",
    "PHASE",
    "SPACING_UM",
    "VARIATION",
    "Settings",
    "scene",
    "solid",
]


class Settings(RockSettings):
    """Parameters of a rock cut from a Gaussian field."""

    correlation_length_um: Annotated[
        float, Field(ge=0.01, le=1e6, description="correlation length of the field across the beds, micrometres")
    ] = 36.0
    smoothness: Annotated[
        float, Field(ge=0.5, le=100, description="Matern's nu: 0.5 exponential and rough, above 50 Gaussian and smooth")
    ] = 2.5
    stretch: Annotated[
        float, Field(ge=0.2, le=10, description="correlation length along the beds over that across")
    ] = 1.0
    mineral_length_um: Annotated[
        float, Field(ge=0.01, le=1e6, description="correlation length of the minerals, micrometres")
    ] = 100.0


def solid(settings: Settings, shape: tuple[int, int, int], spacing_um: float, source: Source) -> Solid:
    """A rock.

    Args:
        settings: its parameters.
        shape: depth, height and width in voxels; depth 1 is a section.
        spacing_um: side of a voxel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the field or the beds, or shares do not add up.
    """
    check_rock(settings, shape, spacing_um)
    length = settings.correlation_length_um / spacing_um
    if length < 1 or min(shape[1:]) < 2 * length * max(1.0, settings.stretch):
        raise Problem(
            f"a correlation length of {length:.3g} pixels does not fit {shape[1]} x {shape[2]} pixels",
            do="choose one between one pixel and half of the window, stretched",
        )
    offset = stream(source, "bed").uniform(0, 2) * settings.bed_thickness_um
    beds = Beds(settings.bed_thickness_um, settings.dip_deg, offset)
    hollow, vug_centres = vugs(settings.vug_fraction, settings.vug_radius_um, settings.exact, shape, spacing_um, source)
    between = between_vugs(settings, hollow)
    field, cut_off = gaussian_field(
        shape, spacing_um, settings.correlation_length_um, settings.smoothness, stream(source, "field"),
        stretch=settings.stretch, beds=beds,
    )  # fmt: skip
    _, y, x = voxel_centres(shape, spacing_um)
    kind = np.broadcast_to(beds.kind_at(y, x), shape)
    porosities = np.clip([between + settings.bed_contrast / 2, between - settings.bed_contrast / 2], 0.001, 0.98)
    if not settings.bed_thickness_um:
        porosities[:] = between
    full = ~hollow
    if settings.exact:
        # Each kind of bed by its own ranks among what is no vug; both together make the asked porosity.
        shift = between - float((porosities[kind[full]]).mean()) if settings.bed_thickness_um else 0.0
        for k in (0, 1):
            here = (kind == k) & ~hollow
            count = int(here.sum())
            if count:
                wanted = round(float(np.clip(porosities[k] + shift, 0, 1)) * count)
                values = field[here]
                pores = np.zeros(count, dtype=np.bool_)
                pores[np.argpartition(values, min(wanted, count - 1))[:wanted]] = True
                full[here] = ~pores
    else:
        levels = np.array([level_of(float(p)) for p in porosities], dtype=np.float32)
        full &= field > levels[kind]
    shares = mineral_shares(settings)
    labels = full.astype(np.uint8)
    if shares:
        labels += minerals_of_places(shares, settings.mineral_length_um, full, spacing_um, source)
    parameters = {
        "porosity_asked": settings.porosity,
        **rock_parameters(settings, labels, beds, spacing_um),
        "correlation_length_um": settings.correlation_length_um,
        "smoothness": settings.smoothness,
        "stretch": settings.stretch,
        "mineral_length_um": settings.mineral_length_um,
        "variance_cut_off": cut_off,
    }
    caption = _caption(parameters, "slice" if shape[0] == 1 else "volume")
    return Solid(labels, MATERIALS, spacing_um, parameters, caption, MappingProxyType({"vug centres": vug_centres}))


def _caption(parameters: Mapping[str, float], kind: str) -> str:
    more = [f"correlation length {parameters['correlation_length_um']:.0f} um"]
    if parameters["stretch"] > 1:
        more.append(f"stretched {parameters['stretch']:.1f} times along the beds")
    return rock_caption(parameters, kind, "Gaussian rock phantom", more)


scene = section_of(solid, phase=PHASE, greys=GREYS, empty=EMPTY, fraction=FRACTION, caption=_caption)
