"""Radially averaged power spectrum of the grey image: at which lengths its texture varies, and how much.

With the Hann window w (sin^2 along either axis; Harris 1978) on a field of H x W pixels of sides (p_y, p_x), and the
grey levels g less their windowed mean,

    P(f) = p_y p_x |sum w (g - sum w g / sum w) exp(-2 pi i f . x)|^2 / sum w^2.

Divided so by the power of the window, P integrates over all frequencies to the variance (Parseval, in the mean over
where the window stands), and white noise of variance s^2 has P = s^2 p_y p_x. Without a window the seam between
opposite edges of a field, which do not fit together, would put a cross of power 1/f^2 over everything.

Rings of one width 1/L, with L the shorter side of the field: ring k = 1, 2, ... has k - 1/2 <= |f| L < k + 1/2 and ends
at the Nyquist frequency f_N = 1 / (2 max(p_y, p_x)). The curve is log10 of the plain mean of P in a ring, over the mean
frequency of its members; fields are averaged as logarithms, so the mean over fields is a geometric one. Power below
``FLOOR`` of what white noise of this variance has (an exact pattern of few frequencies) is put at that.

    spectral slope          slope of log10 P over log10 f by least squares over the rings from 4/L to f_N / 2: below, a
                            field holds too few periods to tell; above, blur and noise rule. -2 where P = f^-2.
    high-frequency power    share of P at |f| > f_N / 2, up to the corners of the spectrum: 1 - pi / 16 = 0.804 for
                            white noise on square pixels, little for an image that is smooth or too clean, and
                            more than measured ones have for one with a checkerboard in it.

Valid for grey images that are not constant, with shorter sides of 8 pixels (24 for the slope). Ring 1 lies too low, by
a third for white noise, because the mean that is taken away is its neighbour under the window. Shift of grey level
changes nothing; contrast shifts the curve by its logarithm and leaves both numbers.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import IN_COLOUR, Section

SMALLEST_SIDE = 8
"""Larger sides of a pixel along the shorter side of the field."""

LOWEST_OF_SLOPE = 4
"""Periods over the shorter side with which the band of the slope begins."""

FEWEST_OF_SLOPE = 3
"""Rings to lay a line through."""

FLOOR = 1e-12

CONSTANT = "all pixels have the same grey level"
NO_BAND = "the field is too small for a slope"


@dataclass(frozen=True, slots=True, eq=False)
class PowerSpectrum:
    """Power spectral density of an image.

    Attributes:
        frequencies: ``(k,)``, mean frequency of each ring, periods per unit of length.
        power: ``(k,)``, mean density of each ring, grey level squared times unit of area.
        slope: of log power over log frequency; None where the band has fewer than ``FEWEST_OF_SLOPE`` rings.
        high_share: share of all power above half of the Nyquist frequency.
    """

    frequencies: NDArray[np.float64]
    power: NDArray[np.float64]
    slope: float | None
    high_share: float


def power_spectrum(grey: NDArray[np.floating], pixel: tuple[float, float] = (1.0, 1.0)) -> PowerSpectrum:
    """Radially averaged spectrum.

    Args:
        grey: ``(height, width)``, not constant, ``SMALLEST_SIDE`` or larger.
        pixel: height and width of a pixel, in any unit of length.
    """
    geometry = _geometry(grey.shape[0], grey.shape[1], *pixel)
    w = geometry.window
    spectrum = fft.rfft2(w * (grey - np.sum(w * grey) / w.sum()))
    P = (spectrum.real**2 + spectrum.imag**2) * (math.prod(pixel) / np.sum(w * w))  # (height, width // 2 + 1)
    total = float(np.sum(P * geometry.weight))
    power = np.bincount(geometry.ring, weights=(P * geometry.weight)[geometry.inside])[1:] / geometry.ring_weight
    power = np.maximum(power, FLOOR * total / grey.size)
    slope = None
    if int(geometry.band.sum()) >= FEWEST_OF_SLOPE:
        slope = float(np.polyfit(np.log10(geometry.frequencies[geometry.band]), np.log10(power[geometry.band]), 1)[0])
    high_share = float(np.sum((P * geometry.weight)[geometry.high])) / total
    return PowerSpectrum(geometry.frequencies, power, slope, high_share)


@dataclass(frozen=True, slots=True)
class RadialPowerSpectrum:
    """The spectrum as a curve, its slope, and the share of high frequencies."""

    name: str = "power spectrum"
    unit: str = ""
    definition: str = "Power spectral density of the grey levels (Hann window) averaged over rings of frequency."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``; the phase is not used."""
        grey, size, pixel, unit = section.grey, section.phase.shape, section.pixel, section.unit
        found, reason = None, ""
        if min(n * p for n, p in zip(size, pixel, strict=True)) < SMALLEST_SIDE * max(pixel):
            reason = f"a field of {size[0]} x {size[1]} pixels is too small"
        elif grey is None:
            reason = IN_COLOUR
        elif float(grey.max()) == float(grey.min()):
            reason = CONSTANT
        else:
            found = power_spectrum(grey, pixel)
        slope = found.slope if found else None
        return Readings(
            {
                "spectral slope": Scalar("", slope, reason or ("" if slope is not None else NO_BAND)),
                "high-frequency power": Scalar("", found.high_share if found else None, reason),
            },
            {
                self.name: CurveReading(
                    "spatial frequency",
                    f"1/{unit}",
                    f"log10 grey level² {unit}²",
                    _geometry(*size, *pixel).frequencies,
                    np.log10(found.power) if found else None,
                    reason,
                )
            },
        )


