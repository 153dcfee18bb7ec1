"""Denoising diffusion. Ho, Jain, Abbeel 2020 (arXiv:2006.11239); sampled by DDIM (arXiv:2010.02502).

    x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps,    L = E || network(x_t, t) - target(x_0, eps, t) ||^2

with a_t = alpha_bar_t, cosine or linear, and eps or v as the target (see mathematics). The network is
diffusers' UNet2DModel. The images are first brought to mean 0 and variance 1: then the network's answer to v
has variance 1 at every noise level and starts from the best linear guess (Karras et al. 2022, arXiv:2206.00364,
equation 6 with sigma_data = 1, is v-prediction).

Deviation: with ``patch`` p > 1 the network sees the image through space-to-depth, p x p pixels as channels
(Shi et al. 2016, arXiv:1609.05158), and its answer goes back the same way. The process is that of the
paper, on every pixel; only the network works at 1 / p^2 of the places. On two cores the time that buys 170
steps of a decent network at full resolution buys a good model with p = 4.
"""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from morphogen.mathematics.noise_levels import (
    add_noise,
    cosine_signal,
    evenly_spaced_steps,
    linear_signal,
)
from morphogen.mathematics.prediction_targets import Target, clean_image, target
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers import ddim
from morphogen.methods.method import (
    Batch,
    GenerativeMethod,
    ImageShape,
    Loss,
    MethodSettings,
    Phase,
    SampleRequest,
    Sizes,
    Task,
)


class Settings(MethodSettings):
    """Settings of the denoising diffusion model."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    channels: tuple[int, ...] = Field(default=(64, 128, 192), min_length=1, description="channels of the UNet's levels")
    layers: int = Field(default=1, ge=1, description="residual layers in each level")
    attention: bool = Field(default=True, description="attention in the coarsest level")
    patch: int | None = Field(
        default=None,
        ge=1,
        description="space-to-depth in front of the network; 1 is the paper's; by default 4 on a CPU, 1 on a GPU",
    )
    noise_levels: Literal["cosine", "linear"] = Field(default="cosine", description="signal over time")
    predicts: Target = Field(default="v", description="what the network predicts")
    train_steps: int = Field(default=1000, ge=2, description="noise levels T")
    sample_steps: int = Field(default=30, ge=1, description="DDIM steps an image")
    eta: float = Field(default=0.0, ge=0, le=1, description="0 deterministic, 1 ancestral noise")
    learning_rate: float = Field(default=1e-3, gt=0, description="at its highest; it falls as a cosine")

    @model_validator(mode="after")
    def _channels_fit_their_groups(self) -> "Settings":
        if any(c % 16 for c in self.channels):
            raise ValueError("multiples of 16, for the groups of the normalisation")
        if self.sample_steps > self.train_steps:
            raise ValueError("at most train_steps in sample_steps")
        return self


CPU_PATCH = 4


class Denoiser(nn.Module):
    """diffusers' UNet behind space-to-depth."""

    def __init__(self, settings: Settings, shape: ImageShape) -> None:
        super().__init__()
        # Imported here because it takes seconds, and no other method needs it.
        from diffusers import UNet2DModel

        levels = len(settings.channels)
        coarsest = "Attn" if settings.attention else ""
        self.patch = settings.patch or CPU_PATCH
        inside = shape.channels * self.patch**2
        self.unet = UNet2DModel(
            in_channels=inside,
            out_channels=inside,
            block_out_channels=settings.channels,
            layers_per_block=settings.layers,
            down_block_types=("DownBlock2D",) * (levels - 1) + (f"{coarsest}DownBlock2D",),
            up_block_types=(f"{coarsest}UpBlock2D",) + ("UpBlock2D",) * (levels - 1),
            add_attention=settings.attention,
            attention_head_dim=16,
            norm_num_groups=16,
        )
        # Training starts from the best guess without a network (v = 0), not from that guess plus noise.
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)

    def forward(self, xt: Tensor, t: Tensor) -> Tensor:
        patches = pixel_unshuffle(xt, self.patch)  # (B, C p p, H / p, W / p)
        return pixel_shuffle(self.unet(patches, t).sample, self.patch)


class Method(GenerativeMethod):
    """Denoising diffusion probabilistic model."""

    title = "DDPM"
    averaged = ("denoiser",)
    compiled = ("denoiser",)
    settings: Settings
    alpha_bar: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape = task.shape
        self.denoiser = Denoiser(settings, shape)
        signal = {"cosine": cosine_signal, "linear": linear_signal}[settings.noise_levels]
        self.register_buffer("alpha_bar", signal(settings.train_steps), persistent=False)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.phases = (
            Phase(
                "denoising",
                trains=("denoiser",),
                learning_rate=settings.learning_rate,
                betas=(0.9, 0.99),
                falls=True,
                warm_up_images=40 * settings.batch_size,
            ),
        )

    @classmethod
    def suited(cls, settings: Settings, *, on_gpu: bool) -> Settings:
        """Space-to-depth is for those who cannot afford the network on every pixel."""
        if settings.patch is not None:
            return settings
        return settings.model_copy(update={"patch": 1 if on_gpu else CPU_PATCH})

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """The patches, halved between the levels, must come out whole."""
        unit = (settings.patch or CPU_PATCH) * 2 ** (len(settings.channels) - 1)
        return Sizes(multiple_of=unit, at_least=2 * unit)

    def prepare(self, images: Tensor) -> None:
        """Measure mean and standard deviation of the grey levels."""
        self.mean.copy_(images.mean())
        self.deviation.copy_(images.std().clamp(min=1e-3))

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Mean squared error of the prediction."""
        x0 = (batch.images - self.mean) / self.deviation
        t = randomness.integers(self.settings.train_steps)
        eps = randomness.normal(*x0.shape[1:])
        a = self.alpha_bar[t]
        said = self.denoiser(add_noise(x0, eps, a), t)
        loss = (said - target(self.settings.predicts, x0, eps, a)).square().mean()
        return Loss(loss, {"denoising": loss})

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Follow the denoiser from noise, its estimates of the image held within the grey range."""
        shape = (self.shape.channels, self.shape.height, self.shape.width)
        count = request.steps or self.settings.sample_steps
        low, high = (-1 - self.mean) / self.deviation, (1 - self.mean) / self.deviation

        def denoise(xt: Tensor, t: int) -> Tensor:
            times = torch.full((len(xt),), t, device=xt.device)
            said = self.denoiser(xt, times)
            return clean_image(self.settings.predicts, said, xt, self.alpha_bar[times]).clamp(low, high)

        x0 = ddim(
            denoise,
            randomness.normal(*shape),
            self.alpha_bar,
            evenly_spaced_steps(self.settings.train_steps, count),
            eta=self.settings.eta,
            normal=lambda: randomness.normal(*shape),
        )
        return x0 * self.deviation + self.mean
