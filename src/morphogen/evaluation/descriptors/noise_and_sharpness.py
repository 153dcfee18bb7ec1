"""How noisy the pixels are and how sharp the edges: texture that is right but too clean, or too soft, is a known tell.

**Noise level**: the standard deviation of white noise, by the filter of Immerkaer (1996), the second difference along
x of the second difference along y,

    N = (1, -2, 1)' (1, -2, 1) / 6,    noise = median |N * g| / 0.6745,

which is blind to anything smooth and keeps the variance of white noise. Immerkaer takes the mean of |N * g|, which
edges raise; the median (Donoho and Johnstone 1994 take it of the finest wavelets) leaves half of the pixels to
structure. It was chosen against the plain mean and against the median of Haar wavelets on phantoms of all three kinds,
where its error was smallest throughout. Grey levels that are whole numbers make a response of whole sixths; the median
is then interpolated within its class, as else the noise of an 8 bit image would come in steps. Where the true noise is
weaker than what structure leaves in the filter, the reading is that residue: on a phantom of fibers 11 pixels wide and
of little blur 0.4 % of full scale. Noise that a reconstruction or a JPEG has smoothed is not white and reads too low.

**Edge width**: the distance over which a step between two grey levels climbs from 10 % to 90 %, 2.563 s for a step
under a Gaussian blur of standard deviation s. The gradient of such a step under a Gaussian of sigma peaks at

    C / (sqrt(2 pi) t),    t^2 = s^2 + sigma^2,

so the ratio q of the peaks under two Gaussians, sigma = 1 and 2 pixels, gives s without the contrast C (Elder and
Zucker 1998; Zhuo and Sim 2011),

    s^2 = (sigma_2^2 - q^2 sigma_1^2) / (q^2 - 1),

from the median q over the edges, 0 where q asks for less. Edges are the maxima of the wider gradient along the axis (x
or y) nearest to it that stand above the noise by ``ABOVE_NOISE`` standard deviations and are at least half as steep as
the steepest tenth of those. An edge lies between pixels: its place comes from a parabola through the logarithms of the
wider gradient, which are one for a Gaussian, and both peaks are read there. The narrow gradient is projected on the
direction of the wide one, so noise enters it linearly and leaves the median in its place.

The width of a pixel's own aperture is part of the width, as in the image. Shift of grey level and contrast change
nothing, nor does the segmentation, which is not used. Where structures are thin or close, neighbouring edges make it
too narrow: on phantoms of rock, fibers 11 pixels wide and fine roots it is 85, 75 and 60 % of what the camera's blur
makes of a step, and rises with the blur on all three.

Invalid: colour, fields below ``SMALLEST_SIDE``, fewer than ``FEWEST_EDGES``.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import IN_COLOUR, Section

NARROW, WIDE = 1.0, 2.0
"""Standard deviations of the two Gaussians, in larger sides of a pixel."""

REACH = 3.0
"""Standard deviations to which they reach."""

ABOVE_NOISE = 5.0

FEWEST_EDGES = 20

SMALLEST_SIDE = 24
"""Larger sides of a pixel along the shorter side of the field; below, the Gaussians leave too little of it to read."""

SMALLEST_OF_NOISE = 8
"""Pixels along the shorter side."""

NORMAL_MEDIAN = 0.674490
"""Median of |z| for a standard normal z."""

TEN_TO_NINETY = 2.563103
"""Distance between the 10 % and 90 % quantiles of a standard normal."""

NO_EDGES = f"fewer than {FEWEST_EDGES} edges stand out from the noise, or they are too soft to measure"


def noise_level(grey: NDArray[np.floating]) -> float:
    """Standard deviation of white noise, in grey levels.

    Args:
        grey: ``(height, width)``, at least 3 x 3.
    """
    response = np.abs(np.diff(np.diff(grey, 2, axis=0), 2, axis=1)).ravel()
    median = float(np.median(response))
    if median > 0 and not np.any(response % 1):
        # Class k of the whole numbers stands for k - 1/2 to k + 1/2.
        middle = math.floor(median)
        below, within = int(np.sum(response < middle)), int(np.sum(response == middle))
        median = middle - 0.5 + (len(response) / 2 - below) / max(within, 1)
    return median / 6 / NORMAL_MEDIAN


def edge_width(grey: NDArray[np.floating], pixel: tuple[float, float] = (1.0, 1.0)) -> float | None:
    """Median 10 % to 90 % width of the steepest edges, in the unit of the pixel.

    Args:
        grey: ``(height, width)``, ``SMALLEST_SIDE`` or larger.
        pixel: height and width of a pixel, in any unit of length.

    Returns:
        The width, or None where there are fewer than ``FEWEST_EDGES`` edges, or they are so soft that both Gaussians
        find them alike.
    """
    narrow, wide = NARROW * max(pixel), WIDE * max(pixel)
    gradient = _gradient(grey, wide, pixel)
    # What a filter made up outside is in no gradient that is looked at.
    margins = [math.floor(REACH * wide / p + 0.5) + 1 for p in pixel]
    steepness = np.hypot(*gradient)
    # Under a Gaussian of sigma, white noise has a gradient of variance (area of a pixel) / (8 pi sigma^4) each way.
    of_noise = noise_level(grey) * math.sqrt(math.prod(pixel) / (8 * math.pi)) / wide**2
    y, x, axis = _maxima(steepness, gradient, margins, max(ABOVE_NOISE * of_noise, 1e-9 * float(np.ptp(grey)) / wide))
    if len(y) == 0:
        return None
    steep = steepness[y, x] >= np.quantile(steepness[y, x], 0.9) / 2
    y, x, axis = y[steep], x[steep], axis[steep]
    if len(y) < FEWEST_EDGES:
        return None
    before, at, after = (
        np.log(np.maximum(steepness[y + k * (axis == 0), x + k * (axis == 1)], 1e-300)) for k in (-1, 0, 1)
    )
    curvature = before + after - 2 * at
    step = (before - after) / (2 * curvature)  # to the edge, in pixels along the axis
    peak = np.exp(at - (after - before) ** 2 / (8 * curvature))
    towards = np.stack([g[y, x] for g in gradient]) / steepness[y, x]
    away = step * np.array(pixel)[axis] * np.abs(towards[axis, np.arange(len(y))])  # across the edge
    narrow_gradient = sum(
        g[y, x] * component for g, component in zip(_gradient(grey, narrow, pixel), towards, strict=True)
    )
    # The narrow peak is seen from off its side by as much as s says, which it is to give: a few rounds settle it.
    s2 = 0.0
    for _ in range(8):
        q2 = float(np.median(narrow_gradient * np.exp(away**2 / (2 * (s2 + narrow**2))) / peak)) ** 2
        if q2 <= 1:
            return None
        s2 = max((wide**2 - q2 * narrow**2) / (q2 - 1), 0.0)
    return TEN_TO_NINETY * math.sqrt(s2)


@dataclass(frozen=True, slots=True)
class NoiseAndSharpness:
    """Standard deviation of the pixel noise, and the width of edges."""

    name: str = "noise and sharpness"
    unit: str = "grey level"
    definition: str = (
        "Standard deviation of the white noise (median of Immerkaer's filter), and the 10 % to 90 % width of the"
        " steepest edges."
    )

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``; the phase is not used."""
        grey, pixel, size = section.grey, section.pixel, section.phase.shape
        noise, noise_reason = None, ""
        width, width_reason = None, ""
        small = f"a field of {size[0]} x {size[1]} pixels is too small"
        if grey is None:
            noise_reason = width_reason = IN_COLOUR
        else:
            if min(size) >= SMALLEST_OF_NOISE:
                noise = noise_level(grey)
            else:
                noise_reason = small
            if min(n * p for n, p in zip(size, pixel, strict=True)) >= SMALLEST_SIDE * max(pixel):
                width = edge_width(grey, pixel)
                width_reason = NO_EDGES if width is None else ""
            else:
                width_reason = small
        return Readings(
            {
                "noise level": Scalar("grey level", noise, noise_reason),
                "edge width": Scalar(section.unit, width, width_reason),
            }
        )


