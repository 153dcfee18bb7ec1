"""The contract of a descriptor: physics of one picture. Each file beside this one holds one ``DESCRIPTOR``.

A reading that does not exist (the length of structures in an empty field) is invalid and says why; it is
never a number. Units are those of the picture: micrometres where its spacing is known, else pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.catalogue import Catalogue
from morphogen.evaluation.segmentation import Segmentation
from morphogen.images.picture import Picture

DESCRIPTORS = Catalogue("morphogen.evaluation.descriptors", "descriptor", frozenset({"descriptor", "vector"}))


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number with its unit ("" for a pure number); ``value`` is None where ``invalid`` says why."""

    unit: str
    value: float | None
    invalid: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CurveReading:
    """A function of one variable.

    Attributes:
        x_name: what x is, "lag".
        x_unit: its unit.
        unit: unit of y, "" for a pure number.
        x: ``(k,)``.
        y: ``(k,)``, or None where ``invalid`` says why.
        invalid: reason, or empty.
    """

    x_name: str
    x_unit: str
    unit: str
    x: NDArray[np.float64]
    y: NDArray[np.float64] | None
    invalid: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """What a descriptor found in one picture, by name. The names are the same for every picture."""

    scalars: Mapping[str, Scalar]
    curves: Mapping[str, CurveReading] = field(default_factory=lambda: MappingProxyType({}))


class Descriptor(Protocol):
    """Physics of one picture.

    Attributes:
        name: "two-point correlation".
        unit: of its main scalar, "" for a pure number.
        definition: one sentence that a scientist accepts as a definition.
    """

    @property
    def name(self) -> str:
        """What it measures."""

    @property
    def unit(self) -> str:
        """Unit of its main scalar."""

    @property
    def definition(self) -> str:
        """One sentence."""

    def __call__(self, picture: Picture, segmentation: Segmentation) -> Readings:
        """The readings of one picture.

        Args:
            picture: any size, pixel type and channels; colour is read as luminance.
            segmentation: which pixels are the phase of interest.
        """


def descriptor_names() -> list[str]:
    """The descriptors that are known: the files of this folder."""
    return DESCRIPTORS.names()


def descriptor(name: str) -> Descriptor:
    """The descriptor of that name.

    Raises:
        Problem: there is none of that name.
    """
    found: Descriptor = DESCRIPTORS.module(name).DESCRIPTOR
    return found


def pixel_size(picture: Picture) -> tuple[tuple[float, float], str]:
    """Height and width of a pixel with their unit: micrometres where known, else (1, 1) pixels."""
    if all(math.isfinite(s) for s in picture.spacing_um):
        return picture.spacing_um, "µm"
    return (1.0, 1.0), "px"
