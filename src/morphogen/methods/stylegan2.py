"""StyleGAN2. Karras et al. 2020 (arXiv:1912.04958), with adaptive augmentation, trained without any custom operation.

The augmentation (ADA) is that of Karras et al. 2020 (arXiv:2006.06676); as an option the discriminator looks at
pretrained features (projected GAN, Sauer et al. 2021, arXiv:2111.01007).

    w = f(z / rms(z), e(c)),    image = g(w_1, ..., w_L, noise)
    L_D = E[softplus(-D(T x))] + E[softplus(D(T G(z)))] + gamma / 2 E ||grad_x D(x)||^2        (x = T x)
    L_G = E[softplus(-D(T G(z)))] + lambda E (||J_w^T y|| - a)^2

Mapping network f, modulated and demodulated convolutions, noise inputs, a generator that sums up images of all sizes
(skips) and a residual discriminator (arXiv:1912.04958, sections 2 to 4); style mixing (arXiv:1812.04948, section 3.1);
path lengths towards their moving average a, and R1, both lazily (appendix B). T are the augmentations that the specimen
allows, each with probability p, which rises while r_t = E[sign D(T x)] (arXiv:2006.06676, equation 1) is above 0.6 and
falls while it is below. A condition c is embedded beside z, and seen by the discriminator as a projection (Miyato and
Koyama 2018, arXiv:1802.05637).

Deviations from the papers, each for a reason:
- No standard deviation over the minibatch in the discriminator: it is a statistic over the batch, and the loss of an
  image would depend on its neighbours. Against collapse stand, image by image, the augmentations, R1, and the path
  lengths, which forbid that a direction in W does nothing.
- The style scales the input of a convolution, and its demodulation the output, in place of a kernel for each image:
  the same sum (``mathematics/modulated_convolution.py``). sqrt 2, the gain of the leaky ReLU, is part of the
  demodulation.
- Up: the convolution comes before the bilinear enlargement (blur [1, 3, 3, 1]) and not between its zeros and its blur:
  2.25 products an output in place of 4 for a fused nearest-neighbour enlargement. Down: the blur is the mean of 2 x 2
  and part of the convolution.
- The first features are a constant plus a linear function of the style (``layout``), so that where things lie can vary
  with z from the first step on. The first images have about the contrast of measured ones. Both are choices made by
  eye: in runs of 375 steps at 32 x 32 they did not lower the kernel distance.
- The noise inputs start at a strength of 0.1: at 0, in the papers, noise of either sign is as good, and a short run
  would not leave that saddle.
- R1 is taken at the augmented images, since the interpolation of a rotation cannot be differentiated twice; so it is
  the slope where the discriminator is trained.
- Path lengths every 16 steps, and not every 8 with half a batch; their weight is L ln 2 / (ln r - ln 2) = 2, the
  paper's for lengths that are a mean over the L layers and y divided by the side r (appendix B). None with a projected
  discriminator, as in its paper: in 170 seconds on two cores, of a carbonate at 64 x 64, the kernel distance over VGG16
  was 0.061 with a weight of 0.2 and 0.007 without; one training each.
- Two layers in f, with a tenth of the learning rate, and learning rates four times the paper's that fall to zero: a run
  of ten minutes has no time for more. p moves from 0 to 1 in 50 thousand images and not in 500 thousand, and no further
  than 0.8, the bound that the paper gives against leaks.
- Averaged weights as in all methods of this project; the mean style is averaged in training and kept with the mapping.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from morphogen.mathematics.adversarial_losses import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
)
from morphogen.mathematics.augmentation import augment
from morphogen.mathematics.gradient_penalties import squared_slope
from morphogen.mathematics.modulated_convolution import demodulation, modulated_convolution, modulated_projection
from morphogen.mathematics.path_length import path_lengths
from morphogen.mathematics.pooled_convolution import pooled_convolution
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
    with_lazy_penalty,
)
from morphogen.pretrained.projected_features import SMALLEST_PX, ProjectedFeatures

_SLOPE = 0.2  # of the leaky ReLU
_GAIN = math.sqrt(2)  # keeps the variance through it
_MOST = 0.8  # probability of an augmentation: beyond, the generator starts to draw augmented images
_COARSE = 4  # pixels of the shorter side of a map of logits, at most
_SHORT_MEMORY = 0.9  # of r_t and of the path length, from one observation to the next
_NOISE = 0.1  # strength of the noise inputs at the start
_CONTRAST = 0.2  # of the first images, of which those of all sizes are summed up: that of measured ones
_MEMORY = 0.99  # of the mean style
_PATH_LENGTHS = 2.0  # weight: L ln 2 / (ln r - ln 2), see above


class Settings(MethodSettings):
    """Settings of StyleGAN2."""

    batch_size: int = Field(default=16, ge=1, description="images a step, over all processes together")
    latent_dimensions: int = Field(default=64, ge=1, description="length of the latent vector z")
    style_dimensions: int = Field(default=128, ge=1, description="length of a style w")
    mapping_layers: int = Field(default=2, ge=1, description="layers from z to w")
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128, 256), min_length=2, description="channels from fine to coarse, one for each size"
    )
    discriminator: Literal["own", "projected"] = Field(
        default="own", description="trained on images, or on frozen pretrained features (projected GAN)"
    )
    features: Literal["alexnet", "vgg16"] = Field(default="alexnet", description="of the projected discriminator")
    projection: int = Field(default=64, ge=1, description="channels of the projected features")
    learning_rate: float = Field(default=0.01, gt=0, description="of both networks, at equalised scale")
    projected_learning_rate: float = Field(default=2e-3, gt=0, description="of the projected discriminator")
    layout: bool = Field(default=True, description="start from a linear function of the style, not from a constant")
    style_mixing: float = Field(default=0.5, ge=0, le=1, description="share of images made from two styles")
    path_length_weight: float | None = Field(
        default=None,
        ge=0,
        description="weight of the path lengths; 0 leaves them out; by default 2, and 0 with a projected discriminator",
    )
    path_length_every: int = Field(default=16, ge=1, description="steps between two path length penalties")
    r1_gamma: float = Field(default=0.05, ge=0, description="weight of the R1 penalty; 0 leaves it out")
    r1_every: int = Field(default=16, ge=1, description="steps between two R1 penalties")
    augment: bool = Field(default=True, description="adaptive augmentation in front of the discriminator")
    overtraining: float = Field(default=0.6, ge=-1, le=1, description="mean sign of D that augmentation aims at")
    adaptation_images: int = Field(default=50_000, ge=1, description="images in which it can go from 0 to 1")


class Linear(nn.Module):
    """A linear layer whose weights are of unit variance, so that Adam moves all layers equally fast."""

    def __init__(self, before: int, after: int, gain: float = 1.0, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias))
        self.scale, self.rate = gain * rate / math.sqrt(before), rate

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias if self.rate == 1 else self.bias * self.rate)


class StyleMapping(nn.Module):
    """Latent vectors, and what they are conditioned on, to styles; keeps the mean style."""

    mean: Tensor

    def __init__(self, settings: Settings, condition_width: int) -> None:
        super().__init__()
        latent, style = settings.latent_dimensions, settings.style_dimensions
        self.embedding = Linear(condition_width, latent) if condition_width else None
        if self.embedding is not None:
            # Else the size of a single number would be lost where the embedding is brought to unit length.
            nn.init.normal_(self.embedding.bias)
        widths = [latent * (2 if condition_width else 1)] + [style] * settings.mapping_layers
        self.layers = nn.ModuleList(Linear(a, b, _GAIN, rate=0.1) for a, b in pairwise(widths))
        self.register_buffer("mean", torch.zeros(style))

    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        w = _unit(z)
        if self.embedding is not None:
            if condition is None:
                raise ValueError("this method was trained with conditions, and none is given")
            w = torch.cat([w, _unit(self.embedding(condition))], dim=1)
        for layer in self.layers:
            w = leaky_relu(layer(w), _SLOPE)
        return w  # (B, style dimensions)


class StyledConvolution(nn.Module):
    """A modulated and demodulated 3 x 3 convolution, enlargement, noise, bias and leaky ReLU."""

    def __init__(self, before: int, after: int, style: int, *, enlarge: bool = False) -> None:
        super().__init__()
        self.style = Linear(style, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))  # demodulation scales it
        self.bias = nn.Parameter(torch.zeros(after))
        self.strength = nn.Parameter(torch.tensor(_NOISE))  # at 0 its gradient is 0 in the mean
        self.enlarge = enlarge

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        style = self.style(w)  # (B, C)
        scale = (demodulation(self.weight, style) * _GAIN)[:, :, None, None]
        x = modulated_convolution(x, self.weight, style)
        shift = self.bias[:, None, None]
        if self.enlarge:
            x = interpolate(x * scale, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = x + shift if noise is None else x.add_(noise * self.strength).add_(shift)
        else:
            x = (
                torch.addcmul(shift, x, scale)
                if noise is None
                else torch.addcmul(noise * self.strength, x, scale) + shift
            )
        return leaky_relu(x, _SLOPE, inplace=True)


class ToImage(nn.Module):
    """A modulated projection of features to the channels of the image."""

    def __init__(self, before: int, channels: int, style: int) -> None:
        super().__init__()
        self.style = Linear(style, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, before))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = _CONTRAST / math.sqrt(before)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated_projection(x, self.weight, self.style(w) * self.scale) + self.bias[:, None, None]


class Synthesis(nn.Module):
    """Styles of all layers, and noise, to images: two convolutions a size, and the images of all sizes summed up."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], style: int, *, layout: bool) -> None:
        super().__init__()
        widths = channels[::-1]
        coarse = (shape.height >> len(widths) - 1, shape.width >> len(widths) - 1)
        self.start = nn.Parameter(torch.randn(widths[0], *coarse))
        self.layout = Linear(style, self.start.numel()) if layout else None
        self.first = StyledConvolution(widths[0], widths[0], style)
        self.larger = nn.ModuleList(StyledConvolution(a, b, style, enlarge=True) for a, b in pairwise(widths))
        self.same = nn.ModuleList(StyledConvolution(b, b, style) for b in widths[1:])
        self.images = nn.ModuleList(ToImage(b, shape.channels, style) for b in widths)
        self.sides = [(coarse[0] << i, coarse[1] << i) for i in range(len(widths)) for _ in range(1 + (i > 0))]

    def forward(self, styles: Tensor, randomness: Randomness | None) -> Tensor:
        noise = self._noise(randomness)
        x = self.start.expand(len(styles), -1, -1, -1)
        if self.layout is not None:
            x = (x + self.layout(styles[:, 0]).view_as(x)) * math.sqrt(0.5)
        x = self.first(x.contiguous(memory_format=torch.channels_last), styles[:, 0], noise[0])
        image: Tensor = self.images[0](x, styles[:, 1])
        for i in range(len(self.same)):  # a size has three layers, and its last style begins the next size
            x = self.larger[i](x, styles[:, 2 * i + 1], noise[2 * i + 1])
            x = self.same[i](x, styles[:, 2 * i + 2], noise[2 * i + 2])
            image = interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
            image = image + self.images[i + 1](x, styles[:, 2 * i + 3])
        return image.contiguous()  # (B, C, H, W)

    def _noise(self, randomness: Randomness | None) -> list[Tensor] | list[None]:
        if randomness is None:
            return [None] * len(self.sides)
        pixels = [height * width for height, width in self.sides]
        drawn = torch.split(randomness.normal(sum(pixels)), pixels, dim=1)  # one draw is quicker than nine
        return [numbers.view(-1, 1, *side) for numbers, side in zip(drawn, self.sides, strict=True)]


