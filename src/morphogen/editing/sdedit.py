"""SDEdit: noise comes upon the image, and a diffusion run takes it away again. Meng et al. 2021 (arXiv:2108.01073).

With little noise the image stays what it is, but for what the noise has hidden; with much it becomes another one of the
run's. The strength says how much, as the time of the straight flow (``noise_levels.Flow``): for images of variance 1,

    sigma = strength / (1 - strength)

so at 1/2 there is as much noise as image; 0 gives the source back, 1 starts from the run's highest level. The paper's
t_0 is the time of a VP or VE process; a noise level means the same under every run.

Within a mask alone the rest is told as it is in ``inpaint``, where the paper replaces it with noise upon it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field

from morphogen.editing.diffusion_run import DiffusionRunEditor, PaintSettings
from morphogen.editing.editor import Edit, Instruction
from morphogen.images.picture import Picture
from morphogen.mathematics.noise_levels import Flow


class Settings(PaintSettings):
    """Settings of SDEdit."""

    strength: float = Field(default=0.5, ge=0, le=1, description="0 gives the source back, 1 forgets it")
    restarts: int = Field(default=0, ge=0, description="how often it is drawn again from a noise level between")


class Editor(DiffusionRunEditor):
    """Renews an image, or what of it is in the mask."""

    title = "SDEdit by a diffusion run"
    takes = frozenset({"mask", "caption", "asked"})
    settings: Settings

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """The sources, the more changed the stronger."""
        strength = self.settings.strength
        if strength == 0:
            return [Edit(source, source, np.zeros(source.size, np.bool_)) for source in sources]
        canvases = [
            self.canvas(source, np.ones(source.size, np.bool_) if wish.mask is None else wish.mask)
            for source, wish in zip(sources, instructions, strict=True)
        ]
        level = float(Flow().sigma(torch.tensor(strength)))
        painted, labels = self.painted(canvases, instructions, seed=seed, first=first, noise_level=level)
        return self.edits(sources, canvases, painted, labels)
