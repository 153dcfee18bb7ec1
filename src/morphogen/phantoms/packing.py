"""Packing: bodies that overlap push each other apart until none does.

Centres start at random and move downhill on the energy of O'Hern and others, Phys. Rev. E 68 (2003) 011306,

    E = 1/2 sum over pairs max(0, 1 + g - mu)^2,

mu the factor by which a pair must be scaled to touch (``mathematics.contacts``) and g a gap, so that the descent ends
after finitely many steps. It is FIRE, Bitzek and others, Phys. Rev. Lett. 97 (2006) 170201: Newton's equations whose
velocity is turned towards the force while it does work, and stopped when it does not. Equal spheres come to about
0.64 so, random close packing; what is denser is a crystal. Directions and sizes stay what they were drawn: nothing
turns.

The box is a torus where it is ``periodic``. Pairs are looked up in a list of neighbours, made anew once a body has
moved by half of what the list allows for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from morphogen.problems import Problem

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Contact = Callable[[Indices, Indices, Floats], tuple[Floats, Floats]]
"""From the indices of both bodies of each pair and the vectors from the first to the second: mu, and its derivative."""

MOST_STEPS = 6000
RATTLING_STEPS, RATTLING_STEP, HEAT = 3000, 0.3, 0.03
_STEP, _LONGEST_STEP, _TURN = 0.15, 0.5, 0.1  # FIRE's, for a stiffness of about one


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """The room of bodies, and how much of it each needs.

    Attributes:
        box: sides of the box; where it is periodic, at least four times the largest reach.
        periodic: by axis.
        reach: ``(n,)``, radius about the centre out of which a body does not come.
        thickness: smallest radius of a body, the unit of forces.
    """

    box: tuple[float, ...]
    periodic: tuple[bool, ...]
    reach: Floats
    thickness: float

    @property
    def wrap(self) -> Floats:
        """Sides of the torus, infinite where it is none."""
        return np.where(np.asarray(self.periodic), np.asarray(self.box, dtype=np.float64), np.inf)


def pack(
    centres: Floats, room: Room, contact: Contact, *, gap: float, bodies: str, most_steps: int = MOST_STEPS
) -> tuple[Floats, float]:
    """Centres of bodies that do not overlap.

    Args:
        centres: ``(n, d)``, where they start.
        room: of the bodies.
        contact: of pairs.
        gap: bodies push each other up to this mu less 1.
        bodies: what they are called in a problem.
        most_steps: give up after so many.

    Returns:
        The centres and the least mu, at least 1.

    Raises:
        Problem: it does not end.
    """
    thickness = room.thickness
    pairs = _Pairs(centres, room, contact, gap)
    v = np.zeros_like(centres)
    step, turn, going = _STEP, _TURN, 0
    for _ in range(most_steps):
        force, least = pairs.force()
        if least >= 1 + 0.75 * gap:
            return _wrapped(pairs.x, room.wrap), least
        if (force * v).sum() > 0:
            v = (1 - turn) * v + turn * force * math.sqrt((v * v).sum() / max((force * force).sum(), 1e-300))
            going += 1
            if going > 5:
                step, turn = min(1.1 * step, _LONGEST_STEP), 0.99 * turn
        else:
            v[:], step, turn, going = 0, max(0.5 * step, 0.02), _TURN, 0
        v += step * force
        stride = step * v
        length = np.sqrt((stride * stride).sum(1, keepdims=True))
        pairs.move(stride * np.minimum(1, 0.3 * thickness / np.maximum(length, 1e-300)))  # none jumps over another
    raise Problem(
        f"{len(centres)} {bodies} could not be packed without overlap",
        do="ask for less of them, for a smaller spread of directions, or for equal sizes",
    )


def rattled(centres: Floats, room: Room, contact: Contact, generator: np.random.Generator) -> Floats:
    """Centres after a while of thermal motion, from which a pack can be pressed more densely than from chance.

    Soft bodies move by Newton's equations at constant kinetic energy, dents being a few per cent of a radius. It takes
    equal spheres that stand at 0.60 to packs of 0.64, whose pair correlation has peaks at sqrt(3) and 2 diameters and,
    unlike that of a crystal, none at sqrt(2).
    """
    pairs = _Pairs(centres, room, contact, 0.0)
    v = generator.standard_normal(centres.shape)
    for _ in range(RATTLING_STEPS):
        force, _least = pairs.force()
        v += RATTLING_STEP * force
        v *= HEAT * room.thickness / math.sqrt(float((v * v).mean()))
        pairs.move(RATTLING_STEP * v)
    return _wrapped(pairs.x, room.wrap)


class _Pairs:
    """Bodies with a list of the pairs that are near, and the forces between them."""

    def __init__(self, centres: Floats, room: Room, contact: Contact, gap: float) -> None:
        self.wrap, self.reach, self.thickness = room.wrap, room.reach, room.thickness
        self.x = _wrapped(centres.copy(), self.wrap)
        self.contact, self.gap, self.skin = contact, gap, 0.3 * room.thickness
        self._list()

    def force(self) -> tuple[Floats, float]:
        """On each body, about one where a body of the smallest thickness is dented by it; and the least mu."""
        R = _apart(self.x, self.first, self.second, self.wrap)
        mu, slope = self.contact(self.first, self.second, R)
        push = (np.maximum(1 + self.gap - mu, 0) * 4 * self.thickness**2)[:, None] * slope
        force = [
            np.bincount(self.second, push[:, k], len(self.x)) - np.bincount(self.first, push[:, k], len(self.x))
            for k in range(self.x.shape[1])
        ]
        return np.stack(force, axis=1), float(mu.min(initial=1 + self.gap))

    def move(self, stride: Floats) -> None:
        self.x = self.x + stride
        if ((self.x - self.listed_at) ** 2).sum(1).max() > (self.skin / 2) ** 2:
            self.x = _wrapped(self.x, self.wrap)
            self._list()

    def _list(self) -> None:
        first, second = _neighbours(self.x, self.wrap, self.reach, self.skin)
        mu, _slope = self.contact(first, second, _apart(self.x, first, second, self.wrap))
        near = mu < 1 + self.gap + self.skin / self.thickness
        self.first, self.second, self.listed_at = first[near], second[near], self.x


def _apart(x: Floats, first: Indices, second: Indices, wrap: Floats) -> Floats:
    """From the first to the second of each pair, the shorter way around the torus."""
    R = x[second] - x[first]
    for axis, side in enumerate(wrap):
        if math.isfinite(side):
            R[:, axis] -= side * np.rint(R[:, axis] / side)
    return R


def _wrapped(x: Floats, wrap: Floats) -> Floats:
    for axis, side in enumerate(wrap):
        if math.isfinite(side):
            x[:, axis] %= side
            x[x[:, axis] >= side, axis] = 0.0  # a tiny negative modulo the side rounds up to the side
    return x


def _neighbours(x: Floats, wrap: Floats, reach: Floats, skin: float) -> tuple[Indices, Indices]:
    tree = cKDTree(x, boxsize=np.where(np.isfinite(wrap), wrap, 0.0))
    pairs = tree.query_pairs(2 * float(reach.max(initial=0)) + skin, output_type="ndarray")
    R = _apart(x, pairs[:, 0], pairs[:, 1], wrap)
    near = (R * R).sum(1) < (reach[pairs[:, 0]] + reach[pairs[:, 1]] + skin) ** 2
    return pairs[near, 0], pairs[near, 1]
