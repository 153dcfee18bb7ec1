"""Gaussian random fields, and the two phases that a level cuts them into.

Field of mean 0 and variance 1 with covariance C(r). The phase where the field lies below the level h has, with the
normal distribution Phi (Torquato, Random Heterogeneous Materials (2002), section 8.4; Adler and Taylor, Random Fields
and Geometry (2007)),

    phi = Phi(h),    S2(r) = phi^2 + 1 / (2 pi) int_0^arcsin C(r) exp(-h^2 / (1 + sin t)) dt,

which is the arcsine law S2 = 1/4 + arcsin(C) / (2 pi) for h = 0. Covariances are Matern's,

    C(r) = 2^(1 - nu) / Gamma(nu) z^nu K_nu(z),    z = sqrt(2 nu) r / l,

from exponential (nu = 1/2: a rough surface whose area has no limit) to Gaussian (nu to infinity), valid in every
dimension: a section through such a field is one.

Fields are drawn by circulant embedding (Dietrich and Newsam, SIAM J. Sci. Comput. 18 (1997) 1088): on a torus so large
that C has died away half around it, the covariance is diagonal in Fourier space. Eigenvalues that come out negative,
since C does not quite die, are cut off, and the variance is set back to 1; what is cut off is returned.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.special import kv, ndtri

Floats = NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def level_of(fraction: float) -> float:
    """The level h below which a field lies with that probability."""
    return float(ndtri(fraction))


def matern(distance: ArrayLike, length: float, smoothness: float) -> Floats:
    """Matern's covariance, in the shape of the distances.

    Args:
        distance: not negative.
        length: correlation length l in the same unit.
        smoothness: nu; above 50 the Gaussian limit exp(-r^2 / 2 l^2) is taken.
    """
    r = np.asarray(distance, dtype=np.float64) / length
    if smoothness > 50:
        return np.asarray(np.exp(-(r**2) / 2))
    if smoothness in (0.5, 1.5, 2.5):  # in closed form, and much faster than Bessel functions
        z = math.sqrt(2 * smoothness) * r
        return np.asarray(np.exp(-z) * {0.5: 1.0, 1.5: 1 + z, 2.5: 1 + z + z**2 / 3}[smoothness])
    z = np.maximum(math.sqrt(2 * smoothness) * r, 1e-10)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        values = 2 ** (1 - smoothness) / math.gamma(smoothness) * z**smoothness * kv(smoothness, z)
    values = np.where(np.isfinite(values), values, 1.0)  # K overflows near 0, where C is 1
    return np.asarray(np.where(z > 600, 0.0, values))


def two_point_below(fraction: float, covariance: ArrayLike) -> Floats:
    """S2 of the phase below the level that gives it that fraction, in the shape of the covariances."""
    h = level_of(fraction)
    end = np.arcsin(np.clip(np.asarray(covariance, dtype=np.float64), -1, 1))
    t = end[..., None] * (_NODES + 1) / 2
    # At C = -1 the integrand ends at exp(-infinity).
    values = np.exp(-(h**2) / np.maximum(1 + np.sin(t), 1e-300)) if h else np.ones_like(t)
    return np.asarray(fraction**2 + end / 2 * (values @ _WEIGHTS) / (2 * math.pi))


def stationary_field(
    shape: tuple[int, ...],
    covariance: Callable[[tuple[Floats, ...]], Floats],
    padding: tuple[int, ...],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], float]:
    """A Gaussian field on a grid.

    Args:
        shape: of the grid.
        covariance: of displacements in grid steps, one open array an axis, to values with C(0) = 1.
        padding: steps, by axis, over which the covariance dies away.
        generator: gives one normal number for each point of the torus.

    Returns:
        The field, ``shape`` float32, of variance 1 over all fields; and the share of the variance of the torus that
        was cut off with negative eigenvalues.
    """
    torus = tuple(fft.next_fast_len(n + p, real=True) for n, p in zip(shape, padding, strict=True))
    ranks = range(len(torus))
    steps = tuple(
        np.minimum(np.arange(n), n - np.arange(n)).astype(np.float64).reshape([-1 if k == i else 1 for k in ranks])
        * np.where(np.arange(n) <= n // 2, 1, -1).reshape([-1 if k == i else 1 for k in ranks])
        for i, n in enumerate(torus)
    )
    row = np.empty(torus, dtype=np.float32)  # C of the shortest way around the torus
    for index in range(torus[0]):  # layer by layer, as formulas in double precision take many times the memory
        row[index] = covariance((steps[0][index : index + 1], *steps[1:]))[0]
    eigenvalues = fft.rfftn(row).real
    negative = float(-np.minimum(eigenvalues, 0).sum(dtype=np.float64))
    np.maximum(eigenvalues, 0, out=eigenvalues)
    white = fft.rfftn(generator.standard_normal(torus, dtype=np.float32))
    white *= np.sqrt(eigenvalues)
    field = fft.irfftn(white, torus)[tuple(slice(n) for n in shape)]
    total = float((eigenvalues.sum(dtype=np.float64) + _mirrored(eigenvalues, torus[-1])) / math.prod(torus))
    return np.ascontiguousarray(field / np.float32(math.sqrt(total)), dtype=np.float32), negative / max(
        total * math.prod(torus), 1e-30
    )


def _mirrored(half: NDArray[np.float32], last: int) -> float:
    """Sum over the frequencies that a transform of real numbers leaves out."""
    return float(half[..., 1 : (last + 1) // 2].sum(dtype=np.float64))
