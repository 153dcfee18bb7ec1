"""Edits by a hosted image service, through the package openai: nothing is known of the network but what it answers.

With a text the image is changed, within a mask where there is one; without one a variation of it is asked for, where
the service has that. The source goes out as a PNG file of 8 bit in colour, through its declared scale of grey values
(``pretrained.pipeline``), filled up by reflection to the shape that is asked for and brought to its size; what comes
back goes the same way back, and says so in its labels, beside which service made it. Outside of a mask every pixel is
the source's to the bit: services give the whole image back, repainted.

``pretrained.image_service`` has what is paid for, kept and refused. A seed means nothing to a service: here it tells
one answer from the next, so that the same seed gives the kept answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import Field

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.images.picture import Picture
from morphogen.pretrained.image_service import (
    RESIZED,
    SERVICE,
    ImageService,
    ServiceRequest,
    ServiceSettings,
    png_of,
    resized,
    words_of_size,
)
from morphogen.pretrained.pipeline import Frame, declared_intensity, from_rgb, to_rgb
from morphogen.problems import Problem
from morphogen.progress import track


class Settings(ServiceSettings, EditorSettings):
    """Settings of a hosted service."""

    black: float | None = Field(default=None, description="grey value that is black; by default as the source says")
    white: float | None = Field(default=None, description="grey value that is white; by default as the source says")


class Editor(EditingMethod):
    """A hosted image service."""

    title = "hosted service"
    takes = frozenset({"caption", "words", "mask"})
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        self.service = ImageService(settings)
        self._checked: list[tuple[Picture, Instruction]] = []

    def check(self, source: Picture, instruction: Instruction) -> None:
        """Refuse images that cannot be sent; what was checked is counted, so that it is agreed to at once."""
        if instruction.mask is not None and not (instruction.caption or instruction.words):
            raise Problem("a service paints into a mask what a text says", do="give a caption, or leave the mask out")
        if instruction.caption and instruction.words:
            raise Problem("a caption and an instruction are given", do="give one of the two: a service takes one text")
        to_rgb(source, declared_intensity(source, self.settings.black, self.settings.white))
        self._checked.append((source, instruction))

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Ask for each picture by itself; each answer is kept as it arrives."""
        here = list(zip(sources, instructions, strict=True))
        for source, instruction in here:
            self.check(source, instruction)
        self.service.agree([self._request(*one, seed) for one in self._checked])
        self._checked.clear()
        return [self._edited(source, instruction, seed) for source, instruction in track(here, "Asking the service")]

    def _frame(self, source: Picture) -> Frame:
        """The source in the least rectangle of the shape that is asked for."""
        (height, width), (rows, columns) = source.size, self.settings.wanted_size
        if height * columns >= width * rows:
            return Frame(source.size, (height, max(width, round(height * columns / rows))))
        return Frame(source.size, (max(height, round(width * rows / columns)), width))

    def _request(self, source: Picture, instruction: Instruction, seed: int) -> ServiceRequest:
        settings, frame = self.settings, self._frame(source)
        scale = declared_intensity(source, settings.black, settings.white)
        rgb = resized(frame.fill(to_rgb(source, scale)), settings.wanted_size)
        text = instruction.caption or instruction.words
        mask = b""
        if instruction.mask is not None:
            hole = resized(frame.fill(instruction.mask[None].astype(np.float32)), settings.wanted_size)[0]
            mask = png_of(rgb, hole > 0)  # rather a pixel more than a pixel less
        return ServiceRequest("edit" if text else "variation", text, png_of(rgb), mask, f"seed {seed}")

    def _edited(self, source: Picture, instruction: Instruction, seed: int) -> Edit:
        settings, frame = self.settings, self._frame(source)
        answer = self.service.image(self._request(source, instruction, seed))
        labels = {**source.labels, SERVICE: self.service.name}
        way = (frame.outer, settings.wanted_size, (answer.shape[1], answer.shape[2]), frame.outer)
        sizes = [way[0], *(there for here, there in pairwise(way) if here != there)]
        if len(sizes) > 1:
            labels[RESIZED] = " to ".join(words_of_size(size) for size in sizes) + ", by Lanczos' window"
        rgb = frame.cut(resized(answer / np.float32(255), frame.outer))
        scale = declared_intensity(source, settings.black, settings.white)
        made = from_rgb(rgb, source.channels, scale)
        region = np.ones(source.size, np.bool_) if instruction.mask is None else instruction.mask
        pixels = np.where(region, made, source.pixels)
        return Edit(source, replace(source, pixels=pixels, labels=labels, mask=None), region)
