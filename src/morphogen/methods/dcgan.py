"""DCGAN. Radford, Metz, Chintala 2015 (arXiv:1511.06434), trained as a non-saturating GAN with R1.

    L_D = E[-log D(x)] + E[-log(1 - D(G(z)))] + gamma / 2 E ||grad_x D(x)||^2
    L_G = E[-log D(G(z))]

(Goodfellow et al. 2014, section 3; Mescheder et al. 2018, equation 9; lazily, every ``r1_every`` steps
with its weight multiplied by that number, Karras et al. 2020, arXiv:1912.04958, appendix B).

Deviations from the paper, each for a reason: resize-convolutions in place of plain transposed convolutions, whose
checkerboard is plain to see in rocks (Odena et al. 2016); group normalisation in the generator and none in the
discriminator in place of batch normalisation, so that an image does not depend on its batch and two processes train
what one would. That takes mean and spread over the image away, and with it all images had one porosity and one
contrast; so scale and shift after it come from z (self-modulation, Chen et al. 2019, arXiv:1810.01365). R1, without
which small sets diverge; averaged generator weights for sampling.
"""

import math
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from morphogen.mathematics.adversarial_losses import (
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
)
from morphogen.mathematics.gradient_penalties import squared_slope
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
    with_lazy_penalty,
)
from morphogen.networks.modulated_norm import ModulatedNorm


class Settings(MethodSettings):
    """Settings of the DCGAN."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    latent_dimensions: int = Field(default=64, ge=1, description="length of the latent vector z")
    channels: tuple[int, ...] = Field(
        default=(32, 64, 128, 256), min_length=1, description="channels from fine to coarse"
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="of both networks")
    r1_gamma: float = Field(default=1.0, ge=0, description="weight of the R1 penalty")
    r1_every: int = Field(default=8, ge=1, description="steps between two R1 penalties")


class Generator(nn.Module):
    """Latent vectors to images in [-1, 1]."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.coarse = (channels[-1], shape.height >> len(channels), shape.width >> len(channels))
        self.spread = nn.Linear(latent, math.prod(self.coarse))
        widths = [*reversed(channels), channels[0]]
        self.convolutions = nn.ModuleList(ResizeConvolution(before, after) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(ModulatedNorm(c, latent) for c in widths)
        self.to_image = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = relu(self.norms[0](self.spread(z).view(-1, *self.coarse), z))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = relu(norm(convolution(x), z))
        return torch.tanh(self.to_image(x))  # (B, C, H, W)


class Discriminator(nn.Module):
    """Images to logits, positive for "measured"."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = shape.channels
        for after in channels:
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
            before = after
        coarse = (shape.height >> len(channels)) * (shape.width >> len(channels))
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * coarse, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)  # (B, 1)
        return logits.squeeze(1)


class Method(GenerativeMethod):
    """Deep convolutional generative adversarial network."""

    title = "DCGAN"
    averaged = ("generator",)
    compiled = ("generator",)
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape = task.shape
        self.generator = Generator(shape, settings.channels, settings.latent_dimensions)
        self.discriminator = Discriminator(shape, settings.channels)
        rate = settings.learning_rate
        self.phases = (
            Phase("generator", trains=("generator",), learning_rate=rate, betas=(0.0, 0.99), falls=True, clips=False),
            *with_lazy_penalty(
                Phase(
                    "discriminator",
                    trains=("discriminator",),
                    learning_rate=rate,
                    betas=(0.0, 0.99),
                    falls=True,
                    clips=False,
                ),
                "slope",
                settings.r1_every,
            ),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Every level halves the image."""
        return Sizes(multiple_of=2 ** len(settings.channels), at_least=2 ** len(settings.channels))

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Loss of the generator, the discriminator, or its slope at measured images."""
        settings = self.settings
        if phase == "slope":
            measured = batch.images.detach().requires_grad_()
            slope = squared_slope(measured, self.discriminator(measured)).mean()
            return Loss(0.5 * settings.r1_gamma * settings.r1_every * slope, {"squared slope": slope})
        generated = self.generator(randomness.normal(settings.latent_dimensions))
        if phase == "generator":
            loss = non_saturating_generator_loss(self.discriminator(generated))
            return Loss(loss, {"generator": loss})
        both = self.discriminator(torch.cat([batch.images, generated.detach()]))
        measured_logits, generated_logits = both.chunk(2)
        loss = non_saturating_discriminator_loss(measured_logits, generated_logits)
        return Loss(loss, {"discriminator": loss})

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Images of random latent vectors."""
        images: Tensor = self.generator(randomness.normal(self.settings.latent_dimensions))
        return images
