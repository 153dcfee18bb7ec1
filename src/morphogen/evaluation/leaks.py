"""Whether two sets that should have nothing in common do: training and held-out images.

What is held out tells how well a method does only if no method has seen it. A leak is

- a specimen in both sets, unless both hold regions of its images that lie apart. Names that are nothing but a running
  number, as files without a manifest have, say nothing and are left out;
- regions of one image that overlap, or slices of one volume that lie next to each other: their pores go on;
- an image that is in both, also flipped or turned, or an overlap of two images (``duplicates``).

Regions with a gap between them, as ``split`` makes them of a single specimen, are no leak; the smallest gap is told,
for it should be as wide as a crop.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from morphogen.images.picture import Origin

Place = tuple[str, str]  # specimen and source
Region = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an image without its pixels: where it comes from, and its size."""

    origin: Origin
    size: tuple[int, int]

    @property
    def region(self) -> Region:
        """Top, left, height and width in its source."""
        return self.origin.region or (0, 0, *self.size)


@dataclass(frozen=True, slots=True)
class SharedOrigin:
    """What the origins of two sets have in common.

    Attributes:
        specimens: names in both sets whose images are not known to lie apart.
        overlapping: pairs of images, by their numbers in either set, whose regions of one source overlap.
        neighbouring: pairs of slices of one volume fewer than ``alike`` apart, whose regions overlap.
        smallest_gap: pixels between the nearest two regions of one source, None where no source is in both.
    """

    specimens: tuple[str, ...]
    overlapping: tuple[tuple[int, int], ...]
    neighbouring: tuple[tuple[int, int], ...]
    smallest_gap: int | None


def shared_origin(one: Sequence[Seen], other: Sequence[Seen], *, alike: float = 1.0) -> SharedOrigin:
    """Compare where the images of two sets come from.

    Args:
        one: the images of a set.
        other: those of the other set.
        alike: slices of a volume that are nearer count as neighbours.
    """
    here, there = _by_place(one), _by_place(other)
    overlapping: list[tuple[int, int]] = []
    neighbouring: list[tuple[int, int]] = []
    gaps: list[int] = []
    touching: set[str] = set()
    for place in here.keys() & there.keys():
        if _says_nothing(place[0]):
            continue
        for i in here[place]:
            for j in there[place]:
                a, b = one[i], other[j]
                slices = abs((a.origin.slice or 0) - (b.origin.slice or 0))
                gap = _gap(a.region, b.region)
                if gap >= 0:
                    gaps.append(gap)
                elif slices < alike:
                    touching.add(place[0])
                    (neighbouring if slices else overlapping).append((i, j))
    names = {s.origin.specimen for s in one} & {s.origin.specimen for s in other}
    known = {place[0] for place in here.keys() & there.keys()}
    leaking = sorted(n for n in names if not _says_nothing(n) and (n in touching or n not in known))
    return SharedOrigin(
        tuple(leaking), tuple(sorted(overlapping)), tuple(sorted(neighbouring)), min(gaps) if gaps else None
    )


def _by_place(images: Iterable[Seen]) -> dict[Place, list[int]]:
    found: dict[Place, list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        found[image.origin.specimen, image.origin.source].append(number)
    return found


def _gap(one: Region, other: Region) -> int:
    """Pixels between two regions along the axis where they are further apart; below zero where they overlap."""
    gaps = [max(a, b) - min(a + m, b + n) for a, m, b, n in zip(one[:2], one[2:], other[:2], other[2:], strict=True)]
    return max(gaps) if max(gaps) >= 0 else -1


def _says_nothing(specimen: str) -> bool:
    """Whether the name of a specimen is nothing but the number of a file."""
    return re.fullmatch(r"[0-9]*", specimen) is not None
