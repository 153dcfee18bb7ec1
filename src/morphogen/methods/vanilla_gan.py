"""Vanilla GAN. Goodfellow et al. 2014 (arXiv:1406.2661).

Two multilayer perceptrons play the minimax game

    min_G max_D  E[log D(x)] + E[log(1 - D(G(z)))]

(equation 1), with the generator loss that the paper itself recommends in its section 3, since log(1 - D) has no slope
where the discriminator is sure:

    L_D = E[-log D(x)] + E[-log(1 - D(G(z)))],    L_G = E[-log D(G(z))]

It stands here as the baseline that it is: no convolution, no normalisation, no penalty, one step of each network in
turn (the paper's k = 1). A pixel is one of many numbers to it, so it learns means and blobs and the noise between them,
and on small sets it overfits or collapses; what ``dcgan`` adds can be told from it.

Deviations: leaky rectifiers in both networks (the paper has rectifiers and sigmoids in the generator, maxout in the
discriminator: two linear pieces in place of several); no dropout, which would need random numbers a layer; Adam with
beta_1 = 0.5 (Radford et al. 2015) in place of SGD with momentum; tanh at the end, for images are in [-1, 1]; a normal
in place of a uniform z; sampled, as all methods here, with averaged weights of the generator.

``spectral_norm`` divides each weight matrix of the discriminator by its largest singular value (Miyato et al. 2018,
arXiv:1802.05957), by torch's power iteration, whose vectors are buffers of the discriminator. torch moves them in every
forward pass of training; here they are moved once after a step of the discriminator, so that the loss is a function of
weights and images alone, and the same on one process and on two.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from morphogen.mathematics.adversarial_losses import (
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
)
from morphogen.mathematics.randomness import Randomness
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
    """Settings of the vanilla GAN."""

    batch_size: int = Field(default=32, ge=1, description="images a step, over all processes together")
    latent_dimensions: int = Field(default=64, ge=1, description="length of the latent vector z")
    generator_units: tuple[int, ...] = Field(default=(128, 256), min_length=1, description="units of its hidden layers")
    discriminator_units: tuple[int, ...] = Field(
        default=(256, 128), min_length=1, description="units of its hidden layers"
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="of both networks")
    spectral_norm: bool = Field(default=False, description="divide the discriminator's weights by their largest gain")


class Generator(nn.Module):
    """Latent vectors to images in [-1, 1]."""

    def __init__(self, shape: ImageShape, units: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.shape = (shape.channels, shape.height, shape.width)
        self.layers = _perceptron(latent, units, math.prod(self.shape))

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.layers(z)).view(-1, *self.shape)  # (B, C, H, W)


class Discriminator(nn.Module):
    """Images to logits, positive for "measured"."""

    def __init__(self, shape: ImageShape, units: tuple[int, ...], spectral: bool) -> None:
        super().__init__()
        self.layers = _perceptron(shape.channels * shape.height * shape.width, units, 1)
        if spectral:
            for layer in self.layers:
                if isinstance(layer, nn.Linear):
                    spectral_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.flatten(1))  # (B, 1)
        return logits.squeeze(1)


class Method(GenerativeMethod):
    """The generative adversarial network of 2014."""

    title = "Vanilla GAN"
    averaged = ("generator",)
    compiled = ("generator", "discriminator")
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.generator = Generator(task.shape, settings.generator_units, settings.latent_dimensions)
        self.discriminator = Discriminator(task.shape, settings.discriminator_units, settings.spectral_norm)
        self.phases = tuple(
            Phase(name, trains=(name,), learning_rate=settings.learning_rate, betas=(0.5, 0.999))
            for name in ("discriminator", "generator")
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Any size: pixels are a vector here."""
        return Sizes(multiple_of=1, at_least=8)

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Loss of the discriminator or the generator."""
        generated = self.generator(randomness.normal(self.settings.latent_dimensions))
        if phase == "generator":
            loss = non_saturating_generator_loss(self._verdict(generated))
            return Loss(loss, {"generator": loss})
        both = self._verdict(torch.cat([batch.images, generated.detach()]))
        measured_logits, generated_logits = both.chunk(2)
        loss = non_saturating_discriminator_loss(measured_logits, generated_logits)
        return Loss(loss, {"discriminator": loss})

    def observe(self, parts: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        """After a step of the discriminator, one step of the power iteration."""
        if self.settings.spectral_norm and "discriminator" in parts:
            self.discriminator.train()
            for layer in self.discriminator.layers:
                getattr(layer, "weight", None)  # reading it moves the iteration

    def _verdict(self, x: Tensor) -> Tensor:
        logits: Tensor = self.discriminator.eval()(x)  # holds the power iteration still, and changes nothing else
        return logits

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Images of random latent vectors."""
        images: Tensor = self.generator(randomness.normal(self.settings.latent_dimensions))
        return images


def _perceptron(inputs: int, units: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear layers with leaky rectifiers between them."""
    hidden = [
        layer for before, after in pairwise((inputs, *units)) for layer in (nn.Linear(before, after), nn.LeakyReLU(0.2))
    ]
    return nn.Sequential(*hidden, nn.Linear(units[-1], outputs))
