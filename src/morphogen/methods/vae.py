"""Convolutional variational autoencoder. Kingma, Welling 2013 (arXiv:1312.6114).

Maximises the evidence lower bound (equation 3 of the paper)

    log p(x) >= E_q(z|x) [log p(x|z)] - KL(q(z|x) || p(z)),   q(z|x) = N(mu(x), s(x)^2),  p(z) = N(0, 1)

with p(x|z) = N(decoder(z), sigma^2). sigma is one learnt number (Rybkin, Daniilidis, Levine 2021,
arXiv:2006.13202): it settles at the root mean square error of the reconstruction, and so balances the two
terms without a weight to tune and without the collapse that a wrong weight brings. A drawn image is the
decoder's mean; the noise of width sigma that the model also believes in is added on request.

Deviations: group normalisation instead of none (no statistics of the batch, so that an image does not
depend on its neighbours), and resize-convolutions, which leave no checkerboard.
"""

import math
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from morphogen.mathematics.gaussians import divergence_from_standard_normal, negative_log_likelihood
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.resize_convolution import ResizeConvolution
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
    """Settings of the VAE."""

    batch_size: int = Field(default=32, ge=1, description="images a step, over all processes together")
    latent_dimensions: int = Field(default=64, ge=1, description="length of the latent vector z")
    channels: tuple[int, ...] = Field(
        default=(32, 64, 128, 256), min_length=1, description="channels after each halving of the image"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="at its highest; it falls as a cosine")
    observation_noise: bool = Field(
        default=False, description="add the noise that the model believes to be in every image"
    )


class Encoder(nn.Module):
    """Images to mean and log variance of q(z|x)."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = shape.channels
        for after in channels:
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), _norm(after), nn.SiLU()]
            before = after
        self.layers = nn.Sequential(*layers)
        coarse = (shape.height >> len(channels)) * (shape.width >> len(channels))
        self.statistics = nn.Linear(before * coarse, 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.statistics(self.layers(x).flatten(1)).chunk(2, dim=1)  # (B, latent)
        return mean, log_variance.clamp(-12, 6)


class Decoder(nn.Module):
    """Latent vectors to the mean of p(x|z); holds the logarithm of sigma."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.coarse = (channels[-1], shape.height >> len(channels), shape.width >> len(channels))
        self.spread = nn.Linear(latent, math.prod(self.coarse))
        layers: list[nn.Module] = []
        # The block at full resolution costs as much as all others together, so it has half the channels.
        widths = [*reversed(channels), max(1, channels[0] // 2)]
        for before, after in pairwise(widths):
            layers += [
                ResizeConvolution(before, after),
                _norm(after),
                nn.SiLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], shape.channels, 3, padding=1))
        self.log_sigma = nn.Parameter(torch.tensor(-1.0))

    def forward(self, z: Tensor) -> Tensor:
        mean: Tensor = self.layers(self.spread(z).view(-1, *self.coarse))  # (B, C, H, W)
        return mean


class Method(GenerativeMethod):
    """Convolutional variational autoencoder."""

    title = "VAE"
    averaged = ("decoder",)
    compiled = ("encoder", "decoder")
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape = task.shape
        self.encoder = Encoder(shape, settings.channels, settings.latent_dimensions)
        self.decoder = Decoder(shape, settings.channels, settings.latent_dimensions)
        self.phases = (
            Phase(
                "bound",
                trains=("encoder", "decoder"),
                learning_rate=settings.learning_rate,
                falls=True,
                warm_up_images=20 * settings.batch_size,
            ),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Every level halves the image."""
        return Sizes(multiple_of=2 ** len(settings.channels), at_least=2 ** len(settings.channels))

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Negative evidence lower bound in nats a pixel."""
        x = batch.images
        mean, log_variance = self.encoder(x)
        z = mean + (0.5 * log_variance).exp() * randomness.normal(mean.shape[1])
        reconstruction = negative_log_likelihood(x, self.decoder(z), self.decoder.log_sigma)
        divergence = divergence_from_standard_normal(mean, log_variance)
        pixels = x[0].numel()
        return Loss(
            (reconstruction + divergence).mean() / pixels,
            {
                "reconstruction": reconstruction.mean() / pixels,
                "divergence": divergence.mean() / pixels,
                "sigma": self.decoder.log_sigma.exp(),
            },
        )

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images as the mean of their latent gives them back, without the noise of the observation."""
        again: Tensor = self.decoder(self.encoder(images)[0]).clamp(-1, 1)
        return again

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Decode draws from the prior."""
        images: Tensor = self.decoder(randomness.normal(self.settings.latent_dimensions))
        if self.settings.observation_noise:
            images = images + self.decoder.log_sigma.exp() * randomness.normal(*images.shape[1:])
        return images


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)
