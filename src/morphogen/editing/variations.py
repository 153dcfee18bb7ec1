"""Variations of an image: others that CLIP sees the same in. Ramesh et al. 2022 (arXiv:2204.06125), section 3.1.

The run is told the image's vector z_i. Where the image is to be kept in part, sampling starts from the noise x_T that
the deterministic sampler makes the image from (DDIM inversion, told z_i), and has noise of its own at each step, eta of
``solvers.ddim``:

    strength 0       eta = 0: the image comes back, as far as the inversion reaches and the run can draw it
    strength < 1     eta = strength: what the vector does not hold is let go bit by bit
    strength 1       x_T is noise, and the vector is all that is left of the image

What has changed between variations, and what has stayed, says what CLIP holds of an image and what it does not.

Each image gets one variation; another seed gives another. The whole image is drawn anew. Deviations: at strength 1 the
sampler is the run's own, from noise alone; and there are no further models that make the image larger.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.decoder import Decoder
from morphogen.images.picture import EDITED_BY, Label, Picture
from morphogen.mathematics.randomness import Randomness

_NOISE = 154
"""Purpose of the random streams of noise."""


class Settings(EditorSettings):
    """Settings of variations."""

    strength: float = Field(default=1.0, ge=0, le=1, description="0 gives the image back, 1 keeps its vector alone")
    steps: int | None = Field(default=None, ge=1, description="noise levels; by default as the run")
    guidance: float | None = Field(default=None, ge=0, description="weight of the vector; by default as the run")
    iterations: int = Field(default=5, ge=0, description="evaluations that better each step of the inversion")


class Editor(EditingMethod):
    """Draws an image anew from its vector."""

    title = "unCLIP variations"
    takes: ClassVar[frozenset[str]] = frozenset()
    model = "a diffusion run that was told vectors of images"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        assert folder is not None
        self.decoder = Decoder(folder, cpu=cpu)
        self.sees = self.decoder.run.record.intensity

    def check(self, source: Picture, instruction: Instruction) -> None:
        """The image must be one of the run's kind, and large enough."""
        self.decoder.check(source, self.settings.guidance)

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """A variation of each."""
        decoder, settings, size = self.decoder, self.settings, sources[0].size
        streams = Randomness.of_images(seed, first, len(sources), purpose=_NOISE, device=decoder.device)
        with torch.inference_mode():
            vectors = decoder.vectors(sources)
            if settings.strength == 1:
                made = decoder.drawn(vectors, size, streams, steps=settings.steps, guidance=settings.guidance)
            else:
                found = decoder.noise_of(
                    sources, vectors, steps=settings.steps, guidance=settings.guidance, iterations=settings.iterations
                )
                made = decoder.drawn_from(
                    found, vectors, size, streams, eta=settings.strength, guidance=settings.guidance
                )
        everywhere = [np.ones(source.size, np.bool_) for source in sources]
        labels: list[dict[str, Label]] = [{EDITED_BY: "variations", "strength": settings.strength} for _ in sources]
        pictures = decoder.pictures(made, sources, everywhere, labels)
        return [Edit(s, p, r) for s, p, r in zip(sources, pictures, everywhere, strict=True)]
