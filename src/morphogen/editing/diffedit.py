"""DiffEdit. Couairon, Verbeek, Schwenk, Cord 2022 (arXiv:2210.11427).

1. The mask: noise is added to the image, and the denoiser is told what the image is to show and what it shows; where
   its two estimates differ, averaged over noises, is what the edit is about (``mathematics.edit_masks``).
2. DDIM inversion up to a noise level, told what the image shows, if that is known.
3. Sampling from there, told what it is to show; at every level the image outside of the mask is that of the inversion.

    x_s = M x_s + (1 - M) x_s of the inversion

At the end, pixels outside of the mask are those of the image, to the bit.

Deviations. Noise levels are said as what they are, sigma for images of variance 1, not as shares of a schedule: a half
of the paper's schedule is about 1.6, in a latent. Neighbouring pixels tell much the same, so that on pixels a structure
is seen through more noise than in a latent, and as long as the denoiser sees what is there it does not believe another
caption: the defaults are higher, and the threshold is lower than the paper's half, which leaves out the rims of what
changes (docs/results.md, "Edits by two captions"). The paper's masks have the 8 x 8 pixels of a latent's place; here
contrasts of methods that work on pixels are smoothed by a Gaussian first. Each step of the inversion can be bettered to
its exact inverse (``mathematics.inversion``), where the paper's is exact for small steps only.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter
from torch import Tensor

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.captioned import CaptionedRun
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.picture import EDITED_BY, Label, Picture
from morphogen.mathematics.edit_masks import scaled_contrast
from morphogen.mathematics.inversion import ddim_inversion, sampled_again
from morphogen.mathematics.noise_levels import karras_steps, level_of_batch
from morphogen.mathematics.randomness import Randomness
from morphogen.problems import Problem

_NOISE = 151
"""Purpose of the random stream of the noises that a mask is averaged over."""


class Settings(EditorSettings):
    """Settings of DiffEdit."""

    noise: float = Field(
        default=10.0, gt=0, description="noise level up to which the image is inverted: how strong the edit may be"
    )
    steps: int = Field(default=25, ge=1, description="noise levels up to there")
    iterations: int = Field(default=3, ge=0, description="evaluations that better each step of the inversion")
    mask_noise: float = Field(default=3.0, gt=0, description="noise level at which the captions are contrasted")
    mask_noises: int = Field(default=10, ge=1, description="noises that the contrast is averaged over")
    smoothing: float = Field(default=1.0, ge=0, description="of the contrast, standard deviation in pixels")
    threshold: float = Field(default=0.4, gt=0, lt=1, description="of the contrast, from 0 to 1, to be in the mask")
    guidance: float | None = Field(default=None, ge=0, description="weight of the caption; by default the run's")
    text_encoder: str | None = Field(
        default=None, description="folder of the run's text encoder, where that is no longer where it was"
    )


class Editor(EditingMethod):
    """DiffEdit on a run that reads captions."""

    title = "DiffEdit"
    takes = frozenset({"caption", "before", "asked", "mask"})
    needs = frozenset({"caption"})
    model = "a diffusion run that was trained with captions"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        if folder is None:
            raise Problem("DiffEdit needs a run", do="name the folder of a diffusion run with captions")
        self.captioned = CaptionedRun(folder, text_encoder=settings.text_encoder, cpu=cpu)
        self.sees = self.captioned.run.record.intensity

    def check(self, source: Picture, instruction: Instruction) -> None:
        """Refuse captions that say the same, or cannot be read."""
        captioned, settings = self.captioned, self.settings
        before = captioned.caption_of(source, instruction.before)
        captioned.check(source, guidance=settings.guidance, left_out=not before)
        captioned.known_of(source, instruction.asked)
        if before == instruction.caption and not instruction.asked:
            raise Problem(f"both captions are '{before[:40]}'", do="say what is to be different")
        for caption in filter(None, (before, instruction.caption)):
            captioned.encoder(caption)
        lowest = captioned.method.settings.lowest_noise
        for name, level in (("noise", settings.noise), ("mask_noise", settings.mask_noise)):
            if level <= lowest:
                raise Problem(
                    f"{name} {level:g} is not above the run's lowest noise level", do=f"give more than {lowest:g}"
                )

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Find the masks, invert, and sample again inside of them."""
        captioned, settings = self.captioned, self.settings
        size, count = sources[0].size, len(sources)
        befores = [captioned.caption_of(p, i.before) for p, i in zip(sources, instructions, strict=True)]
        afters = [i.caption for i in instructions]
        known = [captioned.known_of(p) for p in sources]
        asked = [captioned.known_of(p, i.asked) for p, i in zip(sources, instructions, strict=True)]
        with torch.inference_mode():
            x0 = captioned.inside(sources)
            both = captioned.denoiser(
                captioned.given([*sources, *sources], [*befores, *afters], [*known, *asked]), size, 1.0
            )
            streams = Randomness.of_images(seed, first, count, purpose=_NOISE, device=captioned.device)
            contrast: Tensor = torch.zeros_like(x0[:, 0])
            for _ in range(settings.mask_noises):
                x = (x0 + settings.mask_noise * streams.normal(*x0.shape[1:])).repeat(2, 1, 1, 1)
                shown, wanted = both(x, level_of_batch(settings.mask_noise, x)).chunk(2)
                contrast = contrast + (wanted - shown).abs().mean(1) / settings.mask_noises
            scaled = scaled_contrast(self._smoothed(contrast))
            maps = captioned.pixels(scaled)
            regions = [
                (of_image > settings.threshold) & (True if i.mask is None else i.mask)
                for of_image, i in zip(maps, instructions, strict=True)
            ]
            places = captioned.places(regions)
            levels = karras_steps(settings.steps, captioned.method.settings.lowest_noise, settings.noise)
            shown_now = captioned.denoiser(captioned.given(sources, befores, known), size, 1.0)
            path = ddim_inversion(shown_now, x0, levels, iterations=settings.iterations)
            made = sampled_again(
                captioned.denoiser(captioned.given(sources, afters, asked), size, settings.guidance),
                path,
                lambda x, k: torch.where(places, x, path.path[k]),
            )
        labels: list[dict[str, Label]] = [
            {EDITED_BY: "diffedit", ASKED + CAPTION: i.caption, **{ASKED + n: v for n, v in i.asked.items()}}
            for i in instructions
        ]
        pictures = captioned.pictures(made, sources, regions, labels)
        return [
            Edit(source, picture, region, {"contrast of the captions": of_image})
            for source, picture, region, of_image in zip(sources, pictures, regions, maps, strict=True)
        ]

    def _smoothed(self, contrast: Tensor) -> Tensor:
        width = self.settings.smoothing / self.captioned.method.pixels_inside
        smooth: NDArray[np.float32] = gaussian_filter(contrast.cpu().numpy(), (0, width, width), mode="nearest")
        return torch.from_numpy(smooth).to(contrast)
