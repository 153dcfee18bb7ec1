"""Bodies on voxels: ellipsoids of revolution, and fibers, which are segments with a radius.

The gauge of a body at a place is the factor on its size (on the radius of a fiber) that makes it reach there, so that
the body is where its gauge is below 1. The least gauge of many bodies says which of them has a voxel; where none
overlaps another, a level below 1 makes all of them smaller by one factor, and still none overlaps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Place = tuple[slice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grains:
    """Grains, lengths in micrometres.

    Attributes:
        centres: ``(n, 3)`` depth, height and width.
        radii: ``(n,)``, of spheres of their volume.
        axes: ``(n, 3)``, unit vectors of their axes of revolution.
        aspect_ratio: axis of revolution over the others.
    """

    centres: Floats
    radii: Floats
    axes: Floats
    aspect_ratio: float

    @property
    def along(self) -> Floats:
        """Half of the axis of revolution, ``(n,)``."""
        return np.asarray(self.radii * self.aspect_ratio ** (2 / 3))

    @property
    def across(self) -> Floats:
        """Half of the other axes, ``(n,)``."""
        return np.asarray(self.radii * self.aspect_ratio ** (-1 / 3))

    @property
    def reach(self) -> Floats:
        """How far a grain reaches from its centre along each coordinate, ``(n, 3)``."""
        across = self.across[:, None] ** 2
        return np.sqrt(across + (self.along[:, None] ** 2 - across) * self.axes**2)

    def matrices(self) -> Floats:
        """Squared half axes as matrices, ``(n, 3, 3)``."""
        across = self.across[:, None, None] ** 2
        outer = self.axes[:, :, None] * self.axes[:, None, :]
        return np.asarray(across * np.eye(3) + (self.along[:, None, None] ** 2 - across) * outer)

    def and_(self, others: "Grains") -> "Grains":
        """These and others of the same shape."""
        return Grains(
            np.concatenate([self.centres, others.centres]),
            np.concatenate([self.radii, others.radii]),
            np.concatenate([self.axes, others.axes]),
            self.aspect_ratio,
        )

    def of(self, chosen: NDArray[np.intp] | slice, centres: Floats | None = None) -> "Grains":
        """Some of them, at other places where these are given."""
        places = self.centres[chosen] if centres is None else centres
        return Grains(places, self.radii[chosen], self.axes[chosen], self.aspect_ratio)


def voxel_centres(shape: tuple[int, int, int], spacing_um: float) -> tuple[Floats, Floats, Floats]:
    """Coordinates of the centres of voxels, as open arrays for depth, height and width."""
    z, y, x = (np.arange(n, dtype=np.float64) * spacing_um + 0.5 * spacing_um for n in shape)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def images_in_window(centres: Floats, reach: Floats, box: Floats, window: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The images on a torus of bodies that can reach into a window at its origin: their bodies, and their centres.

    Args:
        centres: ``(n, 3)``, in the box.
        reach: ``(n, 3)`` or ``(n, 1)``, how far a body reaches from its centre along each axis.
        box: ``(3,)``, sides of the torus; infinite where it is none.
        window: ``(3,)``.
    """
    owners, places = [], []
    reach = np.broadcast_to(reach, centres.shape)
    turns = []
    for k in range(3):
        farthest = reach[:, k].max(initial=0)
        before = math.ceil((farthest + centres[:, k].max(initial=0)) / box[k])
        turns.append(range(-before, math.ceil((window[k] + farthest) / box[k]) + 1) if np.isfinite(box[k]) else [0])
    for shift in np.stack(np.meshgrid(*turns, indexing="ij"), -1).reshape(-1, 3):
        moved = centres + np.where(np.isfinite(box), shift * np.where(np.isfinite(box), box, 0), 0)
        meets = ((moved + reach > 0) & (moved - reach < window)).all(1)
        owners.append(np.flatnonzero(meets))
        places.append(moved[meets])
    return np.concatenate(owners), np.concatenate(places)


def first_cover(grains: Grains, shape: tuple[int, int, int], spacing_um: float) -> NDArray[np.int32]:
    """Index of the first grain that covers the centre of each voxel; their number where none does."""
    count = len(grains.radii)
    first = np.full(shape, count, dtype=np.int32)
    for index, place, squared in _patches(grains, shape, spacing_um, 1.0):
        patch = first[place]
        patch[(squared < 1) & (patch > index)] = index
    return first


