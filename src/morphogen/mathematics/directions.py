"""Directions in space: von Mises and Fisher's distribution, and orientation tensors.

Fisher, Proc. R. Soc. A 217 (1953) 295. The density of a direction u about the mean direction m is proportional to
exp(kappa m'u). In three dimensions w = m'u has the distribution function (e^(kappa w) - e^-kappa) / (2 sinh kappa),
which is inverted, and

    E[w] = coth kappa - 1 / kappa = L,    E[w^2] = 1 - 2 L / kappa.

The orientation tensor of second order is A = E[u u'] (Advani and Tucker, J. Rheology 31 (1987) 751), blind to the
sign of u:

    A = E[w^2] m m' + (1 - E[w^2]) / 2 (1 - m m').
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def fisher_directions(mean: ArrayLike, kappa: float, count: int, generator: np.random.Generator) -> Floats:
    """Unit vectors ``(count, 3)`` about a mean direction.

    Args:
        mean: ``(3,)``, not zero.
        kappa: concentration; 0 for directions that are all alike, infinity for the mean direction alone.
        count: how many.
        generator: gives the numbers for w first, then those for the turn about the mean.
    """
    m = np.asarray(mean, dtype=np.float64) / np.linalg.norm(mean)
    share, turn = generator.uniform(size=count), generator.uniform(0, 2 * math.pi, count)
    if math.isinf(kappa):
        return np.tile(m, (count, 1))
    w = 2 * share - 1 if kappa < 1e-8 else 1 + np.log(share + (1 - share) * math.exp(-2 * kappa)) / kappa
    w = np.clip(w, -1, 1)
    first, second = across(m)
    sine = np.sqrt(1 - w**2)[:, None]
    return np.asarray(w[:, None] * m + sine * (np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second))


def across(axis: ArrayLike) -> tuple[Floats, Floats]:
    """Two unit vectors that stand on a unit vector and on each other."""
    u = np.asarray(axis, dtype=np.float64)
    first = np.cross(u, np.eye(3)[int(np.argmin(np.abs(u)))])
    first /= np.linalg.norm(first)
    return first, np.cross(u, first)


def fisher_second_moment(kappa: float) -> float:
    """E[w^2] of the cosine of the angle to the mean: 1/3 for kappa = 0, 1 for infinity."""
    if math.isinf(kappa):
        return 1.0
    if kappa < 0.1:
        return 1 / 3 + 2 * kappa**2 / 45  # the closed form loses its digits; the next term is below 1e-6
    return 1 - 2 * (1 / math.tanh(kappa) - 1 / kappa) / kappa


def orientation_tensor(directions: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Mean of u u', ``(3, 3)``, of unit vectors ``(n, 3)``."""
    u = np.asarray(directions, dtype=np.float64)
    w = np.ones(len(u)) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray((u * (w / w.sum())[:, None]).T @ u)


def fisher_orientation_tensor(mean: ArrayLike, kappa: float) -> Floats:
    """A of the distribution, ``(3, 3)``."""
    m = np.asarray(mean, dtype=np.float64) / np.linalg.norm(mean)
    along = np.outer(m, m)
    second = fisher_second_moment(kappa)
    return np.asarray(second * along + (1 - second) / 2 * (np.eye(3) - along))
