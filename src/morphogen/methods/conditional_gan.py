"""Conditional GAN. Mirza, Osindero 2014 (arXiv:1411.1784), equation 2, brought to convolutions and made to obey.

    L_D = E[-log D(x|c)] + E[-log(1 - D(G(z|c)|c))] + gamma / 2 E ||grad_x D(x|c)||^2
    L_R = E d(c, R(x))
    L_G = E[-log D(G(z|c)|c)] + lambda E d(c, R(G(z|c)))

c is the condition of a measured image: numbers in [-1, 1] and one-hot classes. D(x|c) is a projection discriminator
(Miyato, Koyama 2018, arXiv:1802.05637, equation 3): its logit is w phi(x) + <V c, mean phi(x)>. The reader R is a
network of its own that learns from measured images which condition they show, from features averaged over the image,
for a porosity is a mean over an image; d is the squared error of numbers and the cross entropy of classes. In the
generator, c and z go into the first layer and set scale and shift of every normalisation. R1 as in ``dcgan``.

When images are drawn, the reader is asked again: the condition given to the generator is moved by what it reads off the
image less than what was wanted, and the image is drawn anew from the same z. These fixed-point steps end where
R(G(z|c')) = c, for each image on its own; they cost no training.

Deviations from the paper: convolutions in place of maxout perceptrons, with what ``dcgan`` changes and why; and the
reader, which the auxiliary classifier of Odena et al. 2017 (arXiv:1610.09585) inspired. That one shares the features of
the discriminator. Here it did not pay: features that learn to tell measured from generated misread what is generated,
by 0.007 of porosity more than a network of its own.

What each choice is worth, on rock phantoms of 32 x 32 pixels asked for porosities over the whole range that training
saw, after 6400 images and one seed each; mean absolute error as drawn, and after three corrections:

    as above                                       0.054   0.021
    lambda = 0: the reader only corrects           0.091   0.029
    conditions and z in the first layer alone      0.052   0.026
    the discriminator does not see the condition   0.057   0.024

A learning rate of 1e-3 with gamma = 0.1 gave round grains with contacts, at 64 x 64 after 12 800 images, where 5e-4
with gamma = 1 or 0.1 gave shapeless patches. What error is left is mostly one of the image: edges softer than measured
ones are taken for pores by a threshold.
"""

import math
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from morphogen.images.conditions import Conditions
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

_FARTHEST_CORRECTION = 0.5
"""A condition is corrected by no more than this, a quarter of the range that training saw: the generator knows nothing
of what lies far outside of it."""


