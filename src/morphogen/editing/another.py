"""Another measured image in the place of the source. A control: as real as an image can be, and of something else."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from morphogen.editing.editor import PARTS, Edit, EditingMethod, EditorSettings, Instruction
from morphogen.images.context import name_of
from morphogen.images.folders import read_images
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem

_CHOICE = 131
"""Purpose of the random streams that choose the other image and the place in it."""


class Settings(EditorSettings):
    """There are none."""


class Editor(EditingMethod):
    """Takes every instruction, and follows its mask alone."""

    title = "another measured image (control)"
    takes = PARTS
    model = "other measured images"

    def __init__(self, settings: EditorSettings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        assert folder is not None
        self.others = read_images(folder)

    def check(self, source: Picture, instruction: Instruction) -> None:
        """There must be another image of its kind, as large as the source at least."""
        first, name = self.others[0], name_of(source)
        for what, here, there in (
            ("channels", source.channels, first.channels),
            ("pixels", source.pixels.dtype.name, first.pixels.dtype.name),
        ):
            if here != there:
                raise Problem(f"{name} has {what} {here}, and the other images have {there}", do="give others like it")
        if not self._fitting(source):
            raise Problem(
                f"no other image than {name} is as large as its {source.size[0]} x {source.size[1]} pixels",
                do="give larger ones of other specimens",
            )

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """A place of another image, in the mask or everywhere."""
        found = []
        for k, (source, instruction) in enumerate(zip(sources, instructions, strict=True), start=first):
            chance = numpy_generator(seed, _CHOICE, k)
            fitting = self._fitting(source)
            other = fitting[int(chance.integers(len(fitting)))]
            top, left = (
                int(chance.integers(have - want + 1)) for have, want in zip(other.size, source.size, strict=True)
            )
            region = np.ones(source.size, np.bool_) if instruction.mask is None else instruction.mask
            pixels = source.pixels.copy()
            pixels[:, region] = other.crop(top, left, *source.size).pixels[:, region]
            labels = {**source.labels, "other image": name_of(other)}
            found.append(Edit(source, replace(source, pixels=pixels, labels=labels), region))
        return found

    def _fitting(self, source: Picture) -> list[Picture]:
        """Those that are large enough, of other specimens where there are any, and never the source itself."""
        large = [
            other
            for other in self.others
            if other.size[0] >= source.size[0]
            and other.size[1] >= source.size[1]
            and not np.array_equal(other.pixels, source.pixels)
        ]
        return [other for other in large if other.origin.specimen != source.origin.specimen] or large
