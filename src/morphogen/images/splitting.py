"""Splits that leak nothing: by specimen, or by regions of one specimen with a gap between them.

Neighbouring crops, and neighbouring slices of a volume, show the same pores. A split at random would
put a pore into training and test alike, and a copy would pass for a discovery.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem

SLICES_WARNING = (
    "; but the names differ only by a running number: if these are slices of one volume, they are one specimen,"
    " and a specimen pattern should say so"
)

_SPLIT = 2  # keeps this stream of random numbers apart from others under the same seed


@dataclass(frozen=True, slots=True)
class Split:
    """Two parts of a set that share no specimen, or no region of one.

    Attributes:
        training: what a method may see.
        held_out: what it never sees.
        how: one sentence that says what keeps them apart.
    """

    training: Pictures
    held_out: Pictures
    how: str


def split(images: ImageSet, *, crop: tuple[int, int], held_out: float = 0.3, seed: int = 0) -> Split:
    """Split by specimen where there are two or more, else by region with a gap as wide as a crop.

    Args:
        images: the measured set.
        crop: height and width of the crops to be taken; the gap between regions is as wide.
        held_out: share of the area to hold out, above 0 and below 1.
        seed: chooses specimens, or which end of each picture is held out.

    Raises:
        Problem: too little of it to be split.
    """
    if not 0 < held_out < 1:
        raise Problem(f"a held-out share of {held_out} is not possible", do="give one between 0 and 1")
    by_specimen: dict[str, list[Picture]] = defaultdict(list)
    for picture in images:
        by_specimen[picture.origin.specimen].append(picture)
    if len(by_specimen) >= 2:
        return _by_specimen(images, by_specimen, held_out, seed)
    return _by_region(images, crop, held_out, seed)


def _by_specimen(images: ImageSet, by_specimen: dict[str, list[Picture]], held_out: float, seed: int) -> Split:
    area = {name: sum(p.size[0] * p.size[1] for p in group) for name, group in by_specimen.items()}
    names = sorted(by_specimen)
    numpy_generator(seed, _SPLIT).shuffle(names)
    chosen: set[str] = set()
    wanted = held_out * sum(area.values())
    for name in names[:-1]:
        # A specimen more, as long as that brings the held-out area nearer to the share that was asked for.
        if not chosen or abs(sum(area[n] for n in chosen | {name}) - wanted) < abs(
            sum(area[n] for n in chosen) - wanted
        ):
            chosen.add(name)
    parts: tuple[list[Picture], list[Picture]] = ([], [])
    for name, group in by_specimen.items():
        parts[name in chosen].extend(group)
    return Split(
        Pictures(parts[0], "training images"),
        Pictures(parts[1], "held-out images"),
        f"by specimen: {len(by_specimen) - len(chosen)} for training, {len(chosen)} held out"
        f" ({', '.join(sorted(chosen)[:6])}{', ...' if len(chosen) > 6 else ''})"
        + (SLICES_WARNING if looks_like_slices(images) else ""),
    )


def _by_region(images: ImageSet, crop: tuple[int, int], held_out: float, seed: int) -> Split:
    # One coin for all: pictures of one specimen may be neighbouring slices, and one would show what another hides.
    at_the_end = bool(numpy_generator(seed, _SPLIT).integers(2))
    training, kept = [], []
    for picture in images:
        first, second = cut_in_two(picture, crop, held_out if at_the_end else 1 - held_out)
        training.append(first if at_the_end else second)
        kept.append(second if at_the_end else first)
    gaps = sorted({crop[0] if p.size[0] >= p.size[1] else crop[1] for p in images})
    return Split(
        Pictures(training, "training regions"),
        Pictures(kept, "held-out regions"),
        f"one specimen, by region: {held_out:.0%} of each image held out at the same end of all,"
        f" a gap of {' or '.join(map(str, gaps))} pixels between",
    )


def looks_like_slices(images: ImageSet) -> bool:
    """Whether pictures that count as specimens of their own may be slices of one volume.

    They do where eight or more, all of one size, have names that differ only by a running number without gaps.
    """
    specimens = [picture.origin.specimen for picture in images]
    if len(specimens) < 8 or len(set(specimens)) < len(specimens) or len({p.size for p in images}) > 1:
        return False
    numbered = [re.fullmatch(r"(.*?)([0-9]+)", name) for name in specimens]
    if not all(numbered) or len({match[1] for match in numbered if match}) > 1:
        return False
    numbers = sorted(int(match[2]) for match in numbered if match)
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def cut_in_two(picture: Picture, crop: tuple[int, int], second: float) -> tuple[Picture, Picture]:
    """Two parts of a picture along its longer side, a gap as wide as a crop between them.

    Args:
        picture: to be cut.
        crop: height and width of the crops to be taken later; both parts have room for one.
        second: share of the second part in what the gap leaves.

    Raises:
        Problem: the picture is too small.
    """
    rows, columns = picture.size
    down = rows >= columns
    length, gap = (rows, crop[0]) if down else (columns, crop[1])
    room = length - gap
    behind = max(round(second * room), gap)
    before = room - behind
    if before < gap:
        before, behind = gap, room - gap
    if behind < gap:
        raise Problem(
            f"{picture.origin.source or 'an image'} ({rows} x {columns}) is the only specimen and too small"
            f" to hold back a region with a gap of {gap} pixels",
            do=f"give more specimens, a crop of at most {length // 3}, or larger images",
        )
    if down:
        return picture.crop(0, 0, before, columns), picture.crop(rows - behind, 0, behind, columns)
    return picture.crop(0, 0, rows, before), picture.crop(0, columns - behind, rows, behind)
