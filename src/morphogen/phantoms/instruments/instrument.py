"""The contract of an instrument: what stands in front of it, and what it makes of that.

Each file beside this one is an instrument, under its own name. It holds ``INSTRUMENT``, a class of frozen settings that
are all numbers or switches (so that each can be typed as NAME=NUMBER), with ``see``. An instrument draws all chance of
an image from that image's own stream and moves nothing by more than it states, so that masks stay in register.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.ndimage import binary_erosion, gaussian_filter

from morphogen.catalogue import Catalogue
from morphogen.images.picture import Label
from morphogen.phantoms.materials import material
from morphogen.phantoms.parameters import Parameter, listed_parameters
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem, as_problem

PixelType = Literal["uint8", "uint16"]


@dataclass(frozen=True, eq=False)
class Subject:
    """What stands in front of an instrument.

    Attributes:
        labels: ``(height, width)`` uint8; 0 is empty, k is ``materials[k - 1]``, as in a ``Solid``.
        materials: their names; see ``phantoms.materials``.
        spacing_um: side of a pixel.
        reflectance: ``(height, width)`` in [0, 1], what a camera sees: with the grain of each material, and edges that
            are shared with others.
        density: ``(height, width)`` over that of the material; ``tone`` where nothing else is known.
    """

    labels: NDArray[np.uint8]
    materials: tuple[str, ...]
    spacing_um: float
    reflectance: NDArray[np.float64]
    density: NDArray[np.float64] | None = None

    @classmethod
    def of_labels(cls, labels: NDArray[np.uint8], materials: Sequence[str], spacing_um: float) -> "Subject":
        """Even materials, each as bright as its colour.

        Raises:
            Problem: nothing is known of a material.
        """
        luminance = [0.0, *(float(np.dot((0.299, 0.587, 0.114), material(name).colour)) for name in materials)]
        return cls(labels, tuple(materials), spacing_um, np.array(luminance)[labels], np.ones(labels.shape))

    @classmethod
    def of_slice(cls, solid: Solid, axis: int, index: int) -> "Subject":
        """The face of a solid that is cut there."""
        return cls.of_labels(solid.slice(axis, index), solid.materials, solid.spacing_um)

    @cached_property
    def tone(self) -> NDArray[np.float64]:
        """Reflectance over its mean in the same material, ``(height, width)``: the grain of the material.

        Pixels on an edge are mixed with what is beyond it. They get what the inside next to them has: the labels say
        where an edge is, and the instrument how soft.
        """
        tone = np.ones(self.labels.shape)
        for k in np.unique(self.labels):
            of_it = self.labels == k
            inside = binary_erosion(of_it, np.ones((3, 3)), border_value=1)
            mean = float(self.reflectance[inside].mean()) if inside.any() else 0.0
            if mean <= 0:
                continue
            relative = np.where(inside, self.reflectance / mean, 0.0)
            near = gaussian_filter(inside.astype(np.float64), 1.0, mode="constant")
            spread = gaussian_filter(relative, 1.0, mode="constant") / np.maximum(near, 1e-3)
            tone[of_it & (near > 1e-3)] = spread[of_it & (near > 1e-3)]
            tone[inside] = relative[inside]
        return np.clip(tone, 0, 3)

    @property
    def relative_density(self) -> NDArray[np.float64]:
        """Density over that of the material, ``(height, width)``."""
        return self.tone if self.density is None else self.density


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What an instrument made of a subject.

    Attributes:
        pixels: ``(channels, height, width)``.
        recorded: what has to be known of it: the grey scale, the exposure, the largest shift.
    """

    pixels: NDArray[np.generic]
    recorded: Mapping[str, Label] = field(default_factory=lambda: MappingProxyType({}))


class Instrument(BaseModel, ABC):
    """Settings of an instrument, and how it sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    takes: ClassVar[str] = ""
    """What its images are called in a caption, "optical scan"; "" leaves the caption as the kind wrote it."""

    @abstractmethod
    def see(
        self, subjects: Sequence[Subject], dtype: PixelType, generators: Sequence[np.random.Generator]
    ) -> list[Seen]:
        """Images of several subjects; each is the same in any company.

        Args:
            subjects: of any sizes and materials.
            dtype: "uint8" or "uint16".
            generators: one a subject; where all its chance comes from.

        Raises:
            Problem: a material of which nothing is known, where that matters.
        """


INSTRUMENTS = Catalogue("morphogen.phantoms.instruments", "instrument", frozenset({"instrument"}))


def instrument(name: str, settings: Mapping[str, float] | None = None) -> Instrument:
    """The instrument of that name.

    Args:
        name: "camera", "tomograph", "scanner", "electron_microscope".
        settings: of its settings, those that are not to have their defaults.

    Raises:
        Problem: there is none of that name, or an unknown or impossible setting.
    """
    found: type[Instrument] = INSTRUMENTS.module(name).INSTRUMENT
    try:
        return found(**(settings or {}))
    except ValidationError as error:
        raise as_problem(error, name.replace("_", " "), found) from None


def settings_of(name: str) -> tuple[Parameter, ...]:
    """The settings of an instrument.

    Raises:
        Problem: there is none of that name.
    """
    return listed_parameters(INSTRUMENTS.module(name).INSTRUMENT)


def to_grey(share: NDArray[np.floating], dtype: PixelType) -> NDArray[np.generic]:
    """Shares of full scale as pixels; what lies outside of 0 to 1 is clipped."""
    full_scale = np.iinfo(dtype).max
    pixels: NDArray[np.generic] = np.clip(np.rint(share * full_scale), 0, full_scale).astype(dtype)
    return pixels


def require_materials(subjects: Sequence[Subject], name: str) -> None:
    """Refuse subjects of which nothing but the brightness is known.

    Raises:
        Problem: a subject names no material.
    """
    if any(not subject.materials for subject in subjects):
        raise Problem(
            f"the {name} has to know what things are made of, and this phantom does not say", do="use a camera"
        )
