"""An image turned towards a caption, in the space of CLIP. Ramesh et al. 2022 (arXiv:2204.06125), section 3.3.

    z_d = (z_t - z_0) / |z_t - z_0|,    z = slerp(z_i, z_d; amount)

with the vectors z_i of the image, z_t of a caption of what it is to show and z_0 of one of what it shows
(``mathematics.spherical``). The noise x_T that the run, told z_i, makes the image from stays as it is, so that what
neither vector speaks of stays too. The run need not read captions: CLIP does.

The paper turns by a quarter to a half of the way. Where nothing says what the image shows, z_d = z_t, which the paper
found to do as well.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.decoder import Decoder
from morphogen.images.conditions import ASKED, CAPTION, known_as
from morphogen.images.picture import EDITED_BY, Label, Picture
from morphogen.mathematics.spherical import difference, spherical
from morphogen.problems import Problem


class Settings(EditorSettings):
    """Settings of text differences."""

    amount: float = Field(default=0.4, ge=0, le=1, description="of the arc towards what the caption says")
    steps: int | None = Field(default=None, ge=1, description="noise levels; by default as the run")
    guidance: float | None = Field(default=None, ge=0, description="weight of the vector; by default as the run")
    iterations: int = Field(default=5, ge=0, description="evaluations that better each step of the inversion")
    text_encoder: str | None = Field(default=None, description="folder of the CLIP's text encoder, where it was moved")


class Editor(EditingMethod):
    """Turns the vector of an image towards a caption, and draws it from the image's own noise."""

    title = "unCLIP text differences"
    takes = frozenset({"caption", "before"})
    needs = frozenset({"caption"})
    model = "a diffusion run that was told vectors of images"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        assert folder is not None
        self.decoder = Decoder(folder, reads=True, text_encoder=settings.text_encoder, cpu=cpu)
        self.sees = self.decoder.run.record.intensity

    def check(self, source: Picture, instruction: Instruction) -> None:
        """The image must be one of the run's kind, and the captions must be two that can be read."""
        self.decoder.check(source, self.settings.guidance)
        before = _shown(source, instruction)
        if before == instruction.caption:
            raise Problem(f"both captions are '{before[:40]}'", do="say what is to be different")
        self.decoder.captions([text for text in (before, instruction.caption) if text])

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Turn each towards its caption; nothing is left to chance."""
        decoder, settings, size = self.decoder, self.settings, sources[0].size
        with torch.inference_mode():
            vectors = decoder.vectors(sources)
            wanted = decoder.captions([wish.caption for wish in instructions])
            befores = [_shown(source, wish) for source, wish in zip(sources, instructions, strict=True)]
            towards = torch.cat([
                difference(wanted[k : k + 1], decoder.captions([before]) if before else None)
                for k, before in enumerate(befores)
            ])  # fmt: skip
            turned = spherical(vectors, towards, vectors.new_full((len(vectors), 1), settings.amount))
            found = decoder.noise_of(
                sources, vectors, steps=settings.steps, guidance=settings.guidance, iterations=settings.iterations
            )
            made = decoder.drawn_from(found, turned, size, guidance=settings.guidance)
        everywhere = [np.ones(source.size, np.bool_) for source in sources]
        labels: list[dict[str, Label]] = [{EDITED_BY: "text_differences", "amount": settings.amount} for _ in sources]
        pictures = decoder.pictures(made, sources, everywhere, labels)
        return [Edit(s, p, r) for s, p, r in zip(sources, pictures, everywhere, strict=True)]


def _shown(source: Picture, instruction: Instruction) -> str:
    """What a picture shows in words: as given, else as its labels have it; "" where nothing says so."""
    for name in (CAPTION, ASKED + CAPTION):
        known = known_as(name, source.labels)
        if not instruction.before and known is not None:
            return str(source.labels[known])
    return instruction.before