class Convolution(nn.Module):
    """A 3 x 3 convolution with weights of unit variance and a leaky ReLU, perhaps to half the size."""

    def __init__(self, before: int, after: int, gain: float = _GAIN, *, halve: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.bias = nn.Parameter(torch.zeros(after))
        self.scale, self.halve = gain / math.sqrt(9 * before), halve

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        x = pooled_convolution(x, weight, self.bias) if self.halve else conv2d(x, weight, self.bias, padding=1)
        return leaky_relu(x, _SLOPE, inplace=True)


class Halving(nn.Module):
    """A residual block of the discriminator. Both ways are scaled by 1 / sqrt 2 before they are added."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.ways = nn.Sequential(Convolution(before, before), Convolution(before, after, 1.0, halve=True))
        self.skip = Linear(before, after, math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        skip = _pointwise(self.skip, avg_pool2d(x, 2))
        return skip.add_(self.ways(x))


class Discriminator(nn.Module):
    """Images to logits, positive for "measured"."""

    def __init__(self, shape: ImageShape, channels: tuple[int, ...], condition_width: int) -> None:
        super().__init__()
        last = channels[-1]
        self.start = Linear(shape.channels, channels[0], _GAIN)
        blocks = [Halving(a, b) for a, b in pairwise(channels)]
        self.layers = nn.Sequential(*blocks, Convolution(last, last))
        halvings = len(channels) - 1
        self.whole = Linear(last * (shape.height >> halvings) * (shape.width >> halvings), last, _GAIN)
        self.out = Linear(last, 1)
        self.embedding = Linear(condition_width, last, 1 / math.sqrt(last)) if condition_width else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = leaky_relu(_pointwise(self.start, x), _SLOPE, inplace=True)
        features = leaky_relu(self.whole(self.layers(x).flatten(1)), _SLOPE)  # (B, C)
        logits: Tensor = self.out(features)
        if self.embedding is not None:
            logits = logits + (features * self.embedding(condition)).sum(1, keepdim=True)
        return logits  # (B, 1)


class ProjectedDiscriminator(nn.Module):
    """Small discriminators on maps of pretrained features, each to a map of logits, positive for "measured".

    Spectral norms are followed by ``follow`` alone, once a step: a loss must not depend on how often it is asked for.
    """

    def __init__(self, shape: ImageShape, settings: Settings, condition_width: int) -> None:
        super().__init__()
        width = settings.projection
        size = (shape.channels, shape.height, shape.width)
        self.features = ProjectedFeatures(settings.features, *size, width, seed=0)
        self.bodies, self.outs = nn.ModuleList(), nn.ModuleList()
        for channels, height, breadth in self.features.maps:
            layers: list[nn.Module] = []
            before, least = channels, min(height, breadth)
            while least > _COARSE:
                layers += [spectral_norm(nn.Conv2d(before, width, 4, 2, 1)), nn.LeakyReLU(_SLOPE)]
                before, least = width, least // 2
            self.bodies.append(nn.Sequential(*layers))
            self.outs.append(spectral_norm(nn.Conv2d(before, 1, 3, padding=1)))
        ends = len(self.features.maps) if condition_width else 0
        self.embeddings = nn.ModuleList(Linear(condition_width, width, 1 / math.sqrt(width)) for _ in range(ends))
        self.train()

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        logits: list[Tensor] = []
        for i, seen in enumerate(self.features(x)):
            found = self.bodies[i](seen)  # (B, C, h, w)
            logit = self.outs[i](found)
            if self.embeddings:
                logit = logit + (found * self.embeddings[i](condition)[:, :, None, None]).sum(1, keepdim=True)
            logits.append(logit.flatten(1))
        return torch.cat(logits, dim=1)  # (B, logits)

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    def follow(self) -> None:
        """Take one more step of the power iteration that finds the spectral norms."""
        for norm in self._norms():
            norm.train()
            norm()
            norm.eval()

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, ParametrizationList)]


class Method(GenerativeMethod):
    """Style-based generative adversarial network."""

    title = "StyleGAN2"
    averaged = ("mapping", "synthesis")
    conditional = "may"
    settings: Settings
    augmentation: Tensor
    overtraining: Tensor
    path_length: Tensor

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        shape, conditions = task.shape, task.conditions.width
        self.latent_dimensions, self.style_layers = settings.latent_dimensions, 2 * len(settings.channels)
        self.mapping = StyleMapping(settings, conditions)
        self.synthesis = Synthesis(shape, settings.channels, settings.style_dimensions, layout=settings.layout)
        self.projected = settings.discriminator == "projected"
        self.learnt_through = settings.features if self.projected else ""
        self.discriminator: nn.Module = (
            ProjectedDiscriminator(shape, settings, conditions)
            if self.projected
            else Discriminator(shape, settings.channels, conditions)
        )
        self.register_buffer("augmentation", torch.zeros(()))  # p
        self.register_buffer("overtraining", torch.zeros(()))  # r_t
        self.register_buffer("path_length", torch.zeros(()))  # a
        self.phases = self._phases()

    @property
    def _path_length_weight(self) -> float:
        if self.settings.path_length_weight is not None:
            return self.settings.path_length_weight
        return 0.0 if self.projected else _PATH_LENGTHS

    def _phases(self) -> tuple[Phase, ...]:
        """Adam without momentum, and the lazy penalties."""
        settings = self.settings
        lengths = settings.path_length_every if self._path_length_weight else 0
        slopes = settings.r1_every if settings.r1_gamma and not self.projected else 0
        known = settings.projected_learning_rate if self.projected else settings.learning_rate

        def phase(name: str, trains: tuple[str, ...], rate: float) -> Phase:
            return Phase(name, trains, learning_rate=rate, betas=(0.0, 0.99), falls=True, clips=False)

        generator = phase("generator", ("mapping", "synthesis"), settings.learning_rate)
        return (
            *with_lazy_penalty(generator, "path length", lengths),
            *with_lazy_penalty(phase("discriminator", ("discriminator",), known), "slope", slopes),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Every size but the coarsest is twice the next; pretrained features see nothing in less than 32 pixels."""
        multiple = 2 ** (len(settings.channels) - 1)
        return Sizes(multiple, max(2 * multiple, SMALLEST_PX if settings.discriminator == "projected" else 0))

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Loss of the generator or the discriminator, or a penalty on one of them."""
        settings = self.settings
        if phase == "slope":
            measured = self._augmented(batch.images, randomness).detach().requires_grad_()
            slope = squared_slope(measured, self.discriminator(measured, batch.condition)).mean()
            return Loss(0.5 * settings.r1_gamma * settings.r1_every * slope, {"squared slope": slope})
        styles = self._training_styles(batch.condition, randomness)  # (B, layers, dimensions)
        if phase == "path length":
            images = self.synthesis(styles, randomness)
            lengths = path_lengths(images, styles, randomness.normal(*images.shape[1:]))
            penalty = (lengths - self.path_length).square().mean()
            weight = self._path_length_weight * settings.path_length_every
            return Loss(weight * penalty, {"path length": lengths.mean(), "path length penalty": penalty})
        if phase == "generator":
            seen = self._augmented(self.synthesis(styles, randomness), randomness)
            logits = self.discriminator(seen, batch.condition)
            loss = (hinge_generator_loss if self.projected else non_saturating_generator_loss)(logits)
            return Loss(loss, {"generator": loss}, {"styles": styles[:, 0]})
        generated = self.synthesis(styles, randomness).detach()
        seen = torch.cat([self._augmented(batch.images, randomness), self._augmented(generated, randomness)])
        condition = None if batch.condition is None else batch.condition.repeat(2, 1)
        measured_logits, generated_logits = self.discriminator(seen, condition).chunk(2)
        of = hinge_discriminator_loss if self.projected else non_saturating_discriminator_loss
        loss = of(measured_logits, generated_logits)
        return Loss(loss, {"discriminator": loss, "overtraining": measured_logits.sign().mean()})

    def observe(self, parts: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
        """Follow the mean style, the mean path length, and how far the discriminator knows the measured images."""
        if "styles" in kept:
            _follow(self.mapping.mean, kept["styles"].mean(0), _MEMORY)
        if "path length" in parts:
            _follow(self.path_length, parts["path length"], _SHORT_MEMORY)
        if "overtraining" in parts:
            self.overtraining.lerp_(parts["overtraining"], 1 - _SHORT_MEMORY)
            step = self.settings.batch_size / self.settings.adaptation_images
            if self.settings.augment:
                direction = (self.overtraining - self.settings.overtraining).sign()
                self.augmentation.add_(direction * step).clamp_(0, _MOST)
            if isinstance(self.discriminator, ProjectedDiscriminator):
                self.discriminator.follow()

    def sample(self, request: SampleRequest, randomness: Randomness) -> Tensor:
        """Images of random latent vectors, perhaps drawn towards the mean style."""
        truncation = 1.0 if request.truncation is None else request.truncation
        styles = self.styles(randomness.normal(self.latent_dimensions), request.condition, truncation)
        return self.synthesise(styles, randomness).clamp(-1, 1)

    def mean_style(self) -> Tensor:
        """The average style ``(style_dimensions,)`` of training, over all conditions."""
        return self.mapping.mean

    def styles(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Latent vectors ``(B, latent_dimensions)`` to styles ``(B, style_layers, style_dimensions)``.

        Args:
            z: standard normal.
            condition: ``(B, width)``, where the method was trained with conditions.
            truncation: distance from the mean style is multiplied by this (arXiv:1812.04948, appendix B).
        """
        w: Tensor = self.mapping(z, condition)
        if truncation != 1.0:
            w = self.mapping.mean.lerp(w, truncation)
        return w[:, None].expand(-1, self.style_layers, -1)

    def synthesise(self, styles: Tensor, randomness: Randomness | None = None) -> Tensor:
        """Images ``(B, channels, height, width)`` of styles, in about [-1, 1]; without randomness there is no noise."""
        images: Tensor = self.synthesis(styles, randomness)
        return images

    def _training_styles(self, condition: Tensor | None, randomness: Randomness) -> Tensor:
        """Styles of random latent vectors; some images change from one to another at a random layer."""
        z = randomness.normal(2, self.latent_dimensions)
        coins, layers = randomness.uniform(1), torch.arange(self.style_layers, device=z.device)
        change = 1 + randomness.integers(self.style_layers - 1, 1)  # first layer of the second style
        one, other = (self.styles(part, condition) for part in z.unbind(1))
        mixed = (coins < self.settings.style_mixing) & (layers >= change)  # (B, layers)
        return torch.where(mixed[:, :, None], other, one)

    def _augmented(self, images: Tensor, randomness: Randomness) -> Tensor:
        if not self.settings.augment:
            return images
        return augment(images, randomness, self.augmentation, self.task.augmentations, self.task.mask_channels)


def _unit(x: Tensor) -> Tensor:
    """Vectors scaled to a root mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _pointwise(layer: Linear, x: Tensor) -> Tensor:
    """A linear layer at every pixel; the result is in channels-last order, which convolutions on a CPU like best."""
    pixels: Tensor = layer(x.permute(0, 2, 3, 1))
    return pixels.permute(0, 3, 1, 2)


def _follow(average: Tensor, found: Tensor, memory: float) -> None:
    """Move an average towards what was found, or put it there the first time."""
    average.copy_(torch.where((average == 0).all(), found, average.lerp(found, 1 - memory)))
