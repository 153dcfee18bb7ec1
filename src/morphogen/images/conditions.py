"""What an image is conditioned on: classes and numbers, as a vector that a network takes.

A number is scaled so that the range seen in training is [-1, 1]; a class is one-hot. A condition is a label of the
picture ("site", "porosity"), or the area fraction of the mask, which each crop has its own of. In names of conditions
and labels an underscore is a space: "fiber_volume_fraction" is "fiber volume fraction".
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from morphogen.images.picture import Label, Picture
from morphogen.problems import Problem

ASKED = "asked "
"""Prefix of the labels of a generated picture that say what was asked of the method."""

OUTSIDE = "warning"
"""Label of a generated picture: what was asked of it lies outside the range that training saw, in words."""

CAPTION = "caption"
"""Label that says in words what an image shows."""

INSTRUCTION = "instruction"
"""Label that says in words what was done to an image to make this one of it."""

TEXTS = (CAPTION, INSTRUCTION)
"""Labels that are free texts, which a method that reads texts may be conditioned on."""

FREE_TEXT = (CAPTION, INSTRUCTION, "file")
"""Labels that describe or name one image. They are no condition where each image has another."""

MOST_CLASSES = 64
"""Classes of one condition at most. Each is an input of the network, learnt from its own images alone: of more, a set
of some thousand images has too few of each. It is also what tells names and sentences from classes."""

Value = TypeVar("Value")

_LISTED = 8  # names that a reader takes in at a glance


def known_as(name: str, known: Iterable[str]) -> str | None:
    """The one among these names that is meant, where an underscore is a space; None if there is none."""
    names = list(known)
    if name in names:
        return name
    return next((one for one in names if one.replace("_", " ") == name.replace("_", " ")), None)


def listed(names: Iterable[str]) -> str:
    """Names for a message of one line: the first few, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - _LISTED} more" if len(all_names) > _LISTED else ""
    return ", ".join(all_names[:_LISTED]) + more


class NumberCondition(BaseModel):
    """A number, and the range that training saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    low: float
    high: float
    of_mask: bool = False
    """Whether it is the area fraction of each crop's mask, and no label of the picture."""


class ClassCondition(BaseModel):
    """A class, and the names that training saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: tuple[str, ...]


class TextCondition(BaseModel):
    """A free text, and the encoder that reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    encoder: str
    """Hash of the encoder's weights: another one would say the same text otherwise."""
    width: int
    """Length of the encoder's vectors."""
    folder: str | None = None
    """Where the encoder is; None for the one that comes with a package."""


