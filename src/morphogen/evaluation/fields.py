"""Fields: what is compared. Rectangles of one size, cut from images without overlap."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import numpy as np

from morphogen.evaluation.random_streams import Use
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem

T = TypeVar("T")
_Place = tuple[int, int, int]  # number of a picture, top and left


def fields(images: ImageSet, size: tuple[int, int], count: int, seed: int = 0) -> Pictures:
    """Non-overlapping fields, spread evenly over specimens, then over the pictures of each.

    They lie on a grid with a random offset in each picture. The order is such that the first k of them
    are spread evenly too.

    Args:
        images: pictures of any sizes, each at least as large as a field.
        size: height and width of a field in pixels.
        count: how many at most; fewer are returned where there is no room for more.
        seed: of offsets and order.

    Returns:
        At least one field, each with its specimen and its region of the source.

    Raises:
        Problem: a picture is smaller than a field, or the count is below 1.
    """
    if count < 1:
        raise Problem(f"{count} fields were asked for", do="ask for at least 1")
    # Of many large images there are millions of fields: places are dealt out, and only the fields asked for are cut.
    by_specimen: dict[str, list[list[_Place]]] = {}
    pictures = []
    for index, picture in enumerate(images):
        places = _grid(picture, size, numpy_generator(seed, Use.GRID_OFFSETS, index), count)
        by_specimen.setdefault(picture.origin.specimen, []).append([(index, *place) for place in places])
        pictures.append(picture)
    generator = numpy_generator(seed, Use.ORDER_OF_FIELDS)
    specimens = []
    for of_pictures in by_specimen.values():
        order = generator.permutation(len(of_pictures))
        specimens.append(list(islice(_in_turn(of_pictures[i] for i in order), count)))
    order = generator.permutation(len(specimens))
    dealt = islice(_in_turn(specimens[i] for i in order), count)
    return Pictures(
        (pictures[index].crop(top, left, *size).in_memory() for index, top, left in dealt),
        getattr(images, "name", "fields"),
    )


def halves(images: ImageSet, field_size: tuple[int, int], seed: int = 0) -> tuple[Pictures, Pictures]:
    """Two disjoint parts of one measured set: a reference, and a floor to hold against it.

    Two or more specimens are dealt out whole, so that both parts have about the same area. A single
    specimen is cut: each picture in two along its longer side, with a gap of one field between, since
    neighbouring pixels are not independent. The same side of all its pictures goes to the same part,
    because they may be neighbouring slices of one volume. Such a floor knows nothing of the
    differences between specimens and is lower than one from two specimens.

    Args:
        images: the measured set.
        field_size: height and width of the fields that will be cut, in pixels.
        seed: decides which specimens, or which side, go where.

    Returns:
        Reference and floor.

    Raises:
        Problem: a picture of a single specimen is too short for a field, a gap and a field.
    """
    generator = numpy_generator(seed, Use.HALVES)
    specimens = list(dict.fromkeys(picture.origin.specimen for picture in images))
    parts: tuple[list[Picture], list[Picture]] = ([], [])
    if len(specimens) > 1:
        area = [0, 0]
        for i in generator.permutation(len(specimens)):
            of_specimen = [p for p in images if p.origin.specimen == specimens[i]]
            smaller = int(area[1] < area[0])
            parts[smaller].extend(of_specimen)
            area[smaller] += sum(p.size[0] * p.size[1] for p in of_specimen)
    else:
        first = int(generator.integers(2))
        for picture in images:
            one, other = _sides(picture, field_size)
            parts[first].append(one)
            parts[1 - first].append(other)
    return Pictures(parts[0], "reference"), Pictures(parts[1], "floor")


def turned_fields(
    images: ImageSet, size: tuple[int, int], symmetries: frozenset[str], count: int, seed: int = 0
) -> Pictures:
    """Fields as a method sees them in training: each in every way in which the specimen may be flipped and turned.

    Args:
        images: the training images.
        size: height and width of a field in pixels.
        symmetries: some of "flip_horizontal", "flip_vertical", "quarter_turn"; quarter turns of fields that are not
            square are left out.
        count: fields at most before they are turned.
        seed: of the fields.
    """
    turns = range(4) if "quarter_turn" in symmetries and size[0] == size[1] else range(1)
    flips = [slice(None)] + [slice(None, None, -1)] * ("flip_horizontal" in symmetries)
    upside = [slice(None)] + [slice(None, None, -1)] * ("flip_vertical" in symmetries and len(turns) == 1)
    return Pictures(
        (
            replace(p, pixels=np.ascontiguousarray(np.rot90(p.pixels, turn, axes=(1, 2))[:, rows, columns]), mask=None)
            for p in fields(images, size, count, seed)
            for turn in turns
            for rows in upside
            for columns in flips
        ),
        "turned fields",
    )


def _grid(picture: Picture, size: tuple[int, int], generator: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """The first so many fields of one picture, in random order, by their top left corners."""
    rows, columns = picture.size[0] // size[0], picture.size[1] // size[1]
    if rows == 0 or columns == 0:
        raise Problem(
            f"{picture.origin.source or picture.origin.specimen} with {picture.size} pixels is smaller"
            f" than a field of {size}",
            do="choose smaller fields or leave it out",
        )
    top = int(generator.integers(picture.size[0] - rows * size[0] + 1))
    left = int(generator.integers(picture.size[1] - columns * size[1] + 1))
    order = generator.permutation(rows * columns)[:count].tolist()
    return [(top + k // columns * size[0], left + k % columns * size[1]) for k in order]


def _sides(picture: Picture, field_size: tuple[int, int]) -> tuple[Picture, Picture]:
    height, width = picture.size
    tall = height > width
    length, gap = (height, field_size[0]) if tall else (width, field_size[1])
    side = (length - gap) // 2
    if side < gap:
        raise Problem(
            f"{picture.origin.source or picture.origin.specimen}: {length} pixels are too short for two"
            f" fields of {gap} and a gap between them, and there is only one specimen",
            do="choose smaller fields, or give a second specimen or a floor of its own",
        )
    if tall:
        return picture.crop(0, 0, side, width), picture.crop(height - side, 0, side, width)
    return picture.crop(0, 0, height, side), picture.crop(0, width - side, height, side)


def _in_turn(lists: Iterable[list[T]]) -> Iterator[T]:
    """First items of all lists, then second items, and so on until all are used up."""
    remaining = list(lists)
    depth = 0
    while remaining := [items for items in remaining if depth < len(items)]:
        yield from (items[depth] for items in remaining)
        depth += 1
