"""The Boolean model: what is left open by bodies thrown at random, and how it is correlated.

Matheron, Random Sets and Integral Geometry (1975); Torquato, Random Heterogeneous Materials (2002), chapters 5 and 6.
Centres are Poisson with intensity rho, bodies are independent. With the volume V of a body and its covariogram
K(r), the volume that it shares with itself moved by r,

    phi = exp(-rho E[V]),    S2(r) = exp(-rho (2 E[V] - E[K(r)])),

the probabilities that a point, and that both of two points r apart, lie in no body. A section through a Boolean model
is one, with the same phi and S2. For a ball of radius R, with h = |r| / R below 2,

    K = V (1 - 3 h / 4 + h^3 / 16)                                  in three dimensions,
    K = 2 R^2 (arccos(h / 2) - (h / 2) sqrt(1 - h^2 / 4))           in two,

and an ellipsoid is a ball in stretched coordinates: K is that of the unit ball at the length of r in half axes, times
the ratio of the volumes.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def intensity(void: float, mean_volume: float) -> float:
    """Bodies a volume that leave the share ``void`` open: rho = -ln(phi) / E[V]."""
    return -math.log(void) / mean_volume


def void_two_point(rho: float, mean_volume: float, mean_covariogram: ArrayLike) -> Floats:
    """S2 of what is left open, in the shape of the covariogram."""
    return np.asarray(np.exp(-rho * (2 * mean_volume - np.asarray(mean_covariogram, dtype=np.float64))))


def covariogram_of_ball(distance: ArrayLike, radius: ArrayLike, dimensions: int) -> Floats:
    """Volume (area in two dimensions) that a ball shares with itself moved by a distance; both broadcast.

    Args:
        distance: not negative.
        radius: above 0, in the same unit.
        dimensions: 2 or 3.
    """
    R = np.asarray(radius, dtype=np.float64)
    h = np.minimum(np.asarray(distance, dtype=np.float64) / R, 2.0)
    if dimensions == 3:
        return np.asarray(4 / 3 * math.pi * R**3 * (1 - 0.75 * h + h**3 / 16))
    if dimensions == 2:
        return np.asarray(2 * R**2 * (np.arccos(h / 2) - h / 2 * np.sqrt(1 - h**2 / 4)))
    raise ValueError(f"balls of {dimensions} dimensions are not known here")


def covariogram_of_ellipsoid(displacement: ArrayLike, half_axes: ArrayLike, directions: ArrayLike) -> Floats:
    """Volume that an ellipsoid (an ellipse in two dimensions) shares with itself moved.

    Args:
        displacement: ``(..., d)``.
        half_axes: ``(d,)``.
        directions: ``(d, d)``, its rows the unit vectors of the half axes.

    Returns:
        ``(...)``.
    """
    axes = np.asarray(half_axes, dtype=np.float64)
    along = np.asarray(displacement, dtype=np.float64) @ np.asarray(directions, dtype=np.float64).T / axes
    return float(np.prod(axes)) * covariogram_of_ball(np.linalg.norm(along, axis=-1), 1.0, len(axes))
