"""Optical scanner, or a colour camera behind glass: red, green and blue light that materials send back.

    light(y, x, c)  = colour_c(material) tone (1 + f v(y, x)) (1 + h u(y, x))
                                          v   fall-off of a lens, -(r^2 - mean r^2) with r = 1 in the corners
                                          u   linear ramp from -1/2 to 1/2 along a random direction
    electrons       ~ Poisson(W (G_b * light)) + Normal(0, r^2)
                                          W   electrons of a white pixel, r read noise
    pixel           = M curve(electrons / W)

The blur is stated by where the modulation transfer falls to a half, in cycles a pixel: a Gaussian of b pixels has
exp(-2 pi^2 b^2 f^2), so that b = sqrt(ln 2 / 2) / (pi f_50). Light is linear; the curve is that of sRGB
(IEC 61966-2-1), without which pixels stay proportional to light.

With ``bayer`` each pixel has one of the three filters, in squares of red and green over green and blue, and what is
missing is the weighted mean of the nearest neighbours that have it (bilinear). All filters of the light are symmetric:
nothing is moved.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import convolve, gaussian_filter

from morphogen.phantoms.instruments.instrument import (
    Instrument,
    PixelType,
    Seen,
    Subject,
    require_materials,
    to_grey,
)
from morphogen.phantoms.materials import material

EMPTY = (0.025, 0.022, 0.020)
"""Reflectance of an open pore: little of the light that falls in comes back."""

_NEAREST = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
_NEAREST_GREEN = np.array([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]])


class Scanner(Instrument):
    """An optical scanner."""

    takes: ClassVar[str] = "optical scan"

    mtf50: Annotated[
        float, Field(ge=0.01, le=10, description="where the modulation transfer is a half, cycles a pixel")
    ] = 0.25
    white_electrons: Annotated[
        float, Field(ge=1, le=1e12, description="electrons of a white pixel: more of them, less shot noise")
    ] = 8000.0
    read_electrons: Annotated[
        float, Field(ge=0, le=1e6, description="standard deviation of the noise in the dark, electrons")
    ] = 8.0
    falloff: Annotated[
        float, Field(ge=0, le=1, description="loss of light from the middle to the corners, of its mean")
    ] = 0.10
    shading: Annotated[float, Field(ge=0, le=1, description="change of the light across the image, of its mean")] = 0.10
    exposure: Annotated[float, Field(gt=0, le=10, description="white over full scale")] = 1.0
    bayer: Annotated[bool, Field(description="1: one colour filter a pixel, the others interpolated")] = False
    srgb: Annotated[bool, Field(description="1: the curve of sRGB; 0: proportional to light")] = True

    def see(
        self, subjects: Sequence[Subject], dtype: PixelType, generators: Sequence[np.random.Generator]
    ) -> list[Seen]:
        """Images in red, green and blue."""
        require_materials(subjects, "scanner")
        return [self._see(subject, dtype, chance) for subject, chance in zip(subjects, generators, strict=True)]

    def _see(self, subject: Subject, dtype: PixelType, generator: np.random.Generator) -> Seen:
        colours = np.array([EMPTY, *(material(name).colour for name in subject.materials)])
        light = np.moveaxis(colours[subject.labels], -1, 0) * subject.tone  # (3, height, width)
        light *= self._illumination(subject.labels.shape, generator.uniform(0, 2 * math.pi))
        blur = math.sqrt(math.log(2) / 2) / (math.pi * self.mtf50)
        light = gaussian_filter(light, (0, blur, blur), mode="reflect")
        electrons = generator.poisson(light * self.white_electrons).astype(np.float64)
        electrons += self.read_electrons * generator.standard_normal(electrons.shape)
        if self.bayer:
            electrons = demosaicked(electrons)
        share = self.exposure * electrons / self.white_electrons
        return Seen(to_grey(srgb_curve(share) if self.srgb else share, dtype), {"instrument": "scanner"})

    def _illumination(self, shape: tuple[int, ...], direction: float) -> NDArray[np.float64]:
        """Light on each pixel, of mean 1 for either cause."""
        y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None]
        squared = (y * y + x * x) / 2  # 1 in the corners
        sine, cosine = math.sin(direction), math.cos(direction)
        ramp = (y * sine + x * cosine) / (2 * (abs(sine) + abs(cosine)))
        light: NDArray[np.float64] = (1 - self.falloff * (squared - squared.mean())) * (1 + self.shading * ramp)
        return light


def srgb_curve(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of sRGB for linear light, both from 0 to 1."""
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def demosaicked(full: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is known of three colours where every pixel measures one of them.

    Args:
        full: ``(3, height, width)``; of each pixel the colour of its filter is looked at, and no other.
    """
    rows, columns = np.indices(full.shape[1:])
    green = (rows + columns) % 2 == 1
    red, blue = ~green & (rows % 2 == 0), ~green & (rows % 2 == 1)
    found = []
    for colour, has, weights in zip(full, (red, green, blue), (_NEAREST, _NEAREST_GREEN, _NEAREST), strict=True):
        near = convolve(np.where(has, colour, 0.0), weights, mode="constant")
        known = convolve(has.astype(np.float64), weights, mode="constant")
        found.append(np.where(has, colour, near / np.maximum(known, 1e-9)))
    return np.stack(found)


INSTRUMENT = Scanner
