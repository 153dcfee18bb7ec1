"""Beds, minerals and vugs: what rocks of every structure can have.

Beds alternate between two kinds along a normal that dips in the plane of height and width, so that every slice across
the depth shows the dip. Minerals are given to grains, or to places by a second Gaussian field that knows nothing of
the pores. Vugs are large round pores, a Boolean model of balls that is independent of the rest, so that closed forms
multiply: the solid that is left has fraction (1 - phi)(1 - v) and two-point probability S2_solid(r)
S2_outside_vugs(r).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.mathematics.gaussian_fields import matern, stationary_field
from morphogen.mathematics.randomness import Source, stream
from morphogen.phantoms.bodies import Grains, first_cover

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beds:
    """Beds of two kinds, 0 and 1 in turn.

    Attributes:
        thickness_um: of a bed; 0 for none, then all is of kind 0.
        dip_deg: angle of the beds from horizontal; they go down to the right.
        offset_um: where the first begins, along the normal.
    """

    thickness_um: float
    dip_deg: float
    offset_um: float = 0.0

    @property
    def normal(self) -> Floats:
        """Unit vector across the beds: depth, height, width."""
        dip = math.radians(self.dip_deg)
        return np.array([0.0, math.cos(dip), -math.sin(dip)])

    @property
    def down_dip(self) -> Floats:
        """Unit vector along the beds, in the plane of height and width."""
        dip = math.radians(self.dip_deg)
        return np.array([0.0, math.sin(dip), math.cos(dip)])

    def kind_at(self, height: NDArray[np.floating], width: NDArray[np.floating]) -> NDArray[np.intp]:
        """The kind of bed, 0 or 1, at places that broadcast; in micrometres."""
        if not self.thickness_um:
            return np.zeros(np.broadcast_shapes(height.shape, width.shape), dtype=np.intp)
        along = height * self.normal[1] + width * self.normal[2] + self.offset_um
        return np.asarray(np.floor(along / self.thickness_um).astype(np.intp) % 2)


def vugs(
    fraction: float, radius_um: float, exact: bool, shape: tuple[int, int, int], spacing_um: float, source: Source
) -> tuple[NDArray[np.bool_], Floats]:
    """Large pores of one radius, that may run into each other.

    Args:
        fraction: share of the volume.
        radius_um: of all.
        exact: stop at the vug that comes nearest to the fraction; otherwise their number is Poisson.
        shape: of the volume.
        spacing_um: side of a voxel.
        source: of all randomness.

    Returns:
        Where a voxel's centre lies in a vug, and the centres ``(n, 3)`` in micrometres.
    """
    if not fraction:
        return np.zeros(shape, dtype=np.bool_), np.empty((0, 3))
    window = np.array(shape) * spacing_um
    room = window + 2 * radius_um
    expected = -math.log1p(-fraction) / (4 / 3 * math.pi * radius_um**3) * float(np.prod(room))
    chance = stream(source, "vug")

    def throw(count: int) -> Floats:
        return np.asarray(chance.uniform(-radius_um, window + radius_um, (count, 3)))

    def inside(balls: Floats) -> NDArray[np.bool_]:
        count = len(balls)
        grains = Grains(balls, np.full(count, radius_um), np.tile([1.0, 0.0, 0.0], (count, 1)), 1.0)
        return first_cover(grains, shape, spacing_um) < count

    if not exact:
        centres = throw(int(chance.poisson(expected)))
        return inside(centres), centres
    centres, covered, before = np.empty((0, 3)), np.zeros(shape, dtype=np.bool_), 0.0
    while True:
        one = throw(1)
        more = covered | inside(one)
        after = float(more.mean())
        if after >= fraction:
            nearer = after - fraction < fraction - before
            return (more, np.concatenate([centres, one])) if nearer else (covered, centres)
        centres, covered, before = np.concatenate([centres, one]), more, after


def minerals_of_grains(shares: tuple[float, ...], sizes: NDArray[np.floating], source: Source) -> NDArray[np.uint8]:
    """The mineral of each grain, 0 for the first: shares of the solid that come as near as grains allow.

    Grains in random order are given to the rarer minerals until these have their share; the rest are of the first.

    Args:
        shares: of the second mineral, the third, ...
        sizes: ``(n,)``, what each grain has of the solid.
        source: of all randomness.
    """
    order = stream(source, "mineral").permutation(len(sizes))
    kinds = np.zeros(len(sizes), dtype=np.uint8)
    filled = np.concatenate([[0.0], np.cumsum(sizes[order], dtype=np.float64)])
    start = 0
    for kind, share in enumerate(shares, start=1):
        end = int(np.argmin(np.abs(filled - filled[start] - share * filled[-1])))
        kinds[order[start:end]] = kind
        start = max(start, end)
    return kinds


def minerals_of_places(
    shares: tuple[float, ...], length_um: float, solid: NDArray[np.bool_], spacing_um: float, source: Source
) -> NDArray[np.uint8]:
    """The mineral of each voxel of the solid, 0 for the first, by the ranks of a Gaussian field: exact to a voxel.

    Where the field is lowest is the second mineral, where it is highest the third.
    """
    kinds = np.zeros(solid.shape, dtype=np.uint8)
    count = int(solid.sum())
    if not count:
        return kinds
    field, _ = gaussian_field(solid.shape, spacing_um, length_um, 2.5, stream(source, "mineral"))
    values = field[solid]
    ranks = np.empty(count, dtype=np.intp)
    ranks[np.argsort(values, kind="stable")] = np.arange(count)
    of_solid = np.zeros(count, dtype=np.uint8)
    of_solid[ranks < round(shares[0] * count)] = 1
    if len(shares) > 1:
        of_solid[ranks >= count - round(shares[1] * count)] = 2
    kinds[solid] = of_solid
    return kinds


def gaussian_field(
    shape: tuple[int, ...],
    spacing_um: float,
    length_um: float,
    smoothness: float,
    generator: np.random.Generator,
    *,
    stretch: float = 1.0,
    beds: Beds | None = None,
) -> tuple[NDArray[np.float32], float]:
    """A Gaussian field of Matern's covariance, ``shape``, and the share of its variance that a finite torus cuts off.

    Args:
        shape: depth, height and width.
        spacing_um: side of a voxel.
        length_um: correlation length across the beds.
        smoothness: nu.
        generator: of all randomness.
        stretch: correlation length along the beds over that across.
        beds: whose dip the stretch follows.
    """
    normal = (beds or Beds(0, 0)).normal
    dies_after = 5.0 if smoothness > 1 else 7.0  # correlation lengths
    padding = tuple(
        0 if n == 1 else math.ceil(dies_after * length_um * max(stretch, 1.0) / spacing_um) for n in shape
    )  # fmt: skip

    def covariance(steps: tuple[Floats, ...]) -> Floats:
        squared = sum(s * s for s in steps)
        if stretch != 1:
            across = sum(s * n for s, n in zip(steps, normal, strict=True))
            squared = squared / stretch**2 + across**2 * (1 - 1 / stretch**2)
        return matern(np.sqrt(squared) * spacing_um, length_um, smoothness)

    return stationary_field(shape, covariance, padding, generator)
