"""Outpainting with a diffusion run: the image goes on beyond its border, by as many pixels as are asked for.

As ``inpaint`` does it, with all of the new rim unknown; through windows, so that an image can become of any size. The
old pixels stand at their place to the bit.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from morphogen.editing.diffusion_run import DiffusionRunEditor, PaintSettings
from morphogen.editing.editor import Edit, Instruction
from morphogen.images.picture import Picture


class Settings(PaintSettings):
    """Settings of outpainting."""

    up: int = Field(default=0, ge=0, le=16384, description="pixels that are added above")
    down: int = Field(default=0, ge=0, le=16384, description="pixels that are added below")
    left: int = Field(default=0, ge=0, le=16384, description="pixels that are added at the left")
    right: int = Field(default=0, ge=0, le=16384, description="pixels that are added at the right")

    @model_validator(mode="after")
    def _grows(self) -> "Settings":
        if not any(self.rim):
            raise ValueError("told in pixels, as up=32 or right=64, how far the image goes on")
        return self

    @property
    def rim(self) -> tuple[int, int, int, int]:
        """Pixels added above, below, left and right."""
        return self.up, self.down, self.left, self.right


class Editor(DiffusionRunEditor):
    """Paints beyond the border."""

    title = "outpainting by a diffusion run"
    takes = frozenset({"caption", "asked"})
    settings: Settings

    def require_room(self, source: Picture, size: tuple[int, int]) -> None:
        """Together with what is added there must be room for a window."""
        up, down, left, right = self.settings.rim
        super().require_room(source, (size[0] + up + down, size[1] + left + right))

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """The sources with a rim."""
        up, down, left, right = rim = self.settings.rim
        canvases = []
        for source in sources:
            region = np.pad(np.zeros(source.size, np.bool_), ((up, down), (left, right)), constant_values=True)
            canvases.append(self.canvas(source, region, rim=rim))
        painted, labels = self.painted(canvases, instructions, seed=seed, first=first)
        return self.edits(sources, canvases, painted, labels, rim)
