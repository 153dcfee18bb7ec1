"""White noise with the source's own histogram: its pixels, in an order that is chance.

A control: what looks at grey levels alone cannot tell it from the source, and what looks at anything else must.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from morphogen.editing.editor import PARTS, Edit, EditingMethod, EditorSettings, Instruction
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator

_ORDER = 130
"""Purpose of the random streams of orders."""


class Settings(EditorSettings):
    """There are none."""


class Editor(EditingMethod):
    """Takes every instruction, and follows its mask alone."""

    title = "white noise (control)"
    takes = PARTS

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """The pixels of each region in a random order, all channels of a pixel together."""
        found = []
        for k, (source, instruction) in enumerate(zip(sources, instructions, strict=True), start=first):
            region = np.ones(source.size, np.bool_) if instruction.mask is None else instruction.mask
            pixels = source.pixels.copy()
            inside = pixels[:, region]  # (channels, pixels)
            pixels[:, region] = inside[:, numpy_generator(seed, _ORDER, k).permutation(inside.shape[1])]
            found.append(Edit(source, replace(source, pixels=pixels), region))
        return found
