"""In which direction lines and edges run in the plane of the image, and how much of one mind they are.

Structure tensor (Bigun and Granlund 1987; for fibers in microCT Krause et al. 2010). With gradients (gx, gy) of the
image (y upwards) under a Gaussian of ``GRADIENT_PX`` pixels, and averages < > under one of ``AVERAGING_PX`` pixels,

    a = <gy gy> - <gx gx>,    b = -2 <gx gy>,    theta = atan2(b, a) / 2,    w = hypot(a, b):

theta is the direction along the structure, the one in which the image changes least. It is measured from the x axis
(to the right) **counter-clockwise as one looks at the image**, in (-90, 90] degrees: a line that climbs to the right
has a positive angle. w, the difference of the tensor's eigenvalues, is its coherence times its gradient energy: an area
without structure has no say, nor has a corner. Both Gaussians are as wide in both directions in physical units (of the
larger side of a pixel), so pixels need not be square. Where the Gaussian of the gradient would reach over the edge of
the field, nothing is read.

A direction is axial: 90 and -90 degrees are the same, and the plain mean of 89 and -89 is off by 90. So directions
are summed as vectors of doubled angle (Mardia and Jupp, Directional Statistics, 2000), with weights w over the field,

    C = sum w cos 2 theta / sum w,    S = sum w sin 2 theta / sum w,    R = hypot(C, S):

C and S are what is compared and averaged over fields. C is 1 for structures along x, -1 along y; S is 1 at 45 degrees,
-1 at -45. R, the anisotropy, is 1 for one direction and 0 for none, or for two at right angles. The spread is the
angular deviation of Batschelet (1981), halved for axes, sqrt(2 (1 - R)) / 2 in degrees: the standard deviation of the
angles where it is small, and 40.5 where no direction is preferred, while the alternative sqrt(-2 ln R) / 2 grows
without bound there and has no mean over fields.

**The mean direction** atan2(S, C) / 2 is no reading, since a mean over fields and a distance would not know that it
wraps. ``directions`` gives it for a field, and that of many is atan2 of the mean S and the mean C, halved. It exists
where the anisotropy can be told from zero: the field is cut into ``TILES`` x ``TILES`` tiles, and the mean of their
vectors differs from zero at the 1 % level by Hotelling's T^2. This asks the field itself how far directions are
correlated, which a Rayleigh test would have to be told.

The grey image is read where there is one, else (colour) the phase. Invalid where the field has no gradient, or is
smaller than ``SMALLEST_SIDE``. Grey level shift and contrast change nothing. White noise adds directions that cancel:
it lowers R and leaves the mean direction. R of noise alone is not zero in a small field, where few directions are
summed: 0.6 at 24 x 24 pixels, 0.2 at 64 x 64, 0.05 at 256 x 256. C and S are zero in the mean at any size.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from morphogen.evaluation.descriptors.descriptor import CurveReading, Readings, Scalar
from morphogen.evaluation.section import Section

GRADIENT_PX = 1.5
"""Standard deviation of the Gaussian under which gradients are taken; the thinnest structures that are felt."""

AVERAGING_PX = 3.0
"""Standard deviation of the Gaussian that makes gradients of opposite sides of a line one direction."""

REACH = 3.0
"""Standard deviations to which the Gaussians reach."""

SMALLEST_SIDE = 24
"""Larger sides of a pixel along the shorter side of the field; below, the Gaussians leave too little of it to read."""

TILES = 4
LEVEL = 0.01

BINS = 18
BIN_CENTRES: NDArray[np.float64] = -90.0 + 180.0 / BINS * (np.arange(BINS, dtype=np.float64) + 0.5)

NO_GRADIENT = "the image has no gradient"


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Directions in a field.

    Attributes:
        cos: C, the weighted mean of cos 2 theta.
        sin: S, that of sin 2 theta.
        distribution: ``(BINS,)``, share of the directions in each 10 degrees from -90 on; sums to 1.
        preferred: whether the anisotropy can be told from zero.
    """

    cos: float
    sin: float
    distribution: NDArray[np.float64]
    preferred: bool

    @property
    def anisotropy(self) -> float:
        """R, from 0 to 1."""
        return min(math.hypot(self.cos, self.sin), 1.0)

    @property
    def spread(self) -> float:
        """Angular deviation in degrees, from 0 to 40.5."""
        return math.degrees(math.sqrt(2 * (1 - self.anisotropy)) / 2)

    @property
    def mean(self) -> float | None:
        """Mean direction in degrees, in (-90, 90], counter-clockwise from x; None where none is preferred."""
        return axial_degrees(self.sin, self.cos) if self.preferred else None


def axial_degrees(sin: float, cos: float) -> float:
    """The direction in (-90, 90] degrees whose doubled angle has this sine and cosine, up to a factor."""
    angle = math.degrees(math.atan2(sin, cos)) / 2
    return angle if angle > -90 else 90.0


