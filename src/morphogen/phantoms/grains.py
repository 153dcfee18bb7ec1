"""Rock: overlapping grains, a Boolean model of discs with lognormal radii.

Torquato, Random Heterogeneous Materials (2002), chapter 5. Discs are thrown with intensity rho, centres
Poisson, radii independent. With A the area of a disc and v2(r) the mean area of the union of two discs of
one radius whose centres are r apart, for the pores

    porosity = exp(-rho E[A]),    S2(r) = exp(-rho v2(r)).

``exact=False`` draws just that: statistics in closed form, and a porosity that fluctuates from window to
window. ``exact=True`` throws the same grains one after the other and stops at the number that comes nearest
to the asked porosity, so that the error is at most half of what one grain covers.

No edge effect: a disc of radius r meets a window H x W if (to the corners) its centre lies in the rectangle
(H + 2r)(W + 2r). Weighting the lognormal density by that area gives a mixture of three lognormals, which is
drawn without truncation.

A layer of cement on every grain makes the pores smaller where they are, a negative one (grains that dissolve) larger.
The chords of the pores along any line are exponential, as it meets discs as a Poisson process of intensity 2 rho E[R]:
with a layer c on the radii their mean is 1 / (2 rho (E[R] + c)).

Where grains overlap, a pixel belongs to the one of largest power r^2 - d^2, d the distance from its centre:
contacts are straight, as those of compacted grains.

Pores are empty, or hold brine that is doped until it shows in microCT. It wets the grains, so it fills the narrowest
places first: pixels by the radius of the largest disc in the pores that covers them, which is how a gas drains them
(Hazlett, Transport in Porous Media 20 (1995) 21), here without the way that the gas has to come.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt, gaussian_filter

from morphogen.mathematics.local_thickness import local_thickness
from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.phantom import KindSettings, Scene
from morphogen.problems import Problem

KIND = "rock"
SPACING_UM = 5.0
SECTION = ("quartz", "")  # materials of the background and of the pores
VARIATION: Mapping[str, tuple[float, float]] = {"porosity": (0.18, 0.32), "grain_radius_um": (32.0, 42.0)}

PORE, CONTACT = 0.10, 0.30  # reflectance of a pore, depth of the dark line where two grains touch
BRINE = 0.34  # reflectance of doped brine, so to say: how bright it is beside pores and minerals
MINERALS = np.array([0.58, 0.68, 0.92])  # quartz, feldspar, a dense mineral
MINERAL_SHARES = np.array([0.72, 0.25, 0.03])


class Settings(KindSettings):
    """Parameters of a rock."""

    porosity: Annotated[float, Field(ge=0.02, le=0.95, description="area fraction of the pores")] = 0.24
    grain_radius_um: Annotated[float, Field(ge=0.01, le=1e5, description="mean radius of the grains, micrometres")] = (
        36.0
    )
    radius_spread: Annotated[
        float, Field(ge=0, le=1, description="standard deviation of the radii over their mean")
    ] = 0.35
    exact: Annotated[
        bool,
        Field(description="1: stop at the grain nearest to the porosity; 0: Poisson number of grains"),
    ] = True
    cement_um: Annotated[
        float,
        Field(ge=-1e5, le=1e5, description="layer on every grain, on top of the porosity; negative: grains dissolve"),
    ] = 0.0
    brine_saturation: Annotated[
        float, Field(ge=0, le=1, description="share of the pores that holds doped brine, the narrowest first")
    ] = 0.0


def scene(settings: Settings, size: tuple[int, int], spacing_um: float, source: Source) -> Scene:
    """A rock.

    Args:
        settings: its parameters.
        size: height and width in pixels, at least four mean radii.
        spacing_um: side of a pixel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the grains, or a grain is smaller than a pixel.
    """
    radius_px = settings.grain_radius_um / spacing_um
    if radius_px < 1 or min(size) < 4 * radius_px:
        raise Problem(
            f"grains of radius {radius_px:.3g} pixels do not fit {size[0]} x {size[1]} pixels",
            do="choose a radius between one pixel and a quarter of the window",
        )
    grains, pores = throw_grains(settings, size, spacing_um, source)
    labels = pores.astype(np.uint8)
    brine = narrowest(pores, settings.brine_saturation)
    parameters = {
        "porosity_asked": settings.porosity,
        "porosity": float(labels.mean()),
        "grain_radius_um": settings.grain_radius_um,
        "radius_spread": settings.radius_spread,
        "exact": float(settings.exact),
        "cement_um": settings.cement_um,
        "grains": float(len(grains)),
        "brine_saturation_asked": settings.brine_saturation,
        "brine_saturation": float(brine.sum() / max(int(pores.sum()), 1)),
    }
    caption = (
        f"microCT slice of a rock phantom, porosity {labels.mean():.2f}, grain radius {settings.grain_radius_um:.0f} um"
    )
    if settings.brine_saturation:
        caption += f", brine saturation {parameters['brine_saturation']:.2f}"
    return Scene(_reflectance(grains, pores, brine, size, spacing_um, source), labels, parameters, caption)


def narrowest(pores: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The narrowest part of the pores: that share of them, to half a pixel.

    A place is as wide as the largest disc that covers it and lies in the pores. Of equally wide places those nearest to
    a grain come first.

    Args:
        pores: ``(height, width)``.
        share: from 0 to 1.
    """
    found: NDArray[np.bool_] = np.zeros_like(pores)
    count = round(share * int(pores.sum()))
    if not count:
        return found
    # Without any grain there is no distance to one.
    depth = np.ones(pores.shape) if pores.all() else distance_transform_edt(pores)
    width = local_thickness(depth)
    order = np.lexsort((depth[pores], width[pores]))
    filled = np.zeros(int(pores.sum()), np.bool_)
    filled[order[:count]] = True
    found[pores] = filled
    return found


