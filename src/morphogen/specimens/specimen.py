"""What a domain knows about its specimens, as data. Each file beside this one holds one ``SPECIMEN``."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Literal

from morphogen.problems import Problem

Symmetry = Literal["flip_horizontal", "flip_vertical", "quarter_turn"]


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
    """

    name: str
    phase: str
    phase_is: Literal["dark", "bright"]
    fraction: str
    symmetries: frozenset[Symmetry]
    descriptors: tuple[str, ...]


def specimen_names() -> list[str]:
    """The kinds that are known: the files of this folder."""
    import morphogen.specimens as package

    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name != "specimen")


def specimen(name: str) -> Specimen:
    """The kind of that name.

    Raises:
        Problem: there is none of that name.
    """
    if name not in specimen_names():
        raise Problem(f"there is no kind of specimen '{name}'", do=f"choose one of {', '.join(specimen_names())}")
    found = importlib.import_module(f"morphogen.specimens.{name}").SPECIMEN
    assert isinstance(found, Specimen)
    return found
