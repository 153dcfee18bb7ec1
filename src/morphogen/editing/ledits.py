"""LEDITS++. Brack et al. 2023 (arXiv:2311.16711).

The image is inverted by edit-friendly inversion (``mathematics.inversion``) with nothing told, and sampled again with
the guidance of several concepts e_i, each of its own scale and each in its own place,

    D = D(x) + sum_i s_i M_i (D(x, e_i) - D(x))

(their equations 3 to 5, on estimates in place of noises; a negative scale takes a concept away). The concepts are what
stands between semicolons in the caption: "large grains; a crack". A weight given for a concept, under its words, is its
scale.

Masks (their section 3.3): M_i = M_i1 M_i2, where M_i1 is the part of the image with the most attention to the concept's
words, and M_i2 the part with the largest difference D(x, e_i) - D(x); both of the same share of the image.

Deviations. The paper finds masks anew at each step; here attention and differences are averaged over all levels of the
inversion's path first, so that an edit has one region, which can be held against the truth: outside of all M_i pixels
are the image's own, to the bit, and at each step the image's path. Steps are those of DDPM with one evaluation a level,
where the paper has a second-order solver with fewer.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from morphogen.editing.editor import Edit, EditingMethod, EditorSettings, Instruction
from morphogen.generation.captioned import CaptionedRun
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.picture import EDITED_BY, Label, Picture
from morphogen.mathematics.edit_masks import largest_share
from morphogen.mathematics.inversion import edit_friendly_inversion, sampled_again
from morphogen.mathematics.noise_levels import Denoiser, karras_steps, level_of_batch
from morphogen.mathematics.randomness import Randomness
from morphogen.problems import Problem

_NOISE = 153
"""Purpose of the random stream of the noise of an inversion."""


class Settings(EditorSettings):
    """Settings of LEDITS++."""

    noise: float = Field(
        default=15.0, gt=0, description="noise level up to which the image is inverted: how strong the edit may be"
    )
    steps: int = Field(default=30, ge=2, description="noise levels up to there")
    scale: float = Field(default=3.0, description="of a concept to which no weight is given")
    share: float = Field(default=0.25, gt=0, lt=1, description="of the image, that each of a concept's masks takes")
    masks: Literal["both", "attention", "estimates"] = Field(
        default="both",
        description="what tells where a concept acts: attention to its words, the difference that it makes, or both",
    )
    text_encoder: str | None = Field(
        default=None, description="folder of the run's text encoder, where that is no longer where it was"
    )


class Editor(EditingMethod):
    """LEDITS++ on a run that reads captions."""

    title = "LEDITS++"
    takes = frozenset({"caption", "emphasis", "mask"})
    needs = frozenset({"caption"})
    model = "a diffusion run that was trained with captions"
    settings: Settings

    def __init__(self, settings: Settings, folder: Path | None, *, cpu: bool = False) -> None:
        super().__init__(settings, folder, cpu=cpu)
        if folder is None:
            raise Problem("LEDITS++ needs a run", do="name the folder of a diffusion run with captions")
        self.captioned = CaptionedRun(folder, text_encoder=settings.text_encoder, cpu=cpu)
        self.sees = self.captioned.run.record.intensity
        if settings.masks != "estimates" and not self.captioned.looks_across:
            raise Problem(
                f"{folder} does not read its captions by attention across, so none can be seen",
                do="set masks=estimates, or name a run that does",
            )

    def check(self, source: Picture, instruction: Instruction) -> None:
        """Refuse what holds no concept, or weighs one that is not there."""
        self.captioned.check(source, left_out=True)
        for concept in concepts_of(instruction.caption, instruction.emphasis, self.settings.scale):
            self.captioned.words(concept)
        lowest = self.captioned.method.settings.lowest_noise
        if self.settings.noise <= lowest:
            raise Problem(
                f"noise {self.settings.noise:g} is not above the run's lowest noise level",
                do=f"give more than {lowest:g}",
            )

    def edit(
        self, sources: Sequence[Picture], instructions: Sequence[Instruction], *, seed: int, first: int
    ) -> list[Edit]:
        """Edit one picture after the other: each has concepts of its own."""
        with torch.inference_mode():
            return [
                self._edited(source, instruction, (seed, _NOISE, first + k))
                for k, (source, instruction) in enumerate(zip(sources, instructions, strict=True))
            ]

    def _edited(self, source: Picture, instruction: Instruction, key: tuple[int, ...]) -> Edit:
        captioned, settings = self.captioned, self.settings
        method = captioned.method
        scales = concepts_of(instruction.caption, instruction.emphasis, settings.scale)
        streams = Randomness([key], captioned.device)
        x0 = captioned.inside([source])
        levels = karras_steps(settings.steps, method.settings.lowest_noise, settings.noise)
        known = captioned.known_of(source)
        nothing = captioned.denoiser(captioned.given([source], [""], [known]), source.size, 1.0)
        inversion = edit_friendly_inversion(nothing, x0, levels, lambda: streams.normal(*x0.shape[1:]))
        each = _Each(self, source, list(scales), known)
        attention, difference = each.along(inversion.path, levels)  # (K, h, w)
        masks = torch.ones_like(difference, dtype=torch.bool)
        if settings.masks != "estimates":
            masks &= largest_share(attention, settings.share)
        if settings.masks != "attention":
            masks &= largest_share(difference, settings.share)
        if instruction.mask is not None:
            masks &= captioned.places([instruction.mask])[:, 0]
        union = masks.any(0, keepdim=True)  # (1, h, w)
        region: NDArray[np.bool_] = captioned.pixels(union)[0] > 0
        if instruction.mask is not None:
            region &= instruction.mask
        made = sampled_again(
            each.guided(masks, list(scales.values())),
            inversion,
            lambda x, k: torch.where(union[:, None], x, inversion.path[k]),
        )
        labels: dict[str, Label] = {EDITED_BY: "ledits", ASKED + CAPTION: instruction.caption}
        (picture,) = captioned.pictures(made, [source], [region], [labels])
        maps: dict[str, NDArray[np.float32]] = {}
        for k, concept in enumerate(scales):
            maps[f"mask of {concept}"] = captioned.pixels(masks[k : k + 1])[0]
            maps[f"difference by {concept}"] = captioned.pixels(difference[k : k + 1])[0]
            if settings.masks != "estimates":
                maps[f"attention to {concept}"] = captioned.pixels(attention[k : k + 1])[0]
        return Edit(source, picture, region, maps)


class _Each:
    """The denoiser of one image, told each of K concepts and nothing, in one batch of K + 1."""

    def __init__(self, editor: Editor, source: Picture, concepts: Sequence[str], known: Mapping[str, Label]) -> None:
        captioned = editor.captioned
        rows = len(concepts) + 1
        given = captioned.given([source] * rows, [*concepts, ""], [known] * rows)
        self.denoise: Denoiser = captioned.denoiser(given, source.size, 1.0)
        self.mapped = None
        if editor.settings.masks != "estimates":
            assert given.tokens is not None
            tokens = [[[t for word in captioned.words(concept) for t in word.tokens]] for concept in concepts]
            chosen = captioned.selection([*tokens, [[]]], given.tokens.shape[1])
            self.mapped = captioned.mapped(given, source.size, chosen)
        self.rows = rows

    def along(self, path: Sequence[Tensor], levels: Tensor) -> tuple[Tensor, Tensor]:
        """Attention to each concept and the difference it makes, means over levels and channels, ``(K, h, w)`` each."""
        attention, difference = [], []
        for x, sigma in zip(path, levels.tolist(), strict=True):
            rows = x.repeat(self.rows, 1, 1, 1)
            at = level_of_batch(sigma, rows)
            if self.mapped is None:
                estimates = self.denoise(rows, at)
            else:
                estimates, maps = self.mapped(rows, at)
                attention.append(maps[:-1, 0])
            difference.append((estimates[:-1] - estimates[-1:]).abs().mean(1))
        mean = torch.stack(difference).mean(0)
        return torch.stack(attention).mean(0) if attention else torch.zeros_like(mean), mean

    def guided(self, masks: Tensor, scales: Sequence[float]) -> Denoiser:
        """D of the module's equation, for one image ``(1, C, h, w)``."""

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            estimates = self.denoise(x.repeat(self.rows, 1, 1, 1), sigma.repeat(self.rows))
            told, nothing = estimates[:-1], estimates[-1:]
            weights = torch.tensor(scales).to(x)[:, None, None, None] * masks[:, None]  # (K, 1, h, w)
            return nothing + (weights * (told - nothing)).sum(0, keepdim=True)

        return denoise


def concepts_of(caption: str, weights: Mapping[str, float], scale: float) -> dict[str, float]:
    """The concepts of a caption, each with its scale; capitals don't matter.

    Raises:
        Problem: there is none, one is given twice, or a weight is given for something else or is no number.
    """
    found = [part.strip() for part in caption.split(";") if part.strip()]
    if not found:
        raise Problem("the caption holds no concept", do="say what there is to be more of, parted by semicolons")
    of_name = {concept.lower(): scale for concept in found}
    if len(of_name) < len(found):
        raise Problem(f"a concept of '{caption[:40]}' is given twice", do="give it once")
    for name, weight in weights.items():
        if name.strip().lower() not in of_name:
            raise Problem(f"'{name}' is no concept of the caption", do=f"weigh one of {', '.join(found)}")
        if not math.isfinite(weight):
            raise Problem(f"the weight of '{name}' is {weight}", do="give a finite number")
        of_name[name.strip().lower()] = float(weight)
    return {concept: of_name[concept.lower()] for concept in found}
