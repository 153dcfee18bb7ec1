"""Triples on disk: images before, images after, and the order in words that leads from one to the other.

A folder of triples holds ``before/`` and ``after/``, two image sets with equal names. The images after are what a
method learns to make; they carry the instruction, and the images before are told in register with them. ``labels.csv``
beside both says the same for people and other programs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphogen.images.conditions import INSTRUCTION
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.problems import Problem

BEFORE, AFTER = "before", "after"
"""The two folders."""


@dataclass(frozen=True, slots=True)
class ReadTriples:
    """Pairs of images in one order; those after have the label "instruction"."""

    before: Pictures
    after: Pictures


def is_triples(path: Path) -> bool:
    """Whether a path holds triples."""
    return all((path / part).is_dir() for part in (BEFORE, AFTER))


def read_triples(path: Path | str, **reading: Any) -> ReadTriples:
    """Read a folder of triples.

    Args:
        path: of the folder.
        reading: as for ``read_images``.

    Raises:
        Problem: it is none, an image has no counterpart, or says no instruction.
    """
    path = Path(path)
    if not is_triples(path):
        raise Problem(f"{path} holds no triples", do=f"give a folder with {BEFORE}/ and {AFTER}/ in it")
    after = read_images(path / AFTER, **reading)
    from morphogen.images.context import partners  # brings torch, for which who only asks what a folder is won't wait

    before = partners(after, read_images(path / BEFORE, **reading))
    for picture in after:
        if not str(picture.labels.get(INSTRUCTION, "")).strip():
            raise Problem(
                f"{picture.labels['file']} in {path / AFTER} says no instruction",
                do=f"give labels.csv in that folder, with the columns file and {INSTRUCTION}",
            )
    return ReadTriples(before, after)
