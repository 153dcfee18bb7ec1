"""How a phase is redrawn in a photograph so that no brush can be seen.

The image is taken for what a blurred camera sees of two materials,

    g = s a + (1 - s) b + t,        s = G_w * I

with the indicator I of the phase, the local grey level a inside and b outside (Gaussian means over pixels that are at
least one pixel from an edge, deviation ``TONE_PX``), edges of blur w, and texture t. w is read from the steepness of
the image's own edges: a step of height h blurred by w climbs by at most h / (w sqrt(2 pi)) a pixel.

``repaint`` gives changed pixels, and the rim that blur reaches, the grey level that this model has for the new phase:
texture is Gaussian with the spread of the material that is painted (1.4826 times the median absolute residual) and its
autocovariance up to a few pixels. Everything else keeps its pixels. ``move_edges`` moves all edges by less than a pixel
and adds only (a - b)(s' - s): noise and texture stay as they are. ``resample`` interpolates and gives back the noise
that interpolation took.

Valid where two materials can be told by their grey level, and structures are a few pixels wide.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.optimize import bisect
from scipy.special import ndtr

from morphogen.audit.defect import Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture

TONE_PX = 6.0
"""Deviation of the window, in pixels, over which a material's local grey level is read."""

LONGEST_PX = 3.0
"""Deviation of the window on lags within which the texture's autocovariance is read."""

FARTHEST_PX = 4.0
"""No edge is moved by more."""

_LITTLE = 0.02  # weight of the mean over the whole field where a material is not near
_LAPLACIAN_PAIR = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)  # Immerkaer 1996: blind to planes

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How the two materials of a field look.

    Attributes:
        inside: ``(channels, height, width)``, local grey level of the phase of interest.
        outside: the same of the rest.
        blur: deviation of the edges in pixels.
        spread: ``(2, channels)``, standard deviation of the texture inside and outside.
        filters: what makes white noise as smooth as the texture of the inside and of the outside, in Fourier space.
    """

    inside: Values
    outside: Values
    blur: float
    spread: Values
    filters: tuple[Values, Values]

    def texture(self, generator: np.random.Generator) -> tuple[Values, Values]:
        """New texture of the inside and of the outside, ``(channels, height, width)`` each."""
        made = []
        for spread, smooth in zip(self.spread, self.filters, strict=True):
            white = fft.rfft2(generator.standard_normal(self.inside.shape[1:]))
            noise = fft.irfft2(smooth * white, self.inside.shape[1:])
            made.append(spread[:, None, None] * noise / max(noise.std(), 1e-12))
        return made[0], made[1]


def look(section: Section) -> Look:
    """How the materials of a section look; it has both phases."""
    grey = section.picture.pixels.astype(np.float64)
    phase = section.phase
    tones, spreads, filters = [], [], []
    for material in (phase, ~phase):
        core = ndimage.binary_erosion(material, border_value=1)
        core = core if core.sum() >= 8 else material
        weight = ndimage.gaussian_filter(core.astype(np.float64), TONE_PX)
        mean = grey[:, core].mean(axis=1)[:, None, None]
        local = ndimage.gaussian_filter(grey * core, TONE_PX, axes=(1, 2))
        tone = (local + _LITTLE * mean) / (weight + _LITTLE)
        residual = grey - tone
        spread = 1.4826 * np.median(np.abs(residual[:, core]), axis=1)
        tones.append(tone)
        spreads.append(spread)
        filters.append(_filter(residual.mean(axis=0), core))
    return Look(tones[0], tones[1], _edge_blur(section, tones), np.array(spreads), (filters[0], filters[1]))


def repaint(section: Section, phase: Mask, generator: np.random.Generator, material: Material) -> Picture:
    """The picture as it would be with another phase, ``(height, width)``.

    Draws the same numbers whatever has changed. A section of one phase, which shows nothing of the other material,
    comes back as it is.
    """
    if not section.has_both_phases:
        return section.picture
    seen = look(section)
    texture_inside, texture_outside = seen.texture(generator)
    changed = section.phase ^ phase
    if not changed.any():
        return section.picture
    grey = section.picture.pixels.astype(np.float64)
    s = ndimage.gaussian_filter(phase.astype(np.float64), seen.blur)
    painted = s * (seen.inside + texture_inside) + (1 - s) * (seen.outside + texture_outside)
    near = ndimage.distance_transform_edt(~changed)
    w = np.clip(1 + 2 * seen.blur + 0.5 - near, 0, 1)  # the blur of an edge ends after about two deviations
    # A rim that was and stays on the far side of an edge keeps its own pixels as far as the blur did not reach it.
    return with_pixels(section.picture, (1 - w) * grey + w * painted, material, phase)


def move_edges(section: Section, ratio: float, material: Material) -> Picture:
    """The picture with all edges of the phase moved by one distance, such that its area is ``ratio`` times as large.

    The distance may be a small part of a pixel. It is found by counting: with u = (g - b) / (a - b) a pixel counts as
    phase where u is above the level that gives the section's own area, and moving the edges adds s' - s to u.
    """
    if not section.has_both_phases:
        return section.picture
    seen = look(section)
    phase = section.phase
    d = np.where(
        phase, ndimage.distance_transform_edt(phase) - 0.5, 0.5 - ndimage.distance_transform_edt(~phase)
    )  # from the edge of the pixels, positive inside
    width = max(seen.blur, 0.4)
    grey = section.picture.pixels.astype(np.float64)
    step = seen.inside - seen.outside
    contrast = step.mean(axis=0)
    u = (grey - seen.outside).mean(axis=0) / np.where(np.abs(contrast) > 1e-9, contrast, 1e-9)
    level = float(np.quantile(u, 1 - section.fraction))

    def change(moved: float) -> Values:
        found: Values = ndtr((d + moved) / width) - ndtr(d / width)
        return found

    def excess(moved: float) -> float:
        return float(((u + change(moved)) > level).sum() - ratio * phase.sum())

    if excess(-FARTHEST_PX) >= 0 or excess(FARTHEST_PX) <= 0:  # there is no room to move so far
        moved = FARTHEST_PX if ratio > 1 else -FARTHEST_PX
    else:
        moved = float(bisect(excess, -FARTHEST_PX, FARTHEST_PX, xtol=1e-3))
    return with_pixels(section.picture, grey + step * change(moved), material, _resized(phase, ratio))


def resample(
    section: Section, rows: Values, columns: Values, generator: np.random.Generator, material: Material
) -> Picture:
    """The picture read at other places ``(height, width)``, in pixels; beyond its edge it is mirrored.

    Splines of fifth order smooth little between pixels; white noise brings back the level that they took.
    """
    picture = section.picture
    grey = picture.pixels.astype(np.float64)
    places = np.stack([rows, columns])

    def read_at_places(values: Values) -> Values:
        found: Values = ndimage.map_coordinates(values, places, order=5, mode="reflect")
        return found

    # What happens to noise of deviation 1 says how much of the image's own noise is lost.
    white, lost = generator.standard_normal((2, *section.phase.shape))
    missing = math.sqrt(max(1 - (noise_level(read_at_places(white)) / noise_level(white)) ** 2, 0.0))
    read = np.stack([read_at_places(channel) + missing * noise_level(channel) * lost for channel in grey])
    mask = None
    if picture.mask is not None:
        mask = ndimage.map_coordinates(picture.mask.astype(np.float64), places, order=1, mode="reflect") > 0.5
    return with_pixels(picture, read, material, mask)


def noise_level(grey: Values) -> float:
    """Standard deviation of the noise, by Immerkaer's operator (1996) and the median, which edges hardly move."""
    response = ndimage.convolve(grey, _LAPLACIAN_PAIR, mode="reflect")
    return float(1.4826 * np.median(np.abs(response)) / 6)


