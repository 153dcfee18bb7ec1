"""Tomography with a parallel beam: projections, filtered back-projection, and the noise that it passes on.

Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), chapter 3. Lengths are in pixels, the origin is
the centre of the image and the axis of rotation, x points right and y down. The ray at angle theta and detector
position s is the line x cos(theta) + y sin(theta) = s; angles are k pi / A for k = 0 ... A - 1, detector elements are
one pixel wide, at s_d = d - (D - 1) / 2.

Projection. A pixel is a square of constant value. Seen at theta its shadow on the detector is a trapezoid, a box of
width |cos(theta)| convolved with one of width |sin(theta)|; what an element sees is the integral of the shadow over its
width. So the projection of an image of squares is exact, the mean of the line integrals over each element (the
"strip integral"), and its sum over the detector is that of the image at every angle. A shadow is at most sqrt(2) wide
and falls on at most three elements.

Reconstruction. With the ramp filter of bandwidth 1/2 in space (their equation 61)

    h(0) = 1/4,   h(n) = -1 / (pi n)^2 for odd n,   0 for even n

and q = p * h along the detector, f(x, y) = (pi / A) sum over theta of q(theta, x cos(theta) + y sin(theta)), linear
between elements. A window 1 - w (1 - cos(2 pi f)) / 2 on the filter trades sharpness for noise: w = 0 is the bare
ramp, 0.92 Hamming's window, 1 Hann's.

Noise. White noise of variance v(theta) on the projections gives in the mean over positions within an element

    var f = (pi / A)^2 sum over theta of v(theta) (2/3 c_0 + 1/3 c_1),   c_k = sum over n of h(n) h(n + k)

as linear interpolation mixes two neighbours with weights 1 - t and t. Photon counts of mean N T give v = 1 / (N T): the
variance goes with 1 / N.

Both directions are products with sparse matrices that all images of a batch share. The matrices of some angles at a
time are made when they are needed, with the entries of a pixel side by side, so that nothing is sorted and they stay
small. A column of the product does not depend on the others: an image gives the same numbers in any batch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]

ENTRIES = 4_000_000
"""Entries of a sparse matrix at a time: 32 MB."""


@dataclass(frozen=True, slots=True)
class ParallelBeam:
    """How images of one size are projected, and back.

    Attributes:
        size: height and width of the images in pixels.
        angles: how many, evenly from 0 to less than 180 degrees.
        detectors: how many elements, one pixel wide; what falls beside them is not seen.
    """

    size: tuple[int, int]
    angles: int
    detectors: int

    @classmethod
    def around(cls, size: tuple[int, int], angles: int) -> "ParallelBeam":
        """With a detector that sees all of an image at every angle, and a pixel more on either side."""
        return cls(size, angles, math.ceil(math.hypot(*size)) + 2)

    def theta(self) -> NDArray[np.float64]:
        """The angles in radians, ``(angles,)``."""
        return np.arange(self.angles, dtype=np.float64) * (math.pi / self.angles)

    def project(self, images: NDArray[np.floating]) -> Floats:
        """Line integrals.

        Args:
            images: ``(n, height, width)``.

        Returns:
            ``(n, angles, detectors)``, in units of the images times pixels.
        """
        count = len(images)
        seen = np.flatnonzero(np.any(images != 0, axis=0))  # pixels that are empty in all images cost nothing
        values = np.ascontiguousarray(images.reshape(count, -1).T[seen], dtype=np.float32)  # (pixels, n)
        y, x = self._coordinates(seen)
        sinograms = np.zeros((self.angles * self.detectors, count), np.float32)
        for first, theta in self._some_angles(3 * max(len(seen), 1)):
            rows = slice(first * self.detectors, (first + len(theta)) * self.detectors)
            sinograms[rows] = self._shadows(y, x, theta).T @ values
        return np.ascontiguousarray(sinograms.T).reshape(count, self.angles, self.detectors)

    def reconstruct(self, sinograms: NDArray[np.floating], smoothing: float = 0.0) -> Floats:
        """Filtered back-projection.

        Args:
            sinograms: ``(n, angles, detectors)``.
            smoothing: w of the window on the ramp, from 0 to 1.

        Returns:
            ``(n, height, width)``.
        """
        count = len(sinograms)
        filtered = filter_projections(sinograms, smoothing).reshape(count, -1).T  # (angles * detectors, n)
        filtered = np.ascontiguousarray(filtered)
        y, x = self._coordinates(np.arange(math.prod(self.size)))
        images = np.zeros((len(y), count), np.float32)
        for first, theta in self._some_angles(2 * len(y)):
            rows = slice(first * self.detectors, (first + len(theta)) * self.detectors)
            images += self._smears(y, x, theta) @ filtered[rows]
        images *= math.pi / self.angles
        return np.ascontiguousarray(images.T).reshape(count, *self.size)

    def noise_variance(self, projection_variance: NDArray[np.floating], smoothing: float = 0.0) -> NDArray[np.float64]:
        """Variance of a reconstructed pixel, in the mean over positions within a detector element.

        Args:
            projection_variance: ``(..., angles)``, variance of the white noise on the projections where the rays
                through the pixel fall.
            smoothing: w of the window on the ramp.
        """
        kernel = ramp(self.detectors, smoothing)
        same, neighbour = float(kernel @ kernel), float(kernel[:-1] @ kernel[1:])
        variance: NDArray[np.float64] = np.sum(projection_variance, axis=-1, dtype=np.float64)
        return variance * (math.pi / self.angles) ** 2 * (2 / 3 * same + 1 / 3 * neighbour)

    def _coordinates(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        row, column = np.divmod(pixels, self.size[1])
        return row - (self.size[0] - 1) / 2, column - (self.size[1] - 1) / 2

    def _some_angles(self, entries: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Index of the first angle, and the angles that are worked on together."""
        together = max(1, ENTRIES // entries)
        for first in range(0, self.angles, together):
            yield first, self.theta()[first : first + together]

    def _shadows(self, y: NDArray[np.float64], x: NDArray[np.float64], theta: NDArray[np.float64]) -> csr_matrix:
        """Share of each pixel (row) that falls on each element at each angle (column)."""
        nearest = np.empty((len(y), len(theta), 3), np.int32)
        shares = np.empty((len(y), len(theta), 3), np.float32)
        for k, angle in enumerate(theta):
            place = x * math.cos(angle) + y * math.sin(angle) + (self.detectors - 1) / 2
            middle = np.rint(place)
            below = _shadow_before(middle - 0.5 - place, angle)
            up_to = _shadow_before(middle + 0.5 - place, angle)
            shares[:, k] = np.stack([below, up_to - below, 1 - up_to], axis=1)
            nearest[:, k] = middle.astype(np.int32)[:, None] + np.array([-1, 0, 1], np.int32)
        return self._matrix(nearest, shares)

    def _smears(self, y: NDArray[np.float64], x: NDArray[np.float64], theta: NDArray[np.float64]) -> csr_matrix:
        """Weights of both elements (columns) between which a pixel (row) lies at each angle."""
        nearest = np.empty((len(y), len(theta), 2), np.int32)
        weights = np.empty((len(y), len(theta), 2), np.float32)
        for k, angle in enumerate(theta):
            place = x * math.cos(angle) + y * math.sin(angle) + (self.detectors - 1) / 2
            before = np.floor(place)
            weights[:, k, 1] = place - before
            weights[:, k, 0] = 1 - weights[:, k, 1]
            nearest[:, k] = before.astype(np.int32)[:, None] + np.array([0, 1], np.int32)
        return self._matrix(nearest, weights)

    def _matrix(self, elements: NDArray[np.int32], weights: Floats) -> csr_matrix:
        beside = (elements < 0) | (elements >= self.detectors)
        weights[beside] = 0
        elements[beside] = 0
        pixels, angles, each = elements.shape
        columns = elements + np.arange(angles, dtype=np.int32)[:, None] * np.int32(self.detectors)
        starts = np.arange(pixels + 1, dtype=np.int32) * np.int32(angles * each)
        return csr_matrix((weights.ravel(), columns.ravel(), starts), (pixels, angles * self.detectors))


def _shadow_before(u: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Share of a pixel's shadow at less than u from its centre: the integral of the trapezoid."""
    a, b = sorted((abs(math.cos(angle)), abs(math.sin(angle))), reverse=True)
    if b < 1e-9:
        return np.clip(u / a + 0.5, 0, 1)

    def half_square(t: NDArray[np.float64]) -> NDArray[np.float64]:
        positive = np.maximum(t, 0)
        return positive * positive / 2

    outer, inner = (a + b) / 2, (a - b) / 2
    rising = half_square(u + outer) - half_square(u + inner) - half_square(u - inner) + half_square(u - outer)
    return rising / (a * b)


def ramp(detectors: int, smoothing: float = 0.0) -> NDArray[np.float64]:
    """The ramp filter in space with its window, ``(2 detectors - 1,)``; its middle is h(0).

    Args:
        detectors: elements of the detector.
        smoothing: w of the window, from 0 to 1. In space 1 - w (1 - cos(2 pi f)) / 2 mixes neighbours:
            (1 - w/2) h(n) + (w/4) (h(n - 1) + h(n + 1)).
    """
    n = np.arange(-detectors, detectors + 1)
    odd = n % 2 != 0
    h = np.zeros(len(n))
    h[odd] = -1 / (math.pi * n[odd]) ** 2
    h[n == 0] = 0.25
    mixed: NDArray[np.float64] = (1 - smoothing / 2) * h[1:-1] + smoothing / 4 * (h[:-2] + h[2:])
    return mixed


def filter_projections(sinograms: NDArray[np.floating], smoothing: float = 0.0) -> Floats:
    """Projections convolved with the ramp along the detector.

    Args:
        sinograms: ``(..., detectors)``.
        smoothing: w of the window.
    """
    detectors = sinograms.shape[-1]
    length = next_fast_len(3 * detectors, real=True)  # nothing wraps around
    kernel = rfft(ramp(detectors, smoothing), length).astype(np.complex64)
    spectrum = rfft(sinograms.astype(np.float32, copy=False), length, axis=-1)
    spectrum *= kernel
    filtered: Floats = irfft(spectrum, length, axis=-1)[..., detectors - 1 : 2 * detectors - 1]
    return filtered
