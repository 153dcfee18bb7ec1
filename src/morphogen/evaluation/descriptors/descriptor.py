"""The contract of a descriptor: physics of one section. Each file beside this one holds one ``DESCRIPTOR``.

A reading that does not exist (the length of structures in an empty field) is invalid and says why; it is
never a number. Units are those of the picture: micrometres where its spacing is known, else pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from morphogen.catalogue import Catalogue
from morphogen.evaluation.section import Section

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
    """Physics of one section.

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

    def __call__(self, section: Section) -> Readings:
        """The readings of one section.

        Args:
            section: a picture of any size, pixel type and channels, with its phase.
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


@runtime_checkable
class Fittable(Protocol):
    """A descriptor that needs something in common for all sets, such as a grid of grey levels."""

    def fitted(self, measured: Sequence[Section]) -> Descriptor:
        """The descriptor as it is to be used, from the sections of the measured reference."""


def fitted_descriptor(name: str, measured: Sequence[Section]) -> Descriptor:
    """The descriptor of that name, ready for every set that is compared with these measured sections.

    Raises:
        Problem: there is none of that name.
    """
    found = descriptor(name)
    return found.fitted(measured) if isinstance(found, Fittable) else found