DESCRIPTOR = RadialPowerSpectrum()


@dataclass(frozen=True, slots=True, eq=False)
class _Geometry:
    window: NDArray[np.float64]  # (height, width)
    weight: NDArray[np.float64]  # (width // 2 + 1,): 2 where the opposite frequency is not in the half-plane, else 1
    inside: NDArray[np.bool_]  # (height, width // 2 + 1): frequencies up to the last ring
    ring: NDArray[np.intp]  # ring of each of them; ring 0 is what is slower than half a period over the field
    ring_weight: NDArray[np.float64]  # from ring 1 on
    frequencies: NDArray[np.float64]
    band: NDArray[np.bool_]  # rings of the slope
    high: NDArray[np.bool_]  # (height, width // 2 + 1): above half of Nyquist


@lru_cache(maxsize=8)
def _geometry(height: int, width: int, pixel_y: float, pixel_x: float) -> _Geometry:
    hann = [np.sin(math.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (height, width)]
    f = np.hypot(fft.fftfreq(height, pixel_y)[:, None], fft.rfftfreq(width, pixel_x))
    columns = np.arange(width // 2 + 1)
    weight = np.where((columns == 0) | (2 * columns == width), 1.0, 2.0)
    L, nyquist = min(height * pixel_y, width * pixel_x), 0.5 / max(pixel_y, pixel_x)
    rings = math.floor(nyquist * L + 1e-9)
    ring = np.floor(f * L + 0.5 + 1e-9).astype(np.intp)
    inside = ring <= rings
    of_ring = np.broadcast_to(weight, f.shape)[inside]
    ring_weight = np.bincount(ring[inside], weights=of_ring)[1:].astype(np.float64)
    frequencies = np.bincount(ring[inside], weights=of_ring * f[inside])[1:] / ring_weight
    k = np.arange(1, rings + 1)
    return _Geometry(
        window=np.outer(*hann),
        weight=weight,
        inside=inside,
        ring=ring[inside],
        ring_weight=ring_weight,
        frequencies=frequencies,
        band=(k >= LOWEST_OF_SLOPE) & (k <= nyquist * L / 2 + 1e-9),
        high=f > nyquist / 2,
    )