def throw_grains(
    settings: Settings, size: tuple[int, int], spacing_um: float, source: Source
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The grains that meet a window, and the pores that they leave.

    Grain k has the numbers that came k-th under each name. So with named streams another porosity takes away the last
    grains or adds some, and another radius lets the same grains grow.

    Returns:
        Grains ``(n, 3)``: y and x of the centre from the upper left corner of the window, and radius,
        in micrometres; and pores ``(height, width)``, true where the centre of the pixel is in no grain.
    """
    height, width = size[0] * spacing_um, size[1] * spacing_um
    mean = settings.grain_radius_um
    variance_log = math.log1p(settings.radius_spread**2)
    second_moment = mean**2 * (1 + settings.radius_spread**2)
    intensity = -math.log(settings.porosity) / (math.pi * second_moment)
    weights = np.array([height * width, 2 * (height + width) * mean, 4 * second_moment])
    expected = intensity * weights.sum()

    def throw(count: int) -> NDArray[np.float64]:
        # r^k times a lognormal density is that density with its log mean moved by k variances.
        order = stream(source, "order").choice(3, size=count, p=weights / weights.sum())
        log_mean = math.log(mean) - variance_log / 2 + order * variance_log
        radius = np.exp(log_mean + math.sqrt(variance_log) * stream(source, "radius").standard_normal(count))
        y = stream(source, "y").uniform(-radius, height + radius)
        x = stream(source, "x").uniform(-radius, width + radius)
        return np.stack([y, x, radius], axis=1)

    if not settings.exact:
        grains = throw(int(stream(source, "count").poisson(expected)))
        return _cemented(grains, _first_cover(grains, size, spacing_um) == len(grains), settings, size, spacing_um)

    grains = throw(math.ceil(1.1 * expected) + 10)
    first = _first_cover(grains, size, spacing_um)
    while (first == len(grains)).mean() > settings.porosity:
        grains = np.concatenate([grains, throw(math.ceil(0.2 * expected) + 10)])
        first = _first_cover(grains, size, spacing_um)
    covered_by = np.bincount(first.ravel(), minlength=len(grains) + 1)  # new pixels that grain k covers
    porosity_after = 1 - np.concatenate([[0], np.cumsum(covered_by[:-1])]) / first.size
    count = int(np.argmin(np.abs(porosity_after - settings.porosity)))
    return _cemented(grains[:count], first >= count, settings, size, spacing_um)


def _cemented(
    grains: NDArray[np.float64], pores: NDArray[np.bool_], settings: Settings, size: tuple[int, int], spacing_um: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The grains with their layer of cement, each at its place, and the pores that are left."""
    if not settings.cement_um:
        return grains, pores
    grains = grains.copy()
    grains[:, 2] = np.maximum(grains[:, 2] + settings.cement_um, 1e-3 * spacing_um)  # a grain of none covers nothing
    return grains, _first_cover(grains, size, spacing_um) == len(grains)


def _first_cover(grains: NDArray[np.float64], size: tuple[int, int], spacing_um: float) -> NDArray[np.int64]:
    """Index of the first grain that covers the centre of each pixel; ``len(grains)`` where none does."""
    first = np.full(size, len(grains), dtype=np.int64)
    for index, place, power in _power_patches(grains, size, spacing_um, rim_um=0.0):
        patch = first[place]
        np.minimum(patch, np.where(power > 0, index, len(grains)), out=patch)
    return first


def _reflectance(
    grains: NDArray[np.float64],
    pores: NDArray[np.bool_],
    brine: NDArray[np.bool_],
    size: tuple[int, int],
    spacing_um: float,
    source: Source,
) -> NDArray[np.float64]:
    grey = stream(source, "mineral").choice(MINERALS, size=len(grains), p=MINERAL_SHARES)
    grey = np.append(grey + 0.03 * stream(source, "grey").standard_normal(len(grains)), PORE)
    largest, second = np.full((2, *size), -1e3 * spacing_um**2)  # far outside of any grain
    owner = np.full(size, len(grains), dtype=np.int64)
    inside = np.zeros(size)
    for index, place, power in _power_patches(grains, size, spacing_um, rim_um=spacing_um):
        radius = grains[index, 2]
        top, runner_up = largest[place], second[place]
        wins = power > top
        np.maximum(runner_up, np.minimum(power, top), out=runner_up)
        top[wins] = power[wins]
        owner[place][wins] = index
        depth = (radius - np.sqrt(radius**2 - power)) / spacing_um  # pixels inside the edge
        np.maximum(inside[place], np.clip(depth + 0.5, 0, 1), out=inside[place])
    # On the chord between two grains the powers are equal; away from it they part by 2 (distance of the
    # centres) per length. The line is about a pixel wide, and only where both grains cover.
    radius = np.append(grains[:, 2], 1.0)[owner]
    contact = np.exp(-(((largest - second) / (2.0 * radius * spacing_um)) ** 2)) * (second > 0)
    texture = gaussian_filter(stream(source, "texture").standard_normal(size), 1.5) * (2 * math.sqrt(math.pi) * 1.5)
    solid = grey[owner] * (1 - CONTACT * contact) + 0.02 * texture
    fluid = np.where(brine, BRINE, PORE)
    if brine.any() and not pores.all():
        # Soft edges of grains have some of the fluid that is next to them, and their contacts none.
        away, nearest = distance_transform_edt(~pores, return_indices=True)
        fluid = np.where(away < 2, fluid[tuple(nearest)], PORE)
    reflectance: NDArray[np.float64] = np.clip(fluid + (solid - fluid) * inside, 0, 1)
    return reflectance


def _power_patches(
    grains: NDArray[np.float64], size: tuple[int, int], spacing_um: float, rim_um: float
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.float64]]]:
    """For each grain that meets the window: index, its rectangle of pixels, and r^2 - d^2 there."""
    y = (np.arange(size[0]) + 0.5) * spacing_um
    x = (np.arange(size[1]) + 0.5) * spacing_um
    reach = grains[:, 2:] + rim_um
    low = np.ceil((grains[:, :2] - reach) / spacing_um - 0.5).clip(0).astype(int)
    high = np.floor((grains[:, :2] + reach) / spacing_um + 0.5).clip(0).astype(int)
    for index, ((top, left), (bottom, right)) in enumerate(zip(low, high, strict=True)):
        place = slice(top, bottom), slice(left, right)
        centre_y, centre_x, radius = grains[index]
        power = radius**2 - (y[place[0], None] - centre_y) ** 2 - (x[None, place[1]] - centre_x) ** 2
        yield index, place, power
