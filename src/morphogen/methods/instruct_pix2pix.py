"""InstructPix2Pix: images changed by an order in words. Brooks, Holynski, Efros 2023 (arXiv:2211.09800).

A denoiser of the image after, which sees the image before as further channels of its input and reads the instruction.
It learns from triples (before, instruction, after); see ``phantoms.edits`` for triples whose answer is known.

In training the image alone is left out for 5 % of the examples, the instruction alone for 5 %, and both for 5 %
(section 3.2.1), so that at sampling each has a guidance of its own (``mathematics.guidance.guided_twice``, equation 3):
``image_guidance`` holds to the image before, ``guidance`` makes more of the instruction.

Deviations. The paper starts from Stable Diffusion, with new input channels at zero, in its latents; here all is learnt
from the triples, on pixels behind space-to-depth. The paper's weights at sampling are 1.5 and 7.5; a network that has
seen exactly paired triples follows both without, so here they are 1 until asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from morphogen.mathematics.guidance import guided_twice
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import Given, UNetMethod, UNetSettings
from morphogen.methods.method import SampleRequest


class Settings(UNetSettings):
    """Settings of InstructPix2Pix."""

    condition_dropout: float = Field(
        default=0.05,
        ge=0,
        le=1 / 3,
        description="share of training examples without the image, again without the instruction, again without both",
    )
    image_guidance: float = Field(default=1.0, ge=0, description="weight of the image before; 1 for no guidance")

    @model_validator(mode="after")
    def _both_guidances_were_learnt(self) -> "Settings":
        if self.image_guidance != 1 and not self.condition_dropout:
            raise ValueError("condition_dropout above 0, for guidance needs a network that was at times told nothing")
        return self


class Method(UNetMethod):
    """A denoiser of images after an instruction, told the image before."""

    title = "InstructPix2Pix"
    conditional: ClassVar[Literal["no", "may", "must"]] = "must"
    needs_context: ClassVar[bool] = True
    takes_image_vector: ClassVar[bool] = False  # its two guidances are of the image before and of the instruction
    settings: Settings

    def _told_some(self, given: Given, randomness: Randomness) -> Given:
        """One coin an example says what is left out: nothing, the image, the instruction, or both."""
        share = self.settings.condition_dropout
        case = (randomness.uniform(1) / share).floor() if share else randomness.uniform(1) + 3  # (B, 1)
        return given.but(_kept(given, image=(case == 1) | (case > 2), words=(case == 0) | (case > 2)))

    def _guided(self, given: Given, request: SampleRequest) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
        """With a weight for the image and one for the instruction."""
        settings = self.settings
        words = settings.guidance if request.guidance is None else request.guidance
        image = settings.image_guidance if request.image_guidance is None else request.image_guidance
        low, high = request.guidance_interval or (settings.guidance_from, settings.guidance_to)

        def denoise(x: Tensor, sigma: Tensor, context: Tensor | None) -> Tensor:
            both = replace(given, context=context)
            yes = torch.ones(len(x), 1, dtype=torch.bool, device=x.device)
            told = both + both.but(_kept(both, image=yes, words=~yes)) + both.untold()
            return guided_twice(
                lambda x, sigma: self.hold(self.denoise(x, sigma, told)),
                lambda x, sigma: self.hold(self.denoise(x, sigma, both)),
                image, words, low, high,
            )(x, sigma)  # fmt: skip

        return denoise


def _kept(given: Given, *, image: Tensor, words: Tensor) -> Tensor:
    """What is told, ``(B, kinds)``: the image before comes last, and all conditions go with the instruction.

    Args:
        given: what could be told.
        image: whether the image is, ``(B, 1)``.
        words: whether the instruction is, ``(B, 1)``.
    """
    conditions = words.float().expand(-1, given.kinds - (given.context is not None))
    return conditions if given.context is None else torch.cat([conditions, image.float()], dim=1)
