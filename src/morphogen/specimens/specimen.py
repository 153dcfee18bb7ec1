"""What a domain knows about its specimens, as data. Each file beside this one holds one ``SPECIMEN``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from morphogen.catalogue import Catalogue

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
    """

    name: str
    phase: str
    phase_is: Literal["dark", "bright"]
    fraction: str
    symmetries: frozenset[Symmetry]
    descriptors: tuple[str, ...]
    lighting_varies: bool = False
    segmentation: str = "otsu"
    margins: Mapping[str, Margin] = field(default_factory=lambda: MappingProxyType({}))

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

KINDS = Catalogue("morphogen.specimens", "kind of specimen", frozenset({"specimen"}))


def specimen_names() -> list[str]:
    """The kinds that are known: the files of this folder."""
    return KINDS.names()


def specimen(name: str) -> Specimen:
    """The kind of that name.

    Raises:
        Problem: there is none of that name.
    """
    found: Specimen = KINDS.module(name).SPECIMEN
    return found
