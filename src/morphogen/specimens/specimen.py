"""What a domain knows about its specimens, as data. Each file beside this one holds one ``SPECIMEN``.

So does each file in a folder that the environment variable ``MORPHOGEN_SPECIMENS`` names.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from morphogen.catalogue import Catalogue
from morphogen.problems import Problem

Symmetry = Literal["flip_horizontal", "flip_vertical", "quarter_turn"]

AUGMENTATIONS = ("flip_horizontal", "flip_vertical", "quarter_turn", "shift", "rotation", "brightness", "contrast")
"""What may be done to an image in front of a discriminator: symmetries, shifts by whole pixels, rotations by any angle,
and changes of lighting."""


@dataclass(frozen=True, slots=True)
class Margin:
    """Up to which difference between two means a scientist would call two sets the same.

    Attributes:
        size: how much.
        of: of what: "value" in the reading's own unit; "mean" as a share of the measured mean; "spread" as a share
            of the standard deviation between measured fields.
    """

    size: float
    of: Literal["value", "mean", "spread"]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.size) and self.size > 0):
            raise ValueError(f"a margin of {self.size} allows nothing")

    def absolute(self, mean: float, spread: float) -> float:
        """In the reading's own unit, from mean and standard deviation of the measured fields."""
        return self.size * {"value": 1.0, "mean": abs(mean), "spread": spread}[self.of]


DEFAULT_MARGIN = Margin(0.5, "spread")
"""Half of the standard deviation between measured fields: what is called a medium effect (Cohen 1988)."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a caption says of one reading of a field, in one of a few phrases.

    Attributes:
        descriptor: what reads it (a file of evaluation/descriptors).
        reading: its name, "mean local thickness".
        phrases: one for each class of values, from low to high; "" says nothing. ``{value}`` and ``{unit}`` stand for
            the reading, as in "wide pores of {value:.0f} {unit}".
        limits: values between the classes, ascending, one fewer than phrases. Of lengths in pixels: how large things
            look is all that an image shows.
        over: a reading of the same descriptor to divide by, for ratios; "" for none.
    """

    descriptor: str
    reading: str
    phrases: tuple[str, ...]
    limits: tuple[float, ...]
    over: str = ""

    def __post_init__(self) -> None:
        if len(self.phrases) != len(self.limits) + 1 or list(self.limits) != sorted(set(self.limits)):
            raise ValueError(f"{self.reading}: {len(self.phrases)} phrases do not fit the limits {self.limits}")

    def of(self, value: float, unit: str, pixel: float = 1.0) -> str:
        """What is said of a value.

        Args:
            value: the reading.
            unit: its unit, as the reading has it.
            pixel: side of a pixel in that unit, if it is a length; 1 for all else.
        """
        phrase = self.phrases[bisect_right(self.limits, value / pixel)]
        return phrase.format(value=value, unit=unit.replace("µ", "u"))


@dataclass(frozen=True, slots=True)
class Wording:
    """How an image of a kind is captioned: "microCT of rock, medium porosity 0.18, narrow pores of 21 um".

    Attributes:
        subject: what it is, and how it was taken.
        phrases: what is said of its readings, in this order. A reading that a field does not have is not spoken of.
    """

    subject: str
    phrases: tuple[Phrase, ...] = ()


@dataclass(frozen=True, slots=True)
class Specimen:
    """A kind of specimen.

    Attributes:
        name: as on the command line, "rock".
        phase: the phase of interest in words, "pore".
        phase_is: whether that phase is the dark or the bright one in an image.
        fraction: what its area fraction is called, "porosity".
        symmetries: what can be done to an image so that it still is one of this kind. A flip or a quarter
            turn that the specimen does not allow would teach a network orientations that do not exist.
        descriptors: names of the descriptors that matter for it (files of evaluation/descriptors).
        lighting_varies: whether brightness and contrast differ between images of one specimen, as those of photographs
            do. The grey level of a tomograph is a density, and may not be changed.
        segmentation: how its phase is told by default (a file of evaluation/segmentation, perhaps "=ARGUMENT").
        margins: for each reading by its name, up to which difference of two means its users would call two
            sets the same; readings that are not named have ``DEFAULT_MARGIN``.
        wording: how an image of this kind is captioned from what is measured in it.
        criteria: what its experts are asked to rate of an image, each a statement that they agree to or not.
    """

    name: str
    phase: str
    phase_is: Literal["dark", "bright"]
    fraction: str
    symmetries: frozenset[Symmetry]
    descriptors: tuple[str, ...]
    lighting_varies: bool = False
    segmentation: str = "otsu"
    wording: Wording = Wording("an image")
    margins: Mapping[str, Margin] = field(default_factory=lambda: MappingProxyType({}))
    criteria: tuple[str, ...] = ("It looks like a measured image.",)

    def margin(self, reading: str) -> Margin:
        """The margin of a reading."""
        return self.margins.get(reading, DEFAULT_MARGIN)


def augmentations(symmetries: frozenset[str], *, lighting_varies: bool = False) -> frozenset[str]:
    """What may be done to an image of such a kind in front of a discriminator, some of ``AUGMENTATIONS``.

    Shifts are allowed to all, for crops are taken anywhere; rotations by any angle to what may be turned by a
    quarter, for that has no direction of its own.
    """
    free = {"rotation"} if "quarter_turn" in symmetries else set()
    light = {"brightness", "contrast"} if lighting_varies else set()
    return symmetries | {"shift"} | free | light


TEXTURE = ("grey_levels", "power_spectrum", "noise_and_sharpness")
"""Descriptors of the grey image itself, which every kind has."""

TEXTURE_MARGINS: Mapping[str, Margin] = MappingProxyType(
    {
        "grey level mean": Margin(0.5, "spread"),
        "grey level standard deviation": Margin(0.5, "spread"),
        "grey level skewness": Margin(0.5, "spread"),
        "grey level kurtosis": Margin(0.5, "spread"),
        "spectral slope": Margin(0.1, "value"),
        "high-frequency power": Margin(0.2, "mean"),
        "noise level": Margin(0.1, "mean"),
        "edge width": Margin(0.1, "mean"),
    }
)
"""Their margins, for kinds that have none of their own."""

OWN_KINDS = "MORPHOGEN_SPECIMENS"
"""Environment variable that names folders with kinds of a person's own, one a file; docs/add_a_specimen.md."""

KINDS = Catalogue("morphogen.specimens", "kind of specimen", frozenset({"specimen"}), own=OWN_KINDS)


def specimen_names() -> list[str]:
    """The kinds that are known: the files of this folder, and those of a person's own folders."""
    return KINDS.names()


def specimen(name: str) -> Specimen:
    """The kind of that name.

    Raises:
        Problem: there is none of that name, or its file is not as docs/add_a_specimen.md has it.
    """
    found = getattr(KINDS.module(name), "SPECIMEN", None)
    if not isinstance(found, Specimen) or found.name != name:
        raise Problem(
            f"the file of the kind '{name}' does not say SPECIMEN = Specimen(name='{name}', ...)", do="let it say so"
        )
    return found