class Settings(MethodSettings):
    """Settings of the conditional GAN."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    latent_dimensions: int = Field(default=64, ge=1, description="length of the latent vector z")
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128), min_length=1, description="channels from fine to coarse"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="of both networks")
    r1_gamma: float = Field(default=0.1, ge=0, description="weight of the R1 penalty")
    r1_every: int = Field(default=8, ge=1, description="steps between two R1 penalties")
    reader_learning_rate: float = Field(default=2e-3, gt=0, description="of the network that reads conditions")
    reading_weight: float = Field(
        default=4.0, ge=0, description="weight of what is read off its images in the generator's loss"
    )
    corrections: int = Field(
        default=3,
        ge=0,
        description="times that what is asked of the generator is corrected by what is read off its image",
    )


class Generator(nn.Module):
    """Latent vectors and conditions to images in [-1, 1]."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], latent: int, width: int) -> None:
        super().__init__()
        self.coarse = (channels[-1], shape.height >> len(channels), shape.width >> len(channels))
        self.spread = nn.Linear(latent + width, math.prod(self.coarse))
        widths = [*reversed(channels), channels[0]]
        self.convolutions = nn.ModuleList(ResizeConvolution(before, after) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(ModulatedNorm(c, latent + width) for c in widths)
        self.to_image = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        style = torch.cat([z, condition], dim=1)  # (B, latent + width)
        x = relu(self.norms[0](self.spread(style).view(-1, *self.coarse), style))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = relu(norm(convolution(x), style))
        return torch.tanh(self.to_image(x))  # (B, C, H, W)


class Discriminator(nn.Module):
    """Images and conditions to logits, positive for "measured"."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.layers = _halvings(shape.channels, channels)
        self.verdict = nn.Linear(channels[-1] * (shape.height >> len(channels)) * (shape.width >> len(channels)), 1)
        self.embedding = nn.Linear(width, channels[-1])

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        features = self.layers(x)  # (B, C, h, w)
        logits: Tensor = self.verdict(features.flatten(1)).squeeze(1)  # (B,)
        projection: Tensor = (self.embedding(condition) * features.mean((2, 3))).sum(1)
        return logits + projection


class Reader(nn.Module):
    """Images to the condition that they show, ``(B, width)``; for a class its logits."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.layers = _halvings(shape.channels, channels)
        self.reading = nn.Linear(channels[-1], width)

    def forward(self, x: Tensor) -> Tensor:
        condition: Tensor = self.reading(self.layers(x).mean((2, 3)))
        return condition


class Method(GenerativeMethod):
    """Conditional generative adversarial network."""

    title = "Conditional GAN"
    averaged = ("generator",)
    compiled = ("generator",)
    conditional = "must"
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape, width = task.shape, task.conditions.width
        self.generator = Generator(shape, settings.channels, settings.latent_dimensions, width)
        self.discriminator = Discriminator(shape, settings.channels, width)
        self.reader = Reader(shape, tuple(max(1, c // 2) for c in settings.channels), width)
        rate = settings.learning_rate
        self.phases = (
            Phase("reader", trains=("reader",), learning_rate=settings.reader_learning_rate, falls=True),
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
        """Loss of the reader, the generator, the discriminator, or its slope at measured images."""
        settings, condition = self.settings, _given(batch.condition)
        if phase == "slope":
            measured = batch.images.detach().requires_grad_()
            slope = squared_slope(measured, self.discriminator(measured, condition)).mean()
            return Loss(0.5 * settings.r1_gamma * settings.r1_every * slope, {"squared slope": slope})
        if phase == "reader":
            error = misreading(self.reader(batch.images), condition, self.task.conditions)
            return Loss(error, {"reader": error})
        generated = self.generator(randomness.normal(settings.latent_dimensions), condition)
        if phase == "generator":
            loss = non_saturating_generator_loss(self.discriminator(generated, condition))
            error = misreading(self.reader(generated), condition, self.task.conditions)
            return Loss(loss + settings.reading_weight * error, {"generator": loss, "disobedience": error})
        both = self.discriminator(torch.cat([batch.images, generated.detach()]), condition.repeat(2, 1))
        measured_logits, generated_logits = both.chunk(2)
        loss = non_saturating_discriminator_loss(measured_logits, generated_logits)
        return Loss(loss, {"discriminator": loss})

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Images of random latent vectors, under corrected conditions."""
        wanted = _given(request.condition)
        z = randomness.normal(self.settings.latent_dimensions)
        images: Tensor = self.generator(z, wanted)
        numbers = len(self.task.conditions.numbers)
        off = torch.zeros_like(wanted)  # what is added to the condition; nothing to classes
        for _ in range(self.settings.corrections if numbers else 0):
            off[:, :numbers] += (wanted - self.reader(images))[:, :numbers]
            off.clamp_(-_FARTHEST_CORRECTION, _FARTHEST_CORRECTION)
            images = self.generator(z, wanted + off)
        return images


def _halvings(before: int, channels: tuple[int, ...]) -> nn.Sequential:
    """Convolutions that each halve the image."""
    pairs = pairwise((before, *channels))
    return nn.Sequential(*(m for a, b in pairs for m in (nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2))))


def misreading(read: Tensor, condition: Tensor, conditions: Conditions) -> Tensor:
    """Squared error of the numbers plus cross entropy of the classes in nats; a sum over them, a mean over images.

    Args:
        read: ``(B, width)``, for a class the logits.
        condition: ``(B, width)``.
        conditions: which entries are what.
    """
    place = len(conditions.numbers)
    error = (read[:, :place] - condition[:, :place]).square().sum(1).mean()
    for kind in conditions.classes:
        of_kind = slice(place, place + len(kind.values))
        error = error + cross_entropy(read[:, of_kind], condition[:, of_kind])
        place += len(kind.values)
    return error


def _given(condition: Tensor | None) -> Tensor:
    if condition is None:
        raise ValueError("a conditional GAN needs conditions")
    return condition
