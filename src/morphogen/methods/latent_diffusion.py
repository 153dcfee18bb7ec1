"""Latent diffusion. Rombach, Blattmann, Lorenz, Esser, Ommer 2022 (arXiv:2112.10752).

First, for a share of the budget, an autoencoder E, D (diffusers' AutoencoderKL, its figure 8) learns

    L_1 = E|x - D(z)| + k KL(N(m(x), s(x)^2) || N(0, 1)) + l LPIPS(x, D(z)),    z ~ N(m(x), s(x)^2) = E(x)

with the KL term a mean over the latent numbers and the perceptual one in some steps only. There is no adversarial term:
it would invent texture, and what an autoencoder cannot see is to be seen (``morphogen reconstruct``). Then it stands
still, and a denoiser (``denoising``) learns z, shifted and divided by its standard deviation over the training images
(section 3.3 and appendix G). Crops of the training images are encoded once: their means m and spreads s are kept, not
one noisy draw, so that each step draws its own z from them.

Deviations from the paper: both networks of the autoencoder stand behind space-to-depth as the UNets on pixels do; the
perceptual term looks through AlexNet by default, at a twentieth of the price of VGG16, and leaves VGG16 free to judge
(what a method was trained to please is no evidence); the error is the mean of absolute values.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from morphogen.mathematics.gaussians import divergence_from_standard_normal
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.denoising import DenoisingMethod, DenoisingSettings, Given
from morphogen.methods.method import Batch, Loss, Phase, Sizes, Task, with_lazy_penalty
from morphogen.networks.conditioned_unet import GROUPS, ConditionedUNet
from morphogen.pretrained.perception import Perception

_LEAST_DEVIATION = 1e-3  # of a channel of the latent: one that says nothing
_MOST_LOG_VARIANCE = 20.0  # of a latent number, above and below 0: exp of more is no float


class Settings(DenoisingSettings):
    """Settings of latent diffusion."""

    autoencoder_share: float = Field(
        default=0.4, gt=0, lt=1, description="share of the budget that trains the autoencoder, before the denoiser"
    )
    autoencoder_channels: tuple[int, ...] = Field(
        default=(64, 128),
        min_length=1,
        description="channels of the autoencoder's levels; all but the last halve the size",
    )
    autoencoder_patch: int = Field(default=2, ge=1, description="space-to-depth around the autoencoder")
    autoencoder_learning_rate: float = Field(default=1e-3, gt=0, description="of the autoencoder; it falls as a cosine")
    latent_channels: int = Field(default=4, ge=1, description="channels of the latent")
    kl_weight: float = Field(default=1e-5, ge=0, description="weight of the divergence from a standard normal")
    perceptual: Literal["alexnet", "vgg16", "none"] = Field(
        default="alexnet", description="pretrained network of the perceptual term"
    )
    perceptual_weight: float = Field(default=0.1, ge=0, description="weight of the perceptual term")
    perceptual_every: int = Field(default=4, ge=1, description="steps between two perceptual terms")
    encoded_crops: int = Field(default=4096, ge=1, description="crops of the training images whose latents are kept")
    channels: tuple[int, ...] = Field(default=(128, 192), min_length=1, description="channels of the denoiser's levels")
    layers: int = Field(default=1, ge=1, description="residual layers in each of its levels")
    attention: bool = Field(default=True, description="attention in its coarsest level")

    @model_validator(mode="after")
    def _channels_fit_their_groups(self) -> "Settings":
        if any(c % GROUPS for c in (*self.channels, *self.autoencoder_channels)):
            raise ValueError(f"multiples of {GROUPS} in channels, for the groups of the normalisation")
        return self

    @property
    def factor(self) -> int:
        """Pixels, along one side, to one place of the latent."""
        return int(self.autoencoder_patch * 2 ** (len(self.autoencoder_channels) - 1))


class Autoencoder(nn.Module):
    """diffusers' AutoencoderKL behind space-to-depth."""

    def __init__(self, channels: int, settings: Settings) -> None:
        super().__init__()
        # Imported here because it takes seconds, and other methods don't need it.
        from diffusers import AutoencoderKL

        self.patch = settings.autoencoder_patch
        levels = len(settings.autoencoder_channels)
        self.kl = AutoencoderKL(
            in_channels=channels * self.patch**2,
            out_channels=channels * self.patch**2,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=settings.autoencoder_channels,
            latent_channels=settings.latent_channels,
            norm_num_groups=GROUPS,
            mid_block_add_attention=False,
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent ``(B, latent channels, H / f, W / f)``."""
        moments = self.kl.quant_conv(self.kl.encoder(pixel_unshuffle(images, self.patch)))
        mean, log_variance = moments.float().chunk(2, dim=1)  # data from here on, whatever the network's precision
        return mean, log_variance.clamp(-_MOST_LOG_VARIANCE, _MOST_LOG_VARIANCE)

    def decode(self, latent: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in about [-1, 1]."""
        return pixel_shuffle(self.kl.decoder(self.kl.post_quant_conv(latent)), self.patch)


class Method(DenoisingMethod):
    """Denoising in the latent of an autoencoder."""

    title = "latent diffusion"
    lossy = True
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape, conditions = task.shape, task.conditions
        self.autoencoder = Autoencoder(shape.channels, settings)
        self.network = ConditionedUNet(
            settings.latent_channels,
            settings.channels,
            layers=settings.layers,
            attention=settings.attention,
            conditions=task.widths,
            text=0 if conditions.text is None else conditions.text.width,
            beside=self.beside,
        )
        perceptual = settings.perceptual if settings.perceptual_weight else "none"
        self.perception = None if perceptual == "none" else Perception(perceptual, task.mask_channels)
        self.learnt_through = "" if perceptual == "none" else perceptual
        self._crops: Batch | None = None  # what is told of the crops that are kept
        self._latents: tuple[Tensor, Tensor] | None = None  # their means and spreads
        autoencoding = Phase(
            "autoencoder",
            trains=("autoencoder",),
            learning_rate=settings.autoencoder_learning_rate,
            betas=(0.9, 0.99),
            falls=True,
            during=(0.0, settings.autoencoder_share),
            clips=False,  # else the perceptual weight would not be what it says
        )
        self.phases = (
            *with_lazy_penalty(autoencoding, "perception", settings.perceptual_every if self.perception else 0),
            self.denoising_phase(self.learning, during=(settings.autoencoder_share, 1.0)),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """The latent, halved between the denoiser's levels, must come out whole."""
        unit = settings.factor * 2 ** (len(settings.channels) - 1)
        return Sizes(multiple_of=unit, at_least=2 * unit)

    @property
    def inside(self) -> tuple[int, ...]:
        """Shape of the latent of one image."""
        factor = self.settings.factor
        return self.settings.latent_channels, self.shape.height // factor, self.shape.width // factor

    def prepare(self, images: Tensor) -> None:
        """Nothing: what the denoiser sees does not exist yet."""

    @torch.no_grad()
    def begin(self, phase: str, batches: Callable[[int, int], Batch]) -> None:
        """Encode the crops that the denoiser learns from, and measure mean and standard deviation of their latents."""
        super().begin(phase, batches)
        if phase != "denoising":
            return
        settings, found, told = self.settings, [], []
        for first in range(0, settings.encoded_crops, settings.batch_size):
            batch = batches(first, min(settings.batch_size, settings.encoded_crops - first)).to(self.mean.device)
            mean, log_variance = self.autoencoder.encode(batch.images)
            found.append((mean, (0.5 * log_variance).exp()))
            told.append(replace(batch, images=batch.images[:0]))
        means, spreads = (torch.cat(parts) for parts in zip(*found, strict=True))
        self._latents = means, spreads
        self._crops = _side_by_side(told)
        self.mean.copy_(means.mean((0, 2, 3))[:, None, None])
        variance = means.var((0, 2, 3), correction=0) + spreads.square().mean((0, 2, 3))
        self.deviation.copy_(variance.sqrt().clamp(min=_LEAST_DEVIATION)[:, None, None])

    @property
    def begun(self) -> bool:
        """Whether the denoiser has seen a latent: only then their deviations are known."""
        return bool((self.deviation != 1).any())

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Loss of the autoencoder, its perceptual part, or the denoiser."""
        settings = self.settings
        if phase == "denoising":
            return self._denoising(batch, randomness)
        mean, log_variance = self.autoencoder.encode(batch.images)
        latent = mean + (0.5 * log_variance).exp() * randomness.normal(*mean.shape[1:])
        again = self.autoencoder.decode(latent)
        if phase == "perception":
            assert self.perception is not None
            seen = self.perception(batch.images, again).mean()
            return Loss(settings.perceptual_weight * settings.perceptual_every * seen, {"LPIPS": seen})
        error = (again - batch.images).abs().mean()
        numbers = mean[0].numel()
        divergence = divergence_from_standard_normal(mean, log_variance).mean() / numbers
        return Loss(error + settings.kl_weight * divergence, {"error": error, "divergence": divergence})

    def _denoising(self, batch: Batch, randomness: Randomness) -> Loss:
        if self._latents is None or self._crops is None:  # asked for a loss outside of a training
            mean, log_variance = self.autoencoder.encode(batch.images)
            spread, told = (0.5 * log_variance).exp(), batch
        else:
            chosen = randomness.integers(len(self._latents[0]))
            mean, spread = (part[chosen] for part in self._latents)
            told = _rows(self._crops, chosen)
        latent = mean + spread * randomness.normal(*mean.shape[1:])
        x0 = (latent - self.mean) / self.deviation
        return self.denoising_loss(x0, self.given(told), randomness)

    def predict(self, x: Tensor, level: Tensor, given: Given) -> Tensor:
        """The UNet's answer."""
        said: Tensor = self.network(given.beside(x), level, given.vector, given.told, given.tokens)
        return said

    def context_inside(self, context: Tensor) -> Tensor:
        """Its pixels as channels: nothing of it is lost where the image itself is encoded."""
        return pixel_unshuffle(context, self.settings.factor)

    def encode(self, images: Tensor, randomness: Randomness) -> Tensor:
        """Images in [-1, 1] to latents of variance 1: the mean of each."""
        return (self.autoencoder.encode(images)[0] - self.mean) / self.deviation

    def decode(self, x0: Tensor) -> Tensor:
        """Latents to images."""
        return self.autoencoder.decode(x0 * self.deviation + self.mean).clamp(-1, 1)

    def hold(self, x0: Tensor) -> Tensor:
        """A latent number has no bounds."""
        return x0

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images as the autoencoder gives them back."""
        return self.autoencoder.decode(self.autoencoder.encode(images)[0]).clamp(-1, 1)


def _side_by_side(batches: Sequence[Batch]) -> Batch:
    """What many batches are told of their images, without the images."""
    longest = max((b.tokens.shape[1] for b in batches if b.tokens is not None), default=0)

    def joined(name: str) -> Tensor | None:
        parts = [getattr(b, name) for b in batches]
        if parts[0] is None:
            return None
        if name == "tokens":
            parts = [pad(p, (0, 0, 0, longest - p.shape[1])) for p in parts]
        return torch.cat(parts)

    told = ("condition", "text", "tokens", "context", "image_vector")
    return Batch(batches[0].images, **{name: joined(name) for name in told})


def _rows(told: Batch, chosen: Tensor) -> Batch:
    """What is told of some of them."""

    def of(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[chosen]

    return replace(
        told, condition=of(told.condition), text=of(told.text), tokens=of(told.tokens), context=of(told.context),
        image_vector=of(told.image_vector),
    )  # fmt: skip