DESCRIPTOR = NoiseAndSharpness()


def _gradient(
    grey: NDArray[np.floating], sigma: float, pixel: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Derivatives along y and x under a Gaussian, per unit of length."""
    widths = [sigma / p for p in pixel]
    gy, gx = (
        ndimage.gaussian_filter(grey, widths, order=order, truncate=REACH) / p
        for order, p in zip(((1, 0), (0, 1)), pixel, strict=True)
    )
    return gy, gx


def _maxima(
    steepness: NDArray[np.float64],
    gradient: tuple[NDArray[np.float64], NDArray[np.float64]],
    margins: list[int],
    least: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows, columns and axis (0 for y, 1 for x) of pixels that are steepest along the axis nearest to the gradient."""
    inner = tuple(slice(m, -m) for m in margins)
    y, x = np.nonzero(steepness[inner] > least)
    y, x = y + margins[0], x + margins[1]
    axis = (np.abs(gradient[1][y, x]) >= np.abs(gradient[0][y, x])).astype(np.intp)
    dy, dx = 1 - axis, axis
    here = steepness[y, x]
    # Not as steep on one side at least: a curvature to lay a parabola through.
    top = (here > steepness[y - dy, x - dx]) & (here >= steepness[y + dy, x + dx])
    return y[top], x[top], axis[top]