class Conditions(BaseModel):
    """What a method is conditioned on; empty for an unconditional one.

    Attributes:
        numbers: come first in the vector, one entry each.
        classes: one entry for each of their values.
        text: a free text; no part of the vector, since its encoder is no business of an image.
        seen: vectors of some training crops, from which is drawn where nothing is asked.
        seen_texts: the texts of the same crops, where there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: tuple[NumberCondition, ...] = ()
    classes: tuple[ClassCondition, ...] = ()
    text: TextCondition | None = None
    seen: tuple[tuple[float, ...], ...] = ()
    seen_texts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        images: Sequence[Picture],
        fraction: str | None = None,
        text: TextCondition | None = None,
    ) -> "Conditions":
        """The conditions of these names on these images; the range of a mask's fraction is 0 to 1 until ``with_seen``.

        Args:
            names: of labels, or the name of the mask's area fraction.
            images: training images.
            fraction: what the area fraction of the mask is called, "porosity".
            text: the label of this name is a free text for this encoder, and no class.

        Raises:
            Problem: an image lacks the label, a label is a number here and a word there, it never varies, or it names
                images and tells no classes.
        """
        numbers: list[NumberCondition] = []
        classes: list[ClassCondition] = []
        wanted = list(dict.fromkeys(names))
        for place, name in enumerate(wanted):
            if known_as(name, wanted[:place]) is not None:
                raise Problem(f"'{name}' is given twice", do="spell it in one way")
            masked = sum(picture.mask is not None for picture in images)
            is_fraction = fraction is not None and known_as(name, [fraction]) is not None
            if is_fraction and 0 < masked < len(images):
                raise Problem(f"only {masked} of {len(images)} images have a mask", do="give all of them one, or none")
            if is_fraction and masked:
                numbers.append(NumberCondition(name=name, low=0.0, high=1.0, of_mask=True))
                continue
            for picture in images:
                if known_as(name, picture.labels) is None:
                    known = [key for key in picture.labels if key not in FREE_TEXT]
                    masks = ", or give the images masks" if is_fraction else ""
                    if fraction is None and masked == len(images):
                        masks = ", or say with the kind of specimen what the area fraction of the masks is called"
                    there = f"choose among {listed(known)}" if known else "add a labels.csv with a column 'file'"
                    raise Problem(
                        f"{picture.origin.source or picture.origin.specimen} has no label '{name}'", do=there + masks
                    )
            values = [_of_name(name, picture.labels) for picture in images]
            words = {value for value in values if isinstance(value, str)}
            figures = [float(value) for value in values if not isinstance(value, str)]
            if words and figures:
                raise Problem(f"label '{name}' is a number here and a word there", do="make them all one or the other")
            if not all(math.isfinite(figure) for figure in figures):
                raise Problem(f"label '{name}' is not a finite number everywhere", do="leave those images out")
            if len(words or set(figures)) < 2:
                raise Problem(
                    f"label '{name}' is {values[0]!r} in every image", do="leave it out, or add images that differ"
                )
            if text is not None and name == text.name and not figures:
                continue
            alone = len({(p.origin.specimen, p.origin.source, p.origin.slice) for p in images})  # not cut from one
            if name in FREE_TEXT and len(words) >= alone:
                raise Problem(
                    f"label '{name}' is another text for each of the {alone} images, and so tells no classes",
                    do="choose a label that several images share",
                )
            if len(words) > MOST_CLASSES:
                raise Problem(
                    f"label '{name}' has {len(words)} classes, too many to be learnt from the images of each",
                    do=f"choose a label of at most {MOST_CLASSES}",
                )
            if words:
                classes.append(ClassCondition(name=name, values=tuple(sorted(words))))
            else:
                numbers.append(NumberCondition(name=name, low=min(figures), high=max(figures)))
        read = text if text is not None and text.name in wanted else None
        return cls(numbers=tuple(numbers), classes=tuple(classes), text=read)

    def with_seen(self, values: Sequence[Mapping[str, Label]]) -> "Conditions":
        """With the range of what depends on the crop, and with the vectors of these crops.

        Args:
            values: of training crops, as ``values_of`` gives them.

        Raises:
            Problem: the area fraction of the mask never varies.
        """
        numbers = []
        for number in self.numbers:
            if number.of_mask:
                found = [float(v[number.name]) for v in values]
                if max(found) == min(found):
                    raise Problem(f"{number.name} is {found[0]:g} in every crop", do="leave it out, or mend the masks")
                number = NumberCondition(name=number.name, low=min(found), high=max(found), of_mask=True)
            numbers.append(number)
        ranged = self.model_copy(update={"numbers": tuple(numbers)})
        seen = tuple(tuple(round(float(x), 6) for x in ranged.encode(v)) for v in values)
        texts = tuple(ranged.text_of(v) for v in values) if ranged.text is not None else ()
        return ranged.model_copy(update={"seen": seen, "seen_texts": texts})

    def __bool__(self) -> bool:
        return bool(self.numbers or self.classes or self.text)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all conditions."""
        text = () if self.text is None else (self.text.name,)
        return (*(n.name for n in self.numbers), *(c.name for c in self.classes), *text)

    @property
    def width(self) -> int:
        """Length of the vector, which says nothing of a text."""
        return len(self.numbers) + sum(len(c.values) for c in self.classes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Length of each condition, in the order of ``names``; of a text that of its encoder's vector."""
        text = () if self.text is None else (self.text.width,)
        return (*(1 for _ in self.numbers), *(len(c.values) for c in self.classes), *text)

    def values_of(self, labels: Mapping[str, Label], mask: NDArray[np.bool_] | None) -> dict[str, Label]:
        """The values of one crop, from the labels of its picture and its own part of the mask."""
        found: dict[str, Label] = {c.name: _of_name(c.name, labels) for c in self.classes}
        for number in self.numbers:
            if number.of_mask:
                assert mask is not None  # seen to by ``of``
                found[number.name] = float(mask.mean())
            else:
                found[number.name] = _of_name(number.name, labels)
        if self.text is not None:
            found[self.text.name] = _of_name(self.text.name, labels)
        return found

    def text_of(self, values: Mapping[str, Label]) -> str:
        """The text of one image.

        Raises:
            Problem: it is missing or empty.
        """
        assert self.text is not None
        found = str(values.get(self.text.name, ""))
        if not found.strip():
            raise Problem(f"condition '{self.text.name}' is missing", do=f"give {self.text.name}=TEXT")
        return found

    def named(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The same values under the names of these conditions; a name that is none of theirs stays what it is.

        Raises:
            Problem: two values are of one condition.
        """
        found: dict[str, Value] = {}
        for given, value in values.items():
            name = known_as(given, self.names) or given
            if name in found:
                raise Problem(f"'{name}' is given twice", do="give it once")
            found[name] = value
        return found

    def encode(self, values: Mapping[str, Label]) -> NDArray[np.float32]:
        """The vector ``(width,)`` of one image.

        Args:
            values: a value for every condition.

        Raises:
            Problem: a condition is missing, unknown, or a class that training never saw.
        """
        for name in values:
            if name not in self.names:
                raise Problem(
                    f"'{name}' is no condition of this run", do=f"choose among {listed(self.names) or 'none'}"
                )
        for name in self.names:
            if name not in values:
                raise Problem(f"condition '{name}' is missing", do=f"give {name}=VALUE")
        vector: list[float] = []
        for number in self.numbers:
            value = values[number.name]
            try:
                figure = float(value)
            except ValueError:
                figure = math.nan
            if not math.isfinite(figure):
                raise Problem(f"condition {number.name} is '{value}'", do="give a number")
            vector.append(2 * (figure - number.low) / (number.high - number.low) - 1)
        for kind in self.classes:
            value = values[kind.name]
            asked = value if isinstance(value, str) else f"{value:g}"
            if asked not in kind.values:
                raise Problem(f"training never saw {kind.name} '{asked}'", do=f"choose among {listed(kind.values)}")
            vector += [float(asked == value) for value in kind.values]
        return np.array(vector, dtype=np.float32)

    def decode(self, vector: Sequence[float]) -> dict[str, Label]:
        """The values that a vector stands for."""
        found: dict[str, Label] = {}
        place = 0
        for number in self.numbers:
            found[number.name] = number.low + (vector[place] + 1) / 2 * (number.high - number.low)
            place += 1
        for kind in self.classes:
            scores = list(vector[place : place + len(kind.values)])
            found[kind.name] = kind.values[scores.index(max(scores))]
            place += len(kind.values)
        return found

    def outside(self, values: Mapping[str, Label]) -> list[str]:
        """What of these values lies outside the range seen in training, in words."""
        little = 1e-6  # of the range: what rounding may do
        return [
            f"{n.name} {float(values[n.name]):g} is asked, and training saw {n.low:g} to {n.high:g}"
            for n in self.numbers
            if n.name in values and abs(2 * float(values[n.name]) - n.low - n.high) > (1 + little) * (n.high - n.low)
        ]


def _of_name(name: str, labels: Mapping[str, Label]) -> Label:
    """The label of that name, which is there however it is spelt (seen to by ``Conditions.of``)."""
    if name in labels:
        return labels[name]
    known = known_as(name, labels)
    assert known is not None
    return labels[known]