def _filter(residual: Values, core: Mask) -> Values:
    """Square root of the spectrum of the residual over its own material, from its autocovariance at short lags."""
    scale = 1.4826 * float(np.median(np.abs(residual[core])))
    inside = fft.rfft2(np.clip(residual, -3 * scale, 3 * scale) * core)
    pairs = fft.irfft2(np.abs(fft.rfft2(core.astype(np.float64))) ** 2, core.shape)
    covariance = fft.irfft2(np.abs(inside) ** 2, core.shape) / np.maximum(pairs, 1.0)
    dy, dx = (np.minimum(np.arange(n), n - np.arange(n)) for n in core.shape)
    covariance *= np.exp(-0.5 * (dy[:, None] ** 2 + dx**2) / LONGEST_PX**2)
    smooth: Values = np.sqrt(np.maximum(fft.rfft2(covariance).real, 0.0))
    return smooth if smooth.any() else np.ones_like(smooth)


def _edge_blur(section: Section, tones: list[Values]) -> float:
    grey = section.picture.pixels.astype(np.float64)
    edge = section.phase ^ ndimage.binary_erosion(section.phase, border_value=1)
    step = (tones[0] - tones[1]).mean(axis=0)
    slope = np.hypot(*np.gradient(grey.mean(axis=0)))
    # The centred difference over two pixels of a step blurred by w peaks at about h / (sqrt(2 pi) sqrt(w^2 + 1/3)).
    steepness = float(np.median(slope[edge] / np.maximum(np.abs(step[edge]), 1e-9)))
    return float(np.clip(math.sqrt(max((0.3989 / max(steepness, 1e-3)) ** 2 - 1 / 3, 0.0)), 0.3, 3.0))


def _resized(phase: Mask, ratio: float) -> Mask:
    """The mask with ``ratio`` times as many pixels: taken from, or added at, its rim."""
    count = round(ratio * int(phase.sum())) - int(phase.sum())
    rank = ndimage.gaussian_filter(phase.astype(np.float64), 1.5)
    candidates = np.flatnonzero(~phase if count > 0 else phase)
    order = np.argsort(rank.ravel()[candidates] * (-1 if count > 0 else 1), kind="stable")
    resized = phase.copy()
    resized.ravel()[candidates[order[: abs(count)]]] = count > 0
    return resized
