"""What stands between a scene and its pixels: blur, uneven light, noise, and the grey scale of a detector.

With the scene s(y, x) in [0, 1] the camera sees

    t = (f + (1 + F) (G_b * s - f)) (1 + h u)
                                       G_b  Gaussian point spread function of b pixels
                                       f    G_p * G_b * s, F the strength of fringes that are p pixels wide
                                       u    linear ramp from -1/2 to +1/2 along a random direction
    t + n,  n ~ N(0, r^2 + q^2 t)      r    read noise, q  shot noise at full signal
    grey = M (offset + gain (t + n))   M    full scale of the pixel type, 255 or 65535

rounded and clipped to 0 ... M. Fringes are what in-line phase contrast draws along edges, bright inside and dark
outside: the Laplacian of what the X-rays went through (Cloetens et al., J. Phys. D 29 (1996) 133), at the width that
the reconstruction leaves of it. The shot noise is the Gaussian limit of a Poisson count with 1/q^2 photons
at full signal; the limit lets the variance be set to any value, and holds to a percent above a hundred
photons. A microCT slice is a reconstruction, and its noise is in truth correlated; white noise keeps the
variance of each pixel known.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from morphogen.phantoms.instruments.instrument import Instrument, PixelType, Seen, Subject


class Camera(Instrument):
    """A camera, or a tomograph for those who need no more than blur and white noise.

    The defaults are those of a clean scan: the edges are a little soft, the grain of the noise can be
    seen, and no phase saturates.
    """

    blur_px: Annotated[
        float, Field(ge=0, le=20, description="standard deviation of the point spread function, pixels")
    ] = 0.7
    read_noise: Annotated[
        float, Field(ge=0, le=1, description="standard deviation of the noise in the dark, of full signal")
    ] = 0.015
    shot_noise: Annotated[
        float, Field(ge=0, le=1, description="standard deviation of the photon noise at full signal")
    ] = 0.03
    fringes: Annotated[
        float, Field(ge=0, le=10, description="strength of phase-contrast fringes: an edge overshoots by half of it")
    ] = 0.0
    fringe_px: Annotated[float, Field(gt=0, le=50, description="width of the fringes, pixels")] = 3.0
    shading: Annotated[float, Field(ge=0, le=1, description="change of the light across the image, of its mean")] = 0.05
    offset: Annotated[float, Field(ge=0, le=1, description="grey value of no signal, of full scale")] = 0.04
    gain: Annotated[float, Field(gt=0, le=4, description="full signal less no signal, of full scale")] = 0.92

    def see(
        self, subjects: Sequence[Subject], dtype: PixelType, generators: Sequence[np.random.Generator]
    ) -> list[Seen]:
        """One grey image of each; a camera looks at brightness alone."""
        return [
            Seen(self.photograph(subject.reflectance, dtype, generator)[None])
            for subject, generator in zip(subjects, generators, strict=True)
        ]

    def photograph(
        self, scene: NDArray[np.floating], dtype: PixelType, generator: np.random.Generator
    ) -> NDArray[np.generic]:
        """The pixels that this camera takes of a scene.

        Args:
            scene: ``(height, width)``, reflectance or attenuation in [0, 1].
            dtype: "uint8" or "uint16".
            generator: gives the direction of the light first, then the noise.

        Returns:
            ``(height, width)`` pixels of that type; values outside of its range are clipped.
        """
        signal = gaussian_filter(scene.astype(np.float64), self.blur_px, mode="reflect")  # keeps the mean
        if self.fringes:
            signal += self.fringes * (signal - gaussian_filter(signal, self.fringe_px, mode="reflect"))
        signal *= 1.0 + self.shading * _ramp(scene.shape, generator.uniform(0.0, 2.0 * np.pi))
        deviation = np.sqrt(self.read_noise**2 + self.shot_noise**2 * np.clip(signal, 0.0, None))
        signal += deviation * generator.standard_normal(signal.shape)
        full_scale = np.iinfo(dtype).max
        grey = np.rint((self.offset + self.gain * signal) * full_scale)
        pixels: NDArray[np.generic] = np.clip(grey, 0, full_scale).astype(dtype)
        return pixels


def _ramp(shape: tuple[int, ...], direction: float) -> NDArray[np.float64]:
    """Plane of mean 0 that climbs from -1/2 in one corner to +1/2 in the opposite one."""
    y = np.linspace(-0.5, 0.5, shape[0])[:, None] * np.sin(direction)
    x = np.linspace(-0.5, 0.5, shape[1])[None, :] * np.cos(direction)
    plane: NDArray[np.float64] = (y + x) / (abs(np.sin(direction)) + abs(np.cos(direction)))
    return plane


INSTRUMENT = Camera