def directions(image: NDArray[np.floating], pixel: tuple[float, float] = (1.0, 1.0)) -> Directions | None:
    """Directions of the structures of an image.

    Args:
        image: ``(height, width)``, ``SMALLEST_SIDE`` or larger.
        pixel: height and width of a pixel, in any unit.

    Returns:
        What was found, or None for an image without gradient.
    """
    products = _gradient_products(image, pixel)
    averaging = [AVERAGING_PX * max(pixel) / p for p in pixel]
    a, b = (ndimage.gaussian_filter(product, averaging, truncate=REACH, mode="reflect") for product in products)
    w = np.hypot(a, b)
    total = float(w.sum())
    # What is left of a flat image is rounding: gradients of 1e-12 of the grey levels, squared.
    if total <= w.size * (1e-12 * float(np.abs(image).max()) / min(pixel)) ** 2:
        return None
    theta = np.degrees(np.arctan2(b, a)) / 2
    bins = np.minimum(np.floor((theta + 90) / 180 * BINS).astype(np.intp), BINS - 1)
    return Directions(
        cos=float(a.sum()) / total,
        sin=float(b.sum()) / total,
        distribution=np.bincount(bins.ravel(), weights=w.ravel(), minlength=BINS) / total,
        preferred=_differs_from_zero(np.stack([_tile_means(product) for product in products], axis=1)),
    )


@dataclass(frozen=True, slots=True)
class Orientation:
    """Components of the mean axial vector, anisotropy, spread, and the distribution of directions."""

    name: str = "orientation"
    unit: str = ""
    definition: str = (
        "Directions along the structures from the structure tensor, weighed by coherence and gradient energy, averaged"
        " as vectors of doubled angle."
    )

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        size = section.phase.shape
        found, reason = None, f"a field of {size[0]} x {size[1]} pixels is too small"
        if min(n * p for n, p in zip(size, section.pixel, strict=True)) >= SMALLEST_SIDE * max(section.pixel):
            image = section.grey if section.grey is not None else section.phase.astype(np.float64)
            found, reason = directions(image, section.pixel), NO_GRADIENT
        values = (found.anisotropy, found.cos, found.sin, found.spread) if found else (None,) * 4
        names = ("orientation anisotropy", "orientation cos 2θ", "orientation sin 2θ", "orientation spread")
        units = ("", "", "", "°")
        reason = "" if found else reason
        return Readings(
            {n: Scalar(unit, value, reason) for n, unit, value in zip(names, units, values, strict=True)},
            {
                "orientation distribution": CurveReading(
                    "angle", "°", "", BIN_CENTRES, found.distribution if found else None, reason
                )
            },
        )


DESCRIPTOR = Orientation()


def _gradient_products(
    image: NDArray[np.floating], pixel: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The products gy gy - gx gx and -2 gx gy, where the gradients know all that they need."""
    widths = [GRADIENT_PX * max(pixel) / p for p in pixel]
    # A gradient is the same for a shifted image; the shift keeps the digits that a large offset would cost.
    shifted = image - float(image.mean())
    gy, gx = (
        ndimage.gaussian_filter(shifted, widths, order=order, truncate=REACH) / p
        for order, p in zip(((1, 0), (0, 1)), pixel, strict=True)
    )
    # Beyond this margin no gradient has seen what the filter makes up outside.
    inside = tuple(slice(m, -m) for m in (math.floor(REACH * s + 0.5) for s in widths))
    gy, gx = -gy[inside], gx[inside]  # rows count downwards, angles upwards
    return gy * gy - gx * gx, -2 * gy * gx


def _tile_means(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over ``TILES`` x ``TILES`` tiles that cover the field, ``(TILES^2,)``."""
    rows, columns = (np.linspace(0, n, TILES + 1).astype(np.intp) for n in field.shape)
    sums = np.add.reduceat(np.add.reduceat(field, rows[:-1], axis=0), columns[:-1], axis=1)
    means: NDArray[np.float64] = (sums / np.outer(np.diff(rows), np.diff(columns))).ravel()
    return means


def _differs_from_zero(vectors: NDArray[np.float64]) -> bool:
    """Whether the mean of vectors ``(n, 2)`` is not zero, by Hotelling's T^2 at ``LEVEL``."""
    n = len(vectors)
    mean = vectors.mean(axis=0)
    covariance = np.cov(vectors.T)
    # Equal vectors have no covariance; a sliver of their length keeps the matrix regular.
    covariance += np.eye(2) * 1e-9 * float(mean @ mean + np.trace(covariance))
    T2 = n * float(mean @ np.linalg.solve(covariance, mean))
    # F of 2 and m degrees of freedom has the closed tail (1 + 2 F / m)^(-m / 2).
    m = n - 2
    F = T2 * m / (2 * (n - 1))
    return bool((1 + 2 * F / m) ** (-m / 2) < LEVEL)
