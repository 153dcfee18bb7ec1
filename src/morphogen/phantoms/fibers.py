"""Fiber: a unidirectional bundle in cross-section, ellipses that do not overlap.

A cylinder of diameter d whose axis is tilted by theta from the normal of the section cuts it in an ellipse
with axes d and d / cos(theta); its long axis points where the cylinder leans. The area fraction of the
section is the fiber volume fraction (Delesse's principle). Both slopes of an axis are normal with the
chosen spread, so that theta is nearly Rayleigh; it is cut off at ``LARGEST_TILT``.

Random sequential addition jams near 0.55, so the packing is relaxed: centres start uniform and overlapping
pairs push each other apart until none is left, on a torus, where the fraction is exact and no fiber sees a
wall. The first steps use larger axes, which spreads the fibers as a resin that wets them all does. Opposite
edges of an image fit together; cut crops if that matters.

What is asked for "after packing" leaves every fiber at its place: some can be left out, all can become thinner or stand
straighter, as a smaller ellipse inside of one that met no other meets none either. The same bundle with thicker fibers,
or more of them, is then the one before these changes.

Whether two ellipses overlap: Perram and Wertheim, J. Comput. Phys. 58 (1985) 409. With shape matrices A and
B (squared semi-axes) and R from centre to centre,

    F(l) = l (1 - l) R' [(1 - l) A + l B]^-1 R,    the ellipses are apart if F(l) >= 1 for any l in (0, 1).

In two dimensions the adjugate is linear and the determinant quadratic in l. The maximum of F is mu^2, where
mu scales both ellipses until they touch; a pair with mu < 1 moves apart along R by the factor 1 / mu. An l
that is not quite the maximum underestimates F, so that ending the search early never lets an overlap pass.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.phantom import KindSettings, Scene
from morphogen.problems import Problem

KIND = "fiber"
SPACING_UM = 0.65
SECTION = ("epoxy", "carbon")  # materials of the background and of the fibers
VARIATION: Mapping[str, tuple[float, float]] = {
    "fiber_volume_fraction": (0.45, 0.60),
    "fiber_diameter_um": (6.6, 7.6),
}

MATRIX, FIBER = 0.30, 0.76  # reflectance
LARGEST_TILT = math.radians(60.0)
GAP = 0.02  # the packing is relaxed with axes this much larger, so that it ends after finitely many steps
SPREADING_STEPS, SPREADING_FRACTION, SPREADING_MOST = 10, 0.80, 1.15  # see _relax
MOST_STEPS = 4000


class Settings(KindSettings):
    """Parameters of a bundle of fibers."""

    fiber_volume_fraction: Annotated[
        float, Field(ge=0.02, le=0.70, description="area fraction of the fibers in the section")
    ] = 0.55
    fiber_diameter_um: Annotated[
        float, Field(ge=0.01, le=1e5, description="mean diameter of the fibers, micrometres")
    ] = 7.0
    diameter_spread: Annotated[
        float, Field(ge=0, le=0.4, description="standard deviation of the diameters over their mean")
    ] = 0.06
    tilt_spread_deg: Annotated[
        float, Field(ge=0, le=30, description="standard deviation of each of the two tilts, degrees")
    ] = 10.0
    lean_deg: Annotated[float, Field(ge=0, le=50, description="tilt that all fibers have in common, degrees")] = 0.0
    lean_direction_deg: Annotated[
        float, Field(ge=0, le=360, description="where they lean in common, from right towards down, degrees")
    ] = 0.0
    left_out: Annotated[
        float, Field(ge=0, le=0.9, description="share of the fibers that are left out after packing")
    ] = 0.0
    thinned: Annotated[
        float, Field(ge=0, le=0.8, description="share of their diameter that fibers lose after packing")
    ] = 0.0
    straightened: Annotated[
        float, Field(ge=0, le=1, description="share of their tilt that fibers lose after packing")
    ] = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Fibers:
    """Fibers on a torus, lengths in micrometres, angles in radians.

    Attributes:
        centres: ``(n, 2)``, y and x.
        diameters: ``(n,)``.
        tilts: ``(n,)``, angle between the axis of the fiber and the normal of the section.
        azimuths: ``(n,)``, direction of the long axis, from x towards y.
        window: height and width of the torus.
    """

    centres: NDArray[np.float64]
    diameters: NDArray[np.float64]
    tilts: NDArray[np.float64]
    azimuths: NDArray[np.float64]
    window: tuple[float, float]

    @property
    def long_axes(self) -> NDArray[np.float64]:
        """Long axes of the ellipses, ``(n,)``; the short ones are the diameters."""
        return self.diameters / np.cos(self.tilts)

    @property
    def area_fraction(self) -> float:
        """Sum of the areas of the ellipses over that of the window."""
        return float((math.pi / 4 * self.diameters * self.long_axes).sum() / math.prod(self.window))


def scene(settings: Settings, size: tuple[int, int], spacing_um: float, source: Source) -> Scene:
    """A bundle of fibers.

    Args:
        settings: its parameters.
        size: height and width in pixels, at least four diameters.
        spacing_um: side of a pixel.
        source: of all randomness.

    Raises:
        Problem: the window is too small for the fibers, a fiber is smaller than two pixels, or the fibers
            cannot be packed.
    """
    diameter_px = settings.fiber_diameter_um / spacing_um
    if diameter_px < 2 or min(size) < 4 * diameter_px:
        raise Problem(
            f"fibers of diameter {diameter_px:.3g} pixels do not fit {size[0]} x {size[1]} pixels",
            do="choose a diameter between two pixels and a quarter of the window",
        )
    fibers = _as_drawn(pack(settings, (size[0] * spacing_um, size[1] * spacing_um), source), settings)
    reflectance, labels = _draw(fibers, size, spacing_um, source)
    parameters = {
        "fiber_volume_fraction_asked": settings.fiber_volume_fraction,
        "fiber_volume_fraction": float(labels.mean()),
        "fiber_diameter_um_asked": settings.fiber_diameter_um,
        "fiber_diameter_um": float(fibers.diameters.mean()),
        "diameter_spread_asked": settings.diameter_spread,
        "diameter_spread": float(fibers.diameters.std() / fibers.diameters.mean()),
        "tilt_spread_deg": settings.tilt_spread_deg,
        "lean_deg": settings.lean_deg,
        "lean_direction_deg": settings.lean_direction_deg,
        "mean_tilt_deg": math.degrees(fibers.tilts.mean()),
        "fibers": float(len(fibers.diameters)),
    }
    caption = (
        f"microCT slice of a fiber phantom, fiber volume fraction {labels.mean():.2f},"
        f" fiber diameter {fibers.diameters.mean():.1f} um"
    )
    return Scene(reflectance, labels, parameters, caption)


def pack(settings: Settings, window: tuple[float, float], source: Source) -> Fibers:
    """Fibers of the chosen volume fraction, none of which overlaps another.

    The number of fibers is the one that comes nearest, and all diameters are then scaled by one factor
    (within 1 / 2n of one) that makes the fraction exact.

    Args:
        settings: the parameters.
        window: height and width of the torus in micrometres.
        source: of all randomness.

    Raises:
        Problem: the relaxation does not end.
    """
    variance_log = math.log1p(settings.diameter_spread**2)
    area = math.prod(window)
    mean_area = math.pi / 4 * settings.fiber_diameter_um**2 * (1 + settings.diameter_spread**2)
    most = 8 + math.ceil(1.5 * settings.fiber_volume_fraction * area / mean_area)
    diameters = settings.fiber_diameter_um * np.exp(
        math.sqrt(variance_log) * stream(source, "diameter").standard_normal(most) - variance_log / 2
    )
    slopes = np.tan(math.radians(settings.tilt_spread_deg)) * stream(source, "slope").standard_normal((most, 2))
    lean, direction = math.radians(settings.lean_deg), math.radians(settings.lean_direction_deg)
    slopes += math.tan(lean) * np.array([math.sin(direction), math.cos(direction)])
    tilts = np.minimum(np.arctan(np.hypot(slopes[:, 0], slopes[:, 1])), LARGEST_TILT)
    azimuths = np.arctan2(slopes[:, 0], slopes[:, 1])
    fractions = np.cumsum(math.pi / 4 * diameters**2 / np.cos(tilts)) / area
    count = 1 + int(np.argmin(np.abs(fractions - settings.fiber_volume_fraction)))
    diameters = diameters[:count] * math.sqrt(settings.fiber_volume_fraction / fractions[count - 1])
    start = stream(source, "start").uniform((0.0, 0.0), window, (count, 2))
    fibers = Fibers(start, diameters, tilts[:count], azimuths[:count], window)
    return _relax(fibers)


def _as_drawn(fibers: Fibers, settings: Settings) -> Fibers:
    """What is left of packed fibers, each at its place."""
    kept = max(1, round(len(fibers.diameters) * (1 - settings.left_out)))
    return Fibers(
        fibers.centres[:kept],
        fibers.diameters[:kept] * (1 - settings.thinned),
        fibers.tilts[:kept] * (1 - settings.straightened),
        fibers.azimuths[:kept],
        fibers.window,
    )


def _relax(fibers: Fibers) -> Fibers:
    """Moves the centres until no two fibers overlap.

    The first steps are taken with the axes that would fill ``SPREADING_FRACTION`` of the window.
    """
    window = np.asarray(fibers.window)
    spread = math.sqrt(SPREADING_FRACTION / fibers.area_fraction)
    spread = min(max(spread, 1 + GAP), SPREADING_MOST)
    if (
        2 * spread * fibers.long_axes.max() > window.min()
    ):  # a fiber would meet the same neighbour twice around the torus
        raise Problem("the fibers are too long for the window", do="choose a smaller tilt or a larger window")
    shapes = _shape_matrices(fibers)
    centres = fibers.centres.copy()
    for step in range(MOST_STEPS):
        larger = spread if step < SPREADING_STEPS else 1 + GAP
        reach = larger * fibers.long_axes.max()
        first, second = cKDTree(centres, boxsize=window).query_pairs(reach, output_type="ndarray").T
        apart = centres[second] - centres[first]
        apart -= window * np.rint(apart / window)
        contact = _contact(apart, shapes[first], shapes[second])
        if step >= SPREADING_STEPS and (contact.size == 0 or contact.min() >= 1):
            return Fibers(centres, fibers.diameters, fibers.tilts, fibers.azimuths, fibers.window)
        push = 0.5 * apart * np.maximum(larger * contact**-0.5 - 1, 0)[:, None]
        np.add.at(centres, second, push)
        np.subtract.at(centres, first, push)
        centres %= window
        centres[centres >= window[None]] = 0.0  # a tiny negative modulo the window rounds up to the window
    raise Problem(
        f"{len(centres)} fibers could not be packed without overlap",
        do="choose a smaller volume fraction, tilt or spread of diameters",
    )


def _shape_matrices(fibers: Fibers) -> NDArray[np.float64]:
    """Matrices of squared semi-axes, as components yy, yx, xx: ``(n, 3)``."""
    long, short = (fibers.long_axes / 2) ** 2, (fibers.diameters / 2) ** 2
    y, x = np.sin(fibers.azimuths), np.cos(fibers.azimuths)
    return np.stack([short + (long - short) * y * y, (long - short) * y * x, short + (long - short) * x * x], 1)


def _contact(apart: NDArray[np.float64], A: NDArray[np.float64], B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perram and Wertheim's contact function mu^2 of pairs, ``(n,)``: at least 1 where they are apart."""
    y, x = apart.T

    def through_adjugate(M: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(M[:, 2] * y * y - 2 * M[:, 1] * y * x + M[:, 0] * x * x)

    # F = l (1 - l) (a0 + a1 l) / (d0 + d1 l + d2 l^2)
    a0 = through_adjugate(A)
    a1 = through_adjugate(B) - a0
    D = B - A
    d0 = A[:, 0] * A[:, 2] - A[:, 1] ** 2
    d1 = A[:, 0] * D[:, 2] + A[:, 2] * D[:, 0] - 2 * A[:, 1] * D[:, 1]
    d2 = D[:, 0] * D[:, 2] - D[:, 1] ** 2
    low, high = np.zeros_like(y), np.ones_like(y)
    for _ in range(12):  # F is concave: bisect the sign of its slope; l to 1e-4 gives F to 1e-7
        l = (low + high) / 2  # noqa: E741
        numerator = l * (1 - l) * (a0 + a1 * l)
        slope = (1 - 2 * l) * (a0 + a1 * l) + l * (1 - l) * a1
        determinant = d0 + l * (d1 + l * d2)
        climbs = slope * determinant > numerator * (d1 + 2 * d2 * l)
        low, high = np.where(climbs, l, low), np.where(climbs, high, l)
    return np.asarray(numerator / determinant)


def _draw(
    fibers: Fibers, size: tuple[int, int], spacing_um: float, source: Source
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    count = len(fibers.diameters)
    grey = FIBER + 0.05 * stream(source, "grey").standard_normal(count)
    texture = gaussian_filter(stream(source, "texture").standard_normal(size), 2.0, mode="wrap") * (
        4 * math.sqrt(math.pi)
    )
    image = MATRIX + 0.02 * texture
    labels = np.zeros(size, dtype=np.uint8)
    long, short = fibers.long_axes / (2 * spacing_um), fibers.diameters / (2 * spacing_um)  # in pixels
    for index, (y, x) in enumerate(fibers.centres / spacing_um):
        reach = long[index] + 1
        rows = np.arange(math.floor(y - reach), math.ceil(y + reach))
        columns = np.arange(math.floor(x - reach), math.ceil(x + reach))
        dy, dx = rows[:, None] + 0.5 - y, columns[None, :] + 0.5 - x
        sine, cosine = math.sin(fibers.azimuths[index]), math.cos(fibers.azimuths[index])
        along, across = (dx * cosine + dy * sine) / long[index], (dy * cosine - dx * sine) / short[index]
        radius = np.hypot(along, across)  # 1 on the ellipse
        steepness = np.hypot(along / long[index], across / short[index]) / np.maximum(radius, 1e-9)
        inside = np.clip(0.5 + (1 - radius) / np.maximum(steepness, 1e-9), 0, 1)  # share of the pixel
        place = np.ix_(rows % size[0], columns % size[1])
        labels[place] |= radius <= 1
        image[place] += (grey[index] - image[place]) * inside
    return np.clip(image, 0, 1), labels
