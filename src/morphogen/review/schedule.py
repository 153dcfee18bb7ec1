"""Who is asked what, in which order: balanced over sets, sides and raters, and random within that.

All raters see the same images and the same pairs, each in an order of his own: agreement between raters can then be
measured, and what raters and images add to the uncertainty be told apart. No image is shown in two questions, except in
repeats.

- ``one``: half of the images are measured, the others come from the generated sets in equal numbers.
- ``two``: each pair is a measured and a generated image, the generated sets in equal numbers; the measured one is at
  the left in half of the pairs of a rater, and at the other side for the next rater.
- ``prefer``: each pair of sets, the measured one among them, in equal numbers.
- ``rate``: each set, the measured one among them, in equal numbers.

Kinds of question follow each other in blocks, in an order that goes round from rater to rater. Repeats are questions
of the first half of a block, asked again in its second half, two images with their sides changed. The training round
comes first, and its images are used for nothing else.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from morphogen.problems import Problem
from morphogen.review.records import Kind, Question

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """What a question shows, before anyone is asked: an image of each of these sets; the measured one first of two."""

    kind: Kind
    sets: tuple[str, ...]
    training: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """An item with its images."""

    item: Item
    images: tuple[str, ...]


def items(
    kinds: Sequence[Kind], questions: int, training: int, measured: str, generated: Sequence[str],
    random: np.random.Generator,
) -> list[Item]:  # fmt: skip
    """All that is to be shown.

    Args:
        kinds: what is asked, so many questions of each.
        questions: how many.
        training: questions of the training round; of the first kind that has a right answer.
        measured: name of the measured set.
        generated: names of the generated sets.
        random: deals out what does not go evenly.

    Raises:
        Problem: there are no two classes or sets to tell apart, or a training round has nothing to teach.
    """
    if not generated:
        raise Problem("there is no generated set: all images would be of one class", do="give at least one")
    if "prefer" in kinds and len(generated) < 2:
        raise Problem("a preference between methods needs two of them", do="give another generated set")
    if not kinds:
        raise Problem("nothing is asked", do="choose some of one, two, prefer, rate")
    teaching = [kind for kind in kinds if kind in ("one", "two")]
    if training and not teaching:
        raise Problem("a training round needs questions with a right answer", do="ask one or two, or leave it out")
    found = [Item(kind, sets) for kind in kinds for sets in _sets(kind, questions, measured, generated, random)]
    for sets in _sets(teaching[0], training, measured, generated, random) if training else ():
        found.append(Item(teaching[0], sets, training=True))
    return found


def needed(shown: Sequence[Item]) -> Counter[str]:
    """How many images of each set the items take."""
    return Counter(name for item in shown for name in item.sets)


def fill(shown: Sequence[Item], images: Mapping[str, Sequence[str]]) -> list[Filled]:
    """Give each item its images, each image once; ``images`` holds enough names of each set."""
    rest = {name: iter(names) for name, names in images.items()}
    return [Filled(item, tuple(next(rest[name]) for name in item.sets)) for item in shown]


def schedule(
    shown: Sequence[Filled], kinds: Sequence[Kind], rater: int, repeats: float, measured: str,
    sides: np.random.Generator, random: np.random.Generator,
) -> tuple[Question, ...]:  # fmt: skip
    """The questions of one rater.

    Args:
        shown: what all raters see.
        kinds: the blocks, in the order of the first rater.
        rater: running number of the rater.
        repeats: share of the questions of a block that are asked again.
        measured: name of the measured set.
        sides: stream of the sides, the same for a rater and the next, who gets the others.
        random: stream of the order.
    """
    turn = rater % len(kinds)
    blocks = [("training", [f for f in shown if f.item.training])]
    blocks += [(kind, [f for f in shown if f.item.kind == kind and not f.item.training])
               for kind in (*kinds[turn:], *kinds[:turn])]  # fmt: skip
    swapped = {
        f.images: bool(swap) != bool(rater % 2)
        for kind, of_block in sorted(blocks)
        for f, swap in zip(of_block, _half(len(of_block), sides), strict=True)
        if len(f.images) == 2
    }
    asked: list[Question] = []
    for _, of_block in blocks:
        order = [of_block[i] for i in random.permutation(len(of_block))]
        half = math.ceil(len(order) / 2)
        again = {} if not order or order[0].item.training else _again(len(order), half, repeats, random)
        places: dict[int, int] = {}
        for index, filled in enumerate(order):
            places[index] = len(asked)
            asked.append(_question(filled, swapped.get(filled.images, False), measured))
            for earlier in again.get(index, ()):
                flipped = not swapped.get(order[earlier].images, False)
                repeat = _question(order[earlier], flipped, measured)
                asked.append(repeat.model_copy(update={"repeat_of": places[earlier]}))
    return tuple(asked)


def _sets(
    kind: Kind, count: int, measured: str, generated: Sequence[str], random: np.random.Generator
) -> list[tuple[str, ...]]:
    mixed = [generated[i] for i in random.permutation(len(generated))]
    if kind == "one":
        real = count // 2 + (count % 2 and int(random.integers(2)))
        return [(measured,)] * real + [(name,) for name in _dealt(mixed, count - real)]
    if kind == "two":
        return [(measured, name) for name in _dealt(mixed, count)]
    if kind == "rate":
        return [(name,) for name in _dealt([mixed[0], measured, *mixed[1:]], count)]
    pairs = list(itertools.combinations([measured, *mixed], 2))
    return _dealt([pairs[i] for i in random.permutation(len(pairs))], count)


def _dealt(names: Sequence[T], count: int) -> list[T]:
    return [names[i % len(names)] for i in range(count)]


def _half(count: int, random: np.random.Generator) -> list[bool]:
    """True for half of them, at random places."""
    return [bool(k % 2) for k in random.permutation(count)]


def _again(count: int, half: int, repeats: float, random: np.random.Generator) -> dict[int, list[int]]:
    """After which question of the second half which of the first half is asked again."""
    number = min(round(repeats * count), half)
    which = random.permutation(half)[:number]
    after: dict[int, list[int]] = {}
    for earlier in which:
        # At least a quarter of the block later, so that nobody remembers by the order.
        place = int(random.integers(max(half, int(earlier) + count // 4), count)) if count > half else count - 1
        after.setdefault(place, []).append(int(earlier))
    return after


def _question(filled: Filled, swap: bool, measured: str) -> Question:
    images = filled.images[::-1] if swap else filled.images
    right = None
    if filled.item.training:
        sets = filled.item.sets[::-1] if swap else filled.item.sets
        right = sets.index(measured) if len(sets) == 2 else int(sets[0] != measured)
    return Question(kind=filled.item.kind, images=images, right=right)
