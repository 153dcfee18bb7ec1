"""Two-point correlation of the phase: how far its structures reach, and in which directions.

Torquato, Random Heterogeneous Materials (2002), ch. 2. With the indicator I of the phase,

    S2(r) = < I(x) I(x + r) >,     S2(0) = phi,     S2(r) -> phi^2 for large r.

For the lag (dy, dx) in pixels of an H x W picture the average runs over the (H - |dy|)(W - |dx|) pairs that
lie inside it. Nothing wraps round: the sums are linear correlations by an FFT of the zero-padded indicator,
rounded to the whole numbers that they are, so the result equals the double loop to the last bit. This
is unbiased at every lag, which a periodic correlation of a picture that is not periodic is not.

Radial average: lags are put into rings of one pitch (the smaller pixel size), k - 1/2 <= r/pitch < k + 1/2;
a ring's S2 is the plain mean over its lag vectors, both half-planes, each direction alike also in a long
rectangle; its r is their mean length. Lengths are physical, so pixels need not be square. Along x and
along y only the lags of that axis are taken. All run to half of the shorter side.

Correlation length: where the normalised autocovariance (S2(r) - phi^2) / (phi - phi^2) first falls to 1/e,
linear between lags, with phi of the same picture. It does not exist where only one phase is present, or
where the fall is not complete at half of the shorter side: the field is too small to tell.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section

SMALLEST_SIDE = 8
"""Pixels; below, half of the side leaves too few lags for a curve."""

LAGS_PX = (4, 16)
"""Lags, in pitches, at which S2 is read as a number."""

RADIAL, ALONG_X, ALONG_Y = (
    "two-point correlation",
    "two-point correlation along x",
    "two-point correlation along y",
)


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """S2 at increasing lags; ``lags`` and ``values`` are ``(k,)``, and the first lag is 0."""

    lags: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def fraction(self) -> float:
        """Phi = S2(0)."""
        return float(self.values[0])

    def at(self, lag: float) -> float:
        """S2 at a lag up to the last one, linear between lags."""
        return float(np.interp(lag, self.lags, self.values))

    @property
    def autocovariance(self) -> NDArray[np.float64]:
        """(S2 - phi^2) / (phi - phi^2), 1 at lag 0; for a picture with both phases."""
        phi = self.fraction
        return (self.values - phi**2) / (phi - phi**2)

    @property
    def length(self) -> float | None:
        """First lag at which the autocovariance is down to 1/e, or None where that is further out."""
        chi = self.autocovariance
        below = np.flatnonzero(chi <= 1 / math.e)
        if len(below) == 0:
            return None
        k = below[0]
        part = (chi[k - 1] - 1 / math.e) / (chi[k - 1] - chi[k])
        return float(self.lags[k - 1] + part * (self.lags[k] - self.lags[k - 1]))


def two_point_correlation(
    phase: NDArray[np.bool_], pixel: tuple[float, float] = (1.0, 1.0)
) -> Mapping[str, Correlation]:
    """S2 over rings of lags, and along each axis.

    Args:
        phase: ``(height, width)``, at least 2 x 2.
        pixel: height and width of a pixel, in any unit; lags come in the same.

    Returns:
        "two-point correlation" (radial), "... along x" and "... along y".
    """
    geometry = _geometry(phase.shape[0], phase.shape[1], *pixel)
    lag_y, lag_x = geometry.reach
    S2 = _correlations(phase, lag_y, lag_x)  # (2 lag_y + 1, lag_x + 1)
    sums = np.bincount(geometry.ring, weights=S2[geometry.inside] * geometry.weight)
    along_x = S2[lag_y, : geometry.along_x + 1]
    along_y = S2[lag_y : lag_y + geometry.along_y + 1, 0]
    return {
        RADIAL: Correlation(geometry.radii, sums / geometry.ring_weight),
        ALONG_X: Correlation(np.arange(len(along_x), dtype=np.float64) * pixel[1], along_x),
        ALONG_Y: Correlation(np.arange(len(along_y), dtype=np.float64) * pixel[0], along_y),
    }


@dataclass(frozen=True, slots=True)
class TwoPointCorrelation:
    """S2(r) as curves, S2 at two lags, and correlation lengths."""

    name: str = RADIAL
    unit: str = ""
    definition: str = "Probability that two points at distance r are both in the phase."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        pixel, unit, size = section.pixel, section.unit, section.phase.shape
        numbers = [f"{RADIAL} at {lag} px" for lag in LAGS_PX]
        lengths = {
            RADIAL: "correlation length",
            ALONG_X: "correlation length along x",
            ALONG_Y: "correlation length along y",
        }
        if min(size) < SMALLEST_SIDE:
            reason = f"a field of {size[0]} x {size[1]} pixels is too small"
            nothing = CurveReading("lag", unit, "", np.empty(0), None, reason)
            return Readings(
                {name: Scalar("", None, reason) for name in numbers}
                | {name: Scalar(unit, None, reason) for name in lengths.values()},
                dict.fromkeys(lengths, nothing),
            )
        found = two_point_correlation(section.phase, pixel)
        scalars = {}
        for lag, name in zip(LAGS_PX, numbers, strict=True):
            r = lag * min(pixel)
            scalars[name] = (
                Scalar("", found[RADIAL].at(r))
                if r <= found[RADIAL].lags[-1]
                else Scalar("", None, "the lag is beyond half of the shorter side")
            )
        for name, correlation in found.items():
            scalars[lengths[name]] = _length(correlation, unit)
        return Readings(
            scalars,
            {name: CurveReading("lag", unit, "", c.lags, c.values) for name, c in found.items()},
        )


DESCRIPTOR = TwoPointCorrelation()


def _length(correlation: Correlation, unit: str) -> Scalar:
    if correlation.fraction in (0.0, 1.0):
        return Scalar(unit, None, ONE_PHASE)
    length = correlation.length
    if length is None:
        return Scalar(unit, None, "the correlation reaches beyond half of the shorter side")
    return Scalar(unit, length)


def _correlations(phase: NDArray[np.bool_], lag_y: int, lag_x: int) -> NDArray[np.float64]:
    """S2 at the lags dy = -lag_y ... lag_y (rows) and dx = 0 ... lag_x (columns)."""
    height, width = phase.shape
    # Padding by the longest lag is enough to keep what wraps round away from the lags that are read.
    shape = (fft.next_fast_len(height + lag_y, real=True), fft.next_fast_len(width + lag_x, real=True))
    spectrum = fft.rfft2(phase.astype(np.float64), shape)
    sums = fft.irfft2(spectrum.real**2 + spectrum.imag**2, shape)
    dy, dx = np.arange(-lag_y, lag_y + 1), np.arange(lag_x + 1)
    pairs = np.outer(height - np.abs(dy), width - dx)
    found: NDArray[np.float64] = np.rint(sums[np.ix_(dy, dx)]) / pairs
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Geometry:
    reach: tuple[int, int]  # longest lag along y and x, in pixels, that the rings need
    along_x: int  # longest lag along x within half of the shorter side
    along_y: int
    inside: NDArray[np.bool_]  # (2 lag_y + 1, lag_x + 1): lags that are in some ring
    ring: NDArray[np.intp]  # ring of each of them
    weight: NDArray[np.float64]  # 2 where the opposite lag is not in the half-plane, else 1
    ring_weight: NDArray[np.float64]
    radii: NDArray[np.float64]


@lru_cache(maxsize=8)
def _geometry(height: int, width: int, pixel_y: float, pixel_x: float) -> _Geometry:
    pitch = min(pixel_y, pixel_x)
    farthest = min(height * pixel_y, width * pixel_x) / 2
    rings = math.floor(farthest / pitch + 1e-9)
    reach = (
        min(height - 1, math.floor((rings + 0.5) * pitch / pixel_y)),
        min(width - 1, math.floor((rings + 0.5) * pitch / pixel_x)),
    )
    dy, dx = np.arange(-reach[0], reach[0] + 1), np.arange(reach[1] + 1)
    lengths = np.hypot(dy[:, None] * pixel_y, dx * pixel_x)
    ring = np.floor(lengths / pitch + 0.5).astype(np.intp)
    inside = ring <= rings
    weight = np.broadcast_to(np.where(dx > 0, 2.0, 1.0), lengths.shape)[inside]
    ring_weight = np.bincount(ring[inside], weights=weight).astype(np.float64)
    return _Geometry(
        reach=reach,
        along_x=min(reach[1], math.floor(farthest / pixel_x + 1e-9)),
        along_y=min(reach[0], math.floor(farthest / pixel_y + 1e-9)),
        inside=inside,
        ring=ring[inside],
        weight=weight,
        ring_weight=ring_weight,
        radii=np.bincount(ring[inside], weights=weight * lengths[inside]) / ring_weight,
    )