def gauge_of(
    grains: Grains, shape: tuple[int, int, int], spacing_um: float, largest: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """At each voxel the factor on a grain that makes it reach there, at most 2, and which grain that is."""
    gauge = np.full(shape, 2.0, dtype=np.float32)
    owner = np.full(shape, len(grains.radii), dtype=np.int32)
    for index, place, squared in _patches(grains, shape, spacing_um, largest):
        factor = np.sqrt(squared)
        nearer = factor < np.minimum(gauge[place], np.float32(largest + 1e-6))
        gauge[place][nearer] = factor[nearer]
        owner[place][nearer] = index
    return gauge, owner


def _patches(
    grains: Grains, shape: tuple[int, int, int], spacing_um: float, largest: float
) -> Iterator[tuple[int, tuple[slice, ...], NDArray[np.float32]]]:
    """For each grain: index, its box of voxels, and there the squared factor on it that makes it reach."""
    z, y, x = (c.ravel().astype(np.float32) for c in voxel_centres(shape, spacing_um))
    reach = grains.reach * largest
    low = np.ceil((grains.centres - reach) / spacing_um - 0.5).clip(0).astype(int)
    high = np.floor((grains.centres + reach) / spacing_um + 0.5).clip(0).astype(int)
    across = (1 / grains.across**2).astype(np.float32)
    along = (1 / grains.along**2 - 1 / grains.across**2).astype(np.float32)
    sphere = grains.aspect_ratio == 1
    centres, axes = grains.centres.astype(np.float32), grains.axes.astype(np.float32)
    for index in np.flatnonzero((low < high).all(1) & (low < np.array(shape)).all(1)):
        place = tuple(slice(a, b) for a, b in zip(low[index], high[index], strict=True))
        dz, dy, dx = (c[p] - o for c, p, o in zip((z, y, x), place, centres[index], strict=True))
        squared = ((dz * dz)[:, None, None] + (dy * dy)[:, None] + dx * dx) * across[index]
        if not sphere:
            uz, uy, ux = axes[index]
            squared += (((dz * uz)[:, None, None] + (dy * uy)[:, None]) + dx * ux) ** 2 * along[index]
        yield int(index), place, squared


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Fibers, lengths in micrometres.

    Attributes:
        middles: ``(n, 3)`` depth, height and width.
        halves: ``(n, 3)``, from the middle to one end.
        radii: ``(n,)``.
    """

    middles: Floats
    halves: Floats
    radii: Floats

    @property
    def axes(self) -> Floats:
        """Unit vectors, ``(n, 3)``."""
        return np.asarray(self.halves / np.linalg.norm(self.halves, axis=1, keepdims=True))

    @property
    def reach(self) -> Floats:
        """How far a fiber reaches from its middle along each coordinate, ``(n, 3)``."""
        return np.asarray(np.abs(self.halves) + self.radii[:, None])


def gauge_of_segments(
    fibers: Segments, shape: tuple[int, int, int], spacing_um: float, largest: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """As ``gauge_of``: at each voxel the distance from the nearest axis over the radius, at most 2, and whose it is."""
    gauge = np.full(shape, 2.0, dtype=np.float32)
    owner = np.full(shape, len(fibers.radii), dtype=np.int32)
    coordinates = [c.ravel() for c in voxel_centres(shape, spacing_um)]
    for index, (middle, half, radius) in enumerate(zip(fibers.middles, fibers.halves, fibers.radii, strict=True)):
        length = float(np.linalg.norm(half))
        u = half / length if length else np.array([1.0, 0.0, 0.0])
        # Boxes about a slanting fiber are mostly empty: it is drawn in pieces, whose boxes are not.
        pieces = max(1, math.ceil(2 * float(np.sort(np.abs(half))[1]) / (4 * radius)))
        for piece in range(pieces):
            low_end, high_end = (-length + 2 * length * (piece + k) / pieces for k in (0, 1))
            ends = middle + np.array([[low_end], [high_end]]) * u
            low = np.ceil((ends.min(0) - radius * largest) / spacing_um - 0.5).clip(0).astype(int)
            high = np.floor((ends.max(0) + radius * largest) / spacing_um + 0.5).clip(0).astype(int)
            high = np.minimum(high, shape)
            if (low >= high).any():
                continue
            place = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            origin = ends.mean(0)
            away = (low_end + high_end) / 2  # of the origin from the middle
            dz, dy, dx = ((c[p] - o).astype(np.float32) for c, p, o in zip(coordinates, place, origin, strict=True))
            along = ((dz * np.float32(u[0]))[:, None, None] + (dy * np.float32(u[1]))[:, None]) + dx * np.float32(u[2])
            nearest = np.clip(along, np.float32(-length - away), np.float32(length - away))
            squared = (dz * dz)[:, None, None] + (dy * dy)[:, None] + dx * dx + nearest * (nearest - 2 * along)
            factor = np.sqrt(np.maximum(squared, 0)) * np.float32(1 / radius)
            nearer = factor < np.minimum(gauge[place], np.float32(largest + 1e-6))
            gauge[place][nearer] = factor[nearer]
            owner[place][nearer] = index
    return gauge, owner
