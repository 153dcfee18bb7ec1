"""What a domain knows about its specimens, as data. Each file beside this one holds one ``SPECIMEN``."""

from dataclasses import dataclass
from typing import Literal

from morphogen.catalogue import Catalogue

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
