"""What rocks of every structure can have: a porosity, beds, minerals, vugs. No kind itself."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from morphogen.phantoms.bedding import Beds
from morphogen.phantoms.bodies import voxel_centres
from morphogen.phantoms.phantom import KindSettings
from morphogen.problems import Problem

MATERIALS = ("quartz", "feldspar", "dense mineral")
PHASE: tuple[str, ...] = ()  # the pores
FRACTION = "porosity"
GREYS, EMPTY = MappingProxyType({"quartz": 0.58, "feldspar": 0.70, "dense mineral": 0.92}), 0.10


class RockSettings(KindSettings):
    """What rocks of every structure can have."""

    porosity: Annotated[float, Field(ge=0.02, le=0.95, description="share of the pores, vugs with them")] = 0.24
    exact: Annotated[
        bool, Field(description="1: hit the porosity in this window; 0: hit it in the mean of many, by closed forms")
    ] = True
    vug_fraction: Annotated[float, Field(ge=0, le=0.6, description="share of the volume that is vugs")] = 0.0
    vug_radius_um: Annotated[float, Field(ge=0.01, le=1e6, description="radius of the vugs, micrometres")] = 100.0
    bed_thickness_um: Annotated[
        float, Field(ge=0, le=1e7, description="thickness of the beds, micrometres; 0 for none")
    ] = 0.0
    dip_deg: Annotated[float, Field(ge=-90, le=90, description="angle of the beds from horizontal, degrees")] = 0.0
    bed_contrast: Annotated[
        float, Field(ge=-0.5, le=0.5, description="porosity of the first kind of bed less that of the second")
    ] = 0.0
    second_mineral: Annotated[
        float, Field(ge=0, le=0.9, description="share of the solid that is the second mineral, feldspar")
    ] = 0.0
    third_mineral: Annotated[
        float, Field(ge=0, le=0.9, description="share of the solid that is the third mineral, a dense one")
    ] = 0.0


def rock_parameters(
    settings: RockSettings, labels: NDArray[np.uint8], beds: Beds, spacing_um: float
) -> dict[str, float]:
    """What was realised of what rocks of every structure can have."""
    solid_voxels = max(int((labels > 0).sum()), 1)
    found = {
        "porosity": float((labels == 0).mean()),
        "exact": float(settings.exact),
        "vug_fraction": settings.vug_fraction,
        "vug_radius_um": settings.vug_radius_um,
        "bed_thickness_um": settings.bed_thickness_um,
        "dip_deg": settings.dip_deg,
        "bed_contrast_asked": settings.bed_contrast,
        "second_mineral_asked": settings.second_mineral,
        "second_mineral": int((labels == 2).sum()) / solid_voxels,
        "third_mineral_asked": settings.third_mineral,
        "third_mineral": int((labels == 3).sum()) / solid_voxels,
    }
    if settings.bed_thickness_um:
        _, y, x = voxel_centres(labels.shape, spacing_um)
        kind = np.broadcast_to(beds.kind_at(y, x), labels.shape)
        of_kind = [float((labels[kind == k] == 0).mean()) if (kind == k).any() else math.nan for k in (0, 1)]
        if not any(math.isnan(p) for p in of_kind):
            found |= {"porosity_of_first_beds": of_kind[0], "porosity_of_second_beds": of_kind[1]}
            found |= {"bed_contrast": of_kind[0] - of_kind[1]}
    return found


def rock_caption(parameters: Mapping[str, float], kind: str, of: str, more: list[str]) -> str:
    """One line: what it is, its porosity, then what else it has."""
    said = [f"microCT {kind} of a {of}, porosity {parameters['porosity']:.2f}", *more]
    if parameters["bed_thickness_um"]:
        said.append(f"beds of {parameters['bed_thickness_um']:.0f} um dipping {parameters['dip_deg']:.0f} degrees")
    if parameters["vug_fraction"]:
        said.append(f"vugs of radius {parameters['vug_radius_um']:.0f} um")
    minerals = sum(parameters[f"{which}_mineral_asked"] > 0 for which in ("second", "third"))
    if minerals:
        said.append(f"{('two', 'three')[minerals - 1]} minerals")
    return ", ".join(said)


def between_vugs(settings: RockSettings, hollow: NDArray[np.bool_]) -> float:
    """Porosity of what is no vug, so that vugs and pores together have the asked share.

    Raises:
        Problem: the vugs alone have it.
    """
    share = float(hollow.mean()) if settings.exact else settings.vug_fraction
    between = 1 - (1 - settings.porosity) / (1 - share)
    if between < 0.005:
        raise Problem(
            f"vugs of {share:.2f} alone are all of the porosity {settings.porosity:g}",
            do="ask for more porosity or fewer vugs",
        )
    return between


def mineral_shares(settings: RockSettings) -> tuple[float, ...]:
    """Shares of the solid of the second mineral and the third; none where all is of the first."""
    shares = (settings.second_mineral, settings.third_mineral)
    return shares if sum(shares) else ()


def check_rock(settings: RockSettings, shape: tuple[int, int, int], spacing_um: float) -> None:
    """Refuse what no rock of a structure with these settings can be.

    Raises:
        Problem: minerals do not leave room for the first, vugs or beds do not fit.
    """
    if settings.second_mineral + settings.third_mineral > 0.95:
        raise Problem(
            f"minerals of {settings.second_mineral + settings.third_mineral:.2f} leave nothing of the first",
            do="ask for 0.95 or less of both together",
        )
    if settings.vug_fraction and min(shape[1:]) * spacing_um < 2 * settings.vug_radius_um:
        raise Problem(
            f"vugs of radius {settings.vug_radius_um:g} um do not fit the window",
            do="choose smaller vugs or a larger one",
        )
    if settings.bed_thickness_um and settings.bed_thickness_um < 4 * spacing_um:
        raise Problem(
            f"beds of {settings.bed_thickness_um:g} um are thinner than four voxels", do="choose thicker beds or none"
        )
    if settings.bed_contrast and not settings.bed_thickness_um:
        raise Problem("beds differ in porosity and have no thickness", do="give bed_thickness_um too")
    low, high = (settings.porosity + sign * settings.bed_contrast / 2 for sign in (-1, 1))
    if min(low, high) < 0.01 or max(low, high) > 0.97:
        raise Problem(
            f"beds of porosity {low:.2f} and {high:.2f} cannot be drawn", do="choose a smaller difference of the beds"
        )
