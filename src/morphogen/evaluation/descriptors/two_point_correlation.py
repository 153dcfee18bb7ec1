"""Two-point correlation of the phase: how far its structures reach, and in which directions.

Torquato, Random Heterogeneous Materials (2002), ch. 2. With the indicator I of the phase,

    S2(r) = < I(x) I(x + r) >,     S2(0) = phi,     S2(r) -> phi^2 for large r.

For the lag (dy, dx) in pixels of an H x W picture the average runs over the (H - |dy|)(W - |dx|) pairs that
lie inside it, and likewise in three dimensions. Nothing wraps round, so S2 is unbiased at every lag, which a
periodic correlation of a picture that is not periodic is not.

Radial average: lags are put into rings of one pitch (the smallest pixel side), k - 1/2 <= r/pitch < k + 1/2;
a ring's S2 is the plain mean over its lag vectors, each direction alike also in a long rectangle; its r is
their mean length. Lengths are physical, so pixels need not be square. Along x, y (and z) only the lags of that
axis are taken. All run to half of the shortest side.

Correlation length: where the normalised autocovariance chi(r) = (S2(r) - phi^2) / (phi - phi^2) first falls to
1/e, linear between lags, with phi of the same picture. It does not exist where only one phase is present, or
where the fall is not complete at half of the shorter side: the field is too small to tell.

Integral range (Matheron 1971; Lantuejoul, J. Microscopy 161, 1991): A = integral of chi over the plane. The phase
fraction of a field of area V >> A varies between fields by phi (1 - phi) A / V: V / A is the number of independent
pieces that it holds. We integrate the radial chi, linear between lags, up to its first zero,

    A = 2 pi  integral_0^r0  chi(r) r dr,

since beyond it only noise is added; a hole effect (negative chi of regular structures) is left out by that. Where
noise alone keeps chi above zero, the factor r would make a long tail of it: over fields of overlapping discs, V / A =
4000, the standard deviation of A was 1.6 times its mean. So the integral also ends, after the automatic windowing of
Sokal (1989), at the first r of at least four radii of a disc of area A(r) where chi(r) is within its own noise, of
which sqrt(A(r) / V) is the order. A chi that falls exponentially loses 2 % by that. It is invalid where neither
end is reached at half of the shorter side. In layers A is not finite, and a field gives a lower bound at best.

Speed. The sums over pairs come from an FFT that is padded by the longest lag only, and cut after each axis to
the lags that are read. The power spectrum is real, so half of it does on the way back. Rings are one sparse matrix.

Exact. Sums over pairs are whole numbers, and the rounded result of an FFT is right where its error is below 1/2.
Single precision is tried first, and accepted if all sums are nearer than 1/4 to a whole number (the roundoff check
of large-integer multiplication: Crandall and Pomerance, Prime Numbers, 2005, section 9.5). It is a test and no proof,
but a wrong rounding needs an error above 3/4 where all others, which are of one size, stay below 1/4; at
128 x 128 x 128 and porosity 0.3 they reach 1/16. Else double precision is used, whose error is below 2 e n for n
pixels of the phase and N transformed points, e = 2e-15 log2(N) (Higham, Accuracy and Stability of Numerical
Algorithms, 2002, theorem 24.2): proven to round to the right number up to n = 10^12.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, sparse

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import ONE_PHASE, Section

SMALLEST_SIDE = 8
"""Pixels; below, half of the side leaves too few lags for a curve."""

LAGS_PX = (4, 16)
"""Lags, in pitches, at which S2 is read as a number."""

DIRECTIONS = ("", " along x", " along y", " along z")
"""What follows the name of a function of the lag: nothing for the radial average, then the axes, last one first."""

RADIAL, ALONG_X, ALONG_Y, ALONG_Z = (f"two-point correlation{direction}" for direction in DIRECTIONS)

SINGLE = 1 << 21
"""Pixels of the phase up to which single precision is tried: there its steps are 1/8, and the check can see them."""

SLAB = 1 << 18
"""Numbers that are transformed at a time."""

BEYOND_REACH = "the lag is beyond half of the shorter side"


def first_lag_at(lags: NDArray[np.float64], values: NDArray[np.float64], level: float) -> float | None:
    """Where a curve first comes down to a level, linear between lags; None where it does not, or starts below."""
    below = np.flatnonzero(values <= level)
    if len(below) == 0 or below[0] == 0:
        return None
    k = below[0]
    part = (values[k - 1] - level) / (values[k - 1] - values[k])
    return float(lags[k - 1] + part * (lags[k] - lags[k - 1]))


def too_small(shape: tuple[int, ...]) -> str:
    """Why a field has no curve over lags, or nothing where it has."""
    return "" if min(shape) >= SMALLEST_SIDE else f"a field of {shape[0]} x {shape[1]} pixels is too small"


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
        return first_lag_at(self.lags, self.autocovariance, 1 / math.e)

    @property
    def integral_range(self) -> float | None:
        """Integral of the autocovariance over the plane until it has come down to zero; None where that is further out.

        For a radial average in two dimensions; in the squared unit of the lags.
        """
        r, chi = self.lags, self.autocovariance
        zero = first_lag_at(r, chi, 0.0)
        if zero is not None:
            before = r < zero
            r, chi = np.append(r[before], zero), np.append(chi[before], 0.0)
        # Exact for chi r with chi linear in each interval.
        inner, outer = chi[:-1] * (2 * r[:-1] + r[1:]), chi[1:] * (r[:-1] + 2 * r[1:])
        area = np.append(0.0, (math.pi / 3 * (inner + outer) * np.diff(r)).cumsum())
        noise = np.sqrt(area) / (2 * self.lags[-1])
        settled = (chi <= noise) & (r >= 4 * np.sqrt(area / math.pi))
        if settled.any():
            return float(area[settled.argmax()])
        return None if zero is None else float(area[-1])


def two_point_correlation(
    phase: NDArray[np.bool_], pixel: tuple[float, ...] | None = None
) -> Mapping[str, Correlation]:
    """S2 over rings (shells) of lags, and along each axis.

    Args:
        phase: ``(height, width)`` or ``(depth, height, width)``, at least 2 pixels a side.
        pixel: sides of a pixel in the order of the axes, in any unit; lags come in the same. One each if not given.

    Returns:
        "two-point correlation" (radial), "... along x" (the last axis), "... along y", and "... along z" of a volume.

    Raises:
        ValueError: the phase has another number of axes, or ``pixel`` another number of sides.
    """
    lags = lags_of(phase.shape, pixel or (1.0,) * phase.ndim)
    curves = lags.average(pair_sums(phase, lags.reach))
    return {f"{RADIAL}{direction}": curve for direction, curve in curves.items()}


def pair_sums(phase: NDArray[np.bool_], reach: tuple[int, ...]) -> NDArray[np.floating]:
    """How many pairs of pixels at each lag are both in the phase.

    Args:
        phase: two axes or three.
        reach: longest lag along each axis, in pixels, less than the side.

    Returns:
        Whole numbers. The first axis holds the lags 0 ... reach, the others -reach ... reach; lags that are left
        out are the opposites of those that are there.
    """
    precision = torch.float32 if np.count_nonzero(phase) < SINGLE else torch.float64
    sums = _correlation_by_fft(phase, reach, precision)
    whole = sums.round()
    if precision == torch.float32 and float(sums.sub_(whole).abs_().max()) >= 1 / 4:
        whole = _correlation_by_fft(phase, reach, torch.float64).round()
    found: NDArray[np.floating] = whole.numpy()
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Lags:
    """The lags of fields of one size, laid out as ``pair_sums`` has them, and how they are averaged.

    Attributes:
        reach: longest lag along each axis, in pixels, that the rings need.
        pairs: how many pairs of pixels of the field there are at each lag.
    """

    reach: tuple[int, ...]
    pairs: NDArray[np.float64]
    _rings: sparse.csr_array  # (rings, lags): 1, or 2 where the opposite lag is left out
    _ring_weight: NDArray[np.float64]
    _radii: NDArray[np.float64]
    _axes: tuple[NDArray[np.float64], ...]  # lags along each axis within half of the shortest side

    def average(self, sums: NDArray[np.floating]) -> dict[str, Correlation]:
        """Divide sums over pairs by the number of pairs; radial average and lines along the axes by ``DIRECTIONS``."""
        shares = sums / self.pairs
        curves = [Correlation(self._radii, self._rings @ shares.ravel() / self._ring_weight)]
        for axis in reversed(range(shares.ndim)):
            line: list[int | slice] = [0, *self.reach[1:]]  # the lag 0
            line[axis] = slice(line[axis], None)
            lags = self._axes[axis]
            curves.append(Correlation(lags, shares[tuple(line)][: len(lags)]))
        return dict(zip(DIRECTIONS, curves, strict=False))


@lru_cache(maxsize=8)
def lags_of(shape: tuple[int, ...], pixel: tuple[float, ...]) -> Lags:
    """The lags of fields of that shape in pixels; kept, since most fields of a comparison have one size."""
    if not 2 <= len(shape) <= 3 or len(pixel) != len(shape):
        raise ValueError(f"a field needs two or three axes and as many pixel sides, got {shape} and {pixel}")
    pitch = min(pixel)
    farthest = min(n * side for n, side in zip(shape, pixel, strict=True)) / 2
    rings = math.floor(farthest / pitch + 1e-9)
    reach = tuple(min(n - 1, math.floor((rings + 0.5) * pitch / side)) for n, side in zip(shape, pixel, strict=True))
    steps = np.ix_(np.arange(reach[0] + 1), *(np.arange(-lag, lag + 1) for lag in reach[1:]))
    pairs = reduce(np.multiply, (n - np.abs(step).astype(np.float64) for n, step in zip(shape, steps, strict=True)))
    lengths = np.sqrt(sum((step * side) ** 2 for step, side in zip(steps, pixel, strict=True)))
    ring = np.floor(lengths / pitch + 0.5).astype(np.intp).ravel()
    inside = np.flatnonzero(ring <= rings)
    weight = np.broadcast_to(np.where(steps[0] > 0, 2.0, 1.0), lengths.shape).ravel()[inside]
    ring_weight = np.bincount(ring[inside], weights=weight).astype(np.float64)
    return Lags(
        reach=reach,
        pairs=pairs,
        _rings=sparse.csr_array((weight, (ring[inside], inside)), shape=(rings + 1, lengths.size)),
        _ring_weight=ring_weight,
        _radii=np.bincount(ring[inside], weights=weight * lengths.ravel()[inside]) / ring_weight,
        _axes=tuple(
            np.arange(min(lag, math.floor(farthest / side + 1e-9)) + 1, dtype=np.float64) * side
            for lag, side in zip(reach, pixel, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True)
class TwoPointCorrelation:
    """S2(r) as curves, S2 at two lags, correlation lengths and the integral range."""

    name: str = RADIAL
    unit: str = ""
    definition: str = "Probability that two points at distance r are both in the phase."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        pixel, unit = section.pixel, section.unit
        numbers = [f"{RADIAL} at {lag} px" for lag in LAGS_PX]
        lengths = {name: f"correlation length{end}" for name, end in zip(_CURVES, DIRECTIONS, strict=False)}
        area = f"{unit}²"
        if reason := too_small(section.phase.shape):
            nothing = CurveReading("lag", unit, "", np.empty(0), None, reason)
            return Readings(
                {name: Scalar("", None, reason) for name in numbers}
                | {name: Scalar(unit, None, reason) for name in lengths.values()}
                | {INTEGRAL_RANGE: Scalar(area, None, reason)},
                dict.fromkeys(lengths, nothing),
            )
        found = two_point_correlation(section.phase, pixel)
        radial = found[RADIAL]
        scalars = {}
        for lag, name in zip(LAGS_PX, numbers, strict=True):
            r = lag * min(pixel)
            scalars[name] = Scalar("", radial.at(r)) if r <= radial.lags[-1] else Scalar("", None, BEYOND_REACH)
        for name, correlation in found.items():
            length = correlation.length if section.has_both_phases else None
            scalars[lengths[name]] = _reading(length, unit, section, "the correlation reaches")
        whole = radial.integral_range if section.has_both_phases else None
        scalars[INTEGRAL_RANGE] = _reading(whole, area, section, "the autocovariance comes down to zero only")
        return Readings(
            scalars,
            {name: CurveReading("lag", unit, "", c.lags, c.values) for name, c in found.items()},
        )


INTEGRAL_RANGE = "integral range"

DESCRIPTOR = TwoPointCorrelation()

_CURVES = (RADIAL, ALONG_X, ALONG_Y)


def _reading(value: float | None, unit: str, section: Section, what: str) -> Scalar:
    if value is not None:
        return Scalar(unit, value)
    return Scalar(unit, None, f"{what} beyond half of the shorter side" if section.has_both_phases else ONE_PHASE)


def _correlation_by_fft(phase: NDArray[np.bool_], reach: tuple[int, ...], precision: torch.dtype) -> torch.Tensor:
    """What ``pair_sums`` gives, not yet rounded."""
    # Padding by the longest lag is enough to keep what wraps round away from the lags that are read.
    padded = [fft.next_fast_len(n + lag, real=True) for n, lag in zip(phase.shape, reach, strict=True)]
    *others, last = range(phase.ndim)
    lines = torch.fft.rfft(torch.from_numpy(phase.astype(np.float32)).to(precision), padded[last])
    parts = []
    # A slab of frequencies goes through all other axes while it is in the cache.
    for spectrum in lines.split(max(8, SLAB // math.prod(padded[:last])), dim=last):
        for axis in reversed(others):
            spectrum = torch.fft.fft(spectrum, padded[axis], dim=axis)
        power = spectrum.real.square().add_(spectrum.imag.square())
        part = torch.fft.ihfft(power, dim=0)[: reach[0] + 1]
        for axis in others[1:]:
            part = _about_zero(torch.fft.ifft(part, dim=axis), reach[axis], axis)
        parts.append(part)
    return _about_zero(torch.fft.irfft(torch.cat(parts, dim=last), padded[last]), reach[last], last)


def _about_zero(sums: torch.Tensor, reach: int, axis: int) -> torch.Tensor:
    """The lags -reach ... reach of a periodic axis that starts at 0."""
    return torch.cat([sums.narrow(axis, sums.shape[axis] - reach, reach), sums.narrow(axis, 0, reach + 1)], dim=axis)
