"""The diffusion prior of unCLIP: from a caption to the vector that CLIP would have of an image of it.

Ramesh, Dhariwal, Nichol, Chu, Chen 2022 (arXiv:2204.06125), section 2.2. Many images fit one caption, and CLIP puts
none of them where it puts the caption; so a small diffusion model draws z_i, the unit vector of an image, told the
caption y and its own vector z_t. A transformer reads the sequence

    tokens of the caption, z_t, the noise level, the noisy z_i, and a place of its own, where it answers

and says the z_i without noise:

    L = E || f(z_i + sigma n, sigma, y) - z_i ||^2

Captions are left out for a tenth of the examples, for classifier-free guidance. To draw, two vectors are drawn from the
noise of the image's own stream, and the one with the larger product z_i . z_t is kept.

Deviations. What is left of x = z_i + sigma n is part of the estimate, beside the transformer's answer F, as in
``methods.denoising``:

    f(x, sigma, y) = a^2 x + a sigma F(a x, sigma, y),    a = 1 / sqrt(1 + sigma^2)

so that nothing need be learnt where there is little noise: after few steps, one that answered z_i itself drew the mean
of the vectors that fit, again and again. Noise levels are those of ``mathematics.noise_levels``, uniform in the time of
the paper's cosine schedule, for vectors brought to mean 0 and variance 1 (``networks.seen_vectors``). Its estimate is
held within the unit ball, in which all means of unit vectors lie, and what is drawn is brought to unit length. No
causal mask: one place alone answers, and it sees all others in either case. The tokens are the states of the frozen
encoder that CLIP reads captions by.

It draws no images. A denoising method that is told such vectors does (``train ddpm IMAGES --image-vector CLIP_RUN``).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphogen.mathematics.guidance import guided
from morphogen.mathematics.noise_levels import PROCESSES, Denoiser, karras_steps, per_image, uniform_in_time
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver, solver_names
from morphogen.methods.method import Batch, ImageLearner, Loss, MethodSettings, Phase, Sizes, Task
from morphogen.networks.seen_vectors import SeenVectors

_WARM_UP_STEPS = 40  # of Adam's second moment


class Settings(MethodSettings):
    """Settings of the prior."""

    batch_size: int = Field(default=64, ge=1, description="images a step, over all processes together")
    learning_rate: float = Field(default=1e-3, gt=0, description="at its highest; it falls as a cosine")
    width: int = Field(default=128, ge=8, description="length of a place of the sequence")
    depth: int = Field(default=4, ge=1, description="blocks of the transformer")
    heads: int = Field(default=4, ge=1, description="attention heads")
    lowest_noise: float = Field(default=0.01, gt=0, description="lowest noise level, vectors have variance 1")
    highest_noise: float = Field(default=80.0, gt=0, description="highest noise level, where drawing starts")
    solver: str = Field(default="dpm_solver", description="how vectors are drawn, see docs/solvers.md")
    sample_steps: int = Field(default=20, ge=1, description="noise levels that the solver visits")
    guidance: float = Field(default=1.0, ge=0, description="weight of the caption in drawing; 1 for no guidance")
    candidates: int = Field(default=2, ge=1, description="vectors that are drawn, to keep the nearest to the caption")
    condition_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of examples without the caption")

    @model_validator(mode="after")
    def _levels_heads_and_solver_fit(self) -> "Settings":
        if self.lowest_noise >= self.highest_noise:
            raise ValueError("lowest_noise below highest_noise")
        if self.width % self.heads or self.width % 2:
            raise ValueError("a width that is even and a multiple of heads")
        if self.guidance != 1 and not self.condition_dropout:
            raise ValueError("condition_dropout above 0, for guidance needs a network that was at times told nothing")
        if self.solver not in solver_names():
            raise ValueError(f"a solver among {', '.join(solver_names())}")
        return self


@dataclass(frozen=True, slots=True)
class Said:
    """What the prior is told.

    Attributes:
        tokens: of the caption, ``(B, T, text + 1)``, the last entry 1 for a token that counts.
        vector: that CLIP has of the caption, ``(B, d)``.
        told: whether either counts, ``(B,)`` bool.
    """

    tokens: Tensor
    vector: Tensor
    told: Tensor

    def twice(self) -> "Said":
        """Once as it is, and once without the caption."""
        return Said(
            torch.cat([self.tokens, self.tokens]),
            torch.cat([self.vector, self.vector]),
            torch.cat([self.told, torch.zeros_like(self.told)]),
        )


class Transformer(nn.Module):
    """From a noisy vector, its noise level and a caption to the vector without noise."""

    def __init__(self, length: int, text: int, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.text = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, width))
        self.caption, self.noisy = nn.Linear(length, width), nn.Linear(length, width)
        self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        # Each place says what it is: tokens of the caption, its vector, the level, the noisy vector, the answer.
        self.places = nn.Parameter(0.02 * torch.randn(5, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, settings.heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(settings.depth)
        )
        last = nn.Linear(width, length)
        self.out = nn.Sequential(nn.LayerNorm(width), last)
        # Training starts from the best guess without a network, that of a normal distribution of variance 1.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, sigma: Tensor, said: Said) -> Tensor:
        """The estimate ``(B, length)`` for noisy vectors ``(B, length)`` at noise levels ``(B,)``."""
        signal = (1 + sigma.square()).rsqrt()[:, None]
        noisy = signal * x  # of variance 1
        caption = said.vector * math.sqrt(said.vector.shape[1])
        each = [self.caption(caption), self.level(_waves(sigma.log(), self.places.shape[1])), self.noisy(noisy)]
        places = torch.stack([*each, torch.zeros_like(each[0])], dim=1) + self.places[1:]  # (B, 4, W)
        sequence = torch.cat([self.text(said.tokens[..., :-1]) + self.places[0], places], dim=1)
        tokens = (said.tokens[..., -1] > 0) & said.told[:, None]
        always = torch.ones_like(said.told)[:, None]
        there = torch.cat([tokens, said.told[:, None], always, always, always], dim=1)  # (B, T + 4)
        for block in self.blocks:
            sequence = block(sequence, src_key_padding_mask=~there)
        estimate: Tensor = signal * noisy + sigma[:, None] * signal * self.out(sequence[:, -1])
        return estimate


class Method(ImageLearner):
    """The diffusion prior."""

    title = "unCLIP prior"
    averaged = ("network",)
    averaging_half_life = 2_000
    conditional: ClassVar[Literal["no", "may", "must"]] = "must"
    reads_text = True
    learns_captions = True
    learns_image_vectors = True
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        assert task.conditions.text is not None  # seen to by ``training.captions``
        self.seen_vectors = SeenVectors(task.image_vector)
        self.network = Transformer(task.image_vector, task.conditions.text.width, settings)
        self.phases = (
            Phase(
                "denoising",
                trains=("network",),
                learning_rate=settings.learning_rate,
                betas=(0.9, 0.99),
                falls=True,
                warm_up_images=_WARM_UP_STEPS * settings.batch_size,
            ),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Those of the CLIP, which alone sees images."""
        return Sizes(multiple_of=1, at_least=1)

    def begin(self, phase: str, batches: Callable[[int, int], Batch]) -> None:
        """Keep the vectors of some training crops, which say on what scale vectors are learnt."""
        self.seen_vectors.keep(batches)

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Squared error of the vector, a mean over its entries and over images."""
        settings = self.settings
        assert batch.image_vector is not None
        z = self.seen_vectors.inside(batch.image_vector)
        level, coin = randomness.uniform(2).unbind(1)
        sigma = uniform_in_time(level, PROCESSES["cosine"](), settings.lowest_noise, settings.highest_noise)
        x = z + per_image(sigma, z) * randomness.normal(z.shape[1])
        estimate = self.network(x, sigma, self._said(batch, coin >= settings.condition_dropout))
        error = (estimate - z).square().mean()
        return Loss(error, {"denoising": error})

    def denoiser(self, batch: Batch, guidance: float | None = None) -> Denoiser:
        """The estimate of vectors, on the network's scale, for the captions of a batch.

        Args:
            batch: with tokens and vectors of captions.
            guidance: weight of the caption; by default that of the settings.
        """
        weight = self.settings.guidance if guidance is None else guidance
        assert batch.tokens is not None
        once = self._said(batch, torch.ones(len(batch.tokens), dtype=torch.bool, device=batch.tokens.device))
        both = once.twice()

        def told(x: Tensor, sigma: Tensor) -> Tensor:
            return self.seen_vectors.within_the_ball(self.network(x, sigma, once))

        def told_and_not(x: Tensor, sigma: Tensor) -> Tensor:
            return self.seen_vectors.within_the_ball(self.network(x, sigma, both))

        return guided(told_and_not, told, weight)

    def draw(self, batch: Batch, randomness: Randomness, *, guidance: float | None = None) -> Tensor:
        """Unit vectors ``(B, d)`` that images of these captions could have, each from a stream of its own.

        Args:
            batch: with tokens and vectors of captions.
            randomness: one stream a vector.
            guidance: weight of the caption; by default that of the settings.
        """
        settings = self.settings
        assert batch.caption_vector is not None
        length, solve = batch.caption_vector.shape[1], solver(settings.solver).solve
        sigmas = karras_steps(settings.sample_steps, settings.lowest_noise, settings.highest_noise)
        denoise = self.denoiser(batch, guidance)

        def normal() -> Tensor:
            return randomness.normal(length)

        candidates = [
            normalize(self.seen_vectors.outside(solve(denoise, float(sigmas[0]) * normal(), sigmas, normal)), dim=1)
            for _ in range(settings.candidates)
        ]
        found = torch.stack(candidates, dim=1)  # (B, candidates, d)
        nearest = (found * batch.caption_vector[:, None]).sum(2).argmax(1)  # (B,)
        return found[torch.arange(len(found), device=found.device), nearest]

    def _said(self, batch: Batch, told: Tensor) -> Said:
        assert batch.tokens is not None
        assert batch.caption_vector is not None
        return Said(batch.tokens, batch.caption_vector, told)


def _waves(numbers: Tensor, width: int) -> Tensor:
    """Sines and cosines of the logarithms of levels ``(B,)``, of wavelengths from 0.06 to 60: ``(B, width)``."""
    frequencies = torch.logspace(-1, 2, width // 2, device=numbers.device)
    angles = numbers[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
