"""CLIP: which words belong to which image. Radford et al. 2021 (arXiv:2103.00020); sigmoid loss of Zhai et al. 2023.

Two towers give unit vectors, trained so that an image lies near its caption and far from those of others
(``mathematics/contrastive_losses.py``):

    image    convolutions that halve the image at every level. What is told of a texture are shares and sizes, so the
             vector is made from the mean and the spread over the field of what every level answers, and not from
             places. Images of any rectangle fit
    caption  the frozen text encoder's states, one a token, under a learnt projection: one layer of attention among
             them, and one learnt query that looks at all

The encoder is frozen, but its pooled vector alone would not do: MiniLM gives two captions that differ in a number
vectors of cosine 0.999, while the state of the number's token says which it is.

Deviations from the paper: a small network with group normalisation instead of a ResNet or ViT; a text encoder that was
trained on sentences before and stays as it is; images of equal captions in one batch are true of each other. Each image
is brought to mean 0 and variance 1 before anything else, so that no instrument's grey scale is learnt. Price: a caption
cannot say "bright". Flips and turns are augmentations as for every other method; where captions name a direction,
images are not turned.

The loss looks at the whole batch, the one exception to the rule that it is a mean over images; rows are gathered over
processes in their order, so two processes still train what one does (``networks/gathered_rows.py``).
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphogen.mathematics.contrastive_losses import sigmoid_contrast, softmax_contrast
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import Batch, ImageLearner, Loss, MethodSettings, Phase, Sizes, Task
from morphogen.networks.gathered_rows import gathered_rows
from morphogen.networks.token_reader import TokenReader

MOST_SCALE = 100.0
"""Largest inverse temperature (Radford et al., section 2.5)."""


class Settings(MethodSettings):
    """Settings of CLIP."""

    batch_size: int = Field(default=64, ge=2, description="images a step, over all processes together")
    contrast: Literal["softmax", "sigmoid"] = Field(default="softmax", description="loss between images and captions")
    channels: tuple[int, ...] = Field(
        default=(16, 32, 64, 128), min_length=1, description="channels after each halving of the image"
    )
    embedding: int = Field(default=128, ge=2, description="length of the vectors of images and captions")
    caption_width: int = Field(default=128, ge=4, multiple_of=4, description="width of the projection of captions")
    learning_rate: float = Field(default=3e-3, gt=0, description="at its highest; it falls as a cosine")


class ImageTower(nn.Module):
    """Images of any size from 2 x 2 pixels a level up to unit vectors."""

    def __init__(self, channels: int, widths: tuple[int, ...], embedding: int) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(channels, widths[0], 5, 2, 2, bias=False), _norm(widths[0]), nn.SiLU())
        self.levels = nn.ModuleList([stem, *(_Level(before, after) for before, after in pairwise(widths))])
        told = 2 * sum(widths)
        self.head = nn.Sequential(
            nn.LayerNorm(told), nn.Linear(told, 2 * embedding), nn.SiLU(), nn.Linear(2 * embedding, embedding)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` on any grey scale to ``(B, embedding)``."""
        axes = (1, 2, 3)
        mean, variance = x.mean(axes, keepdim=True), x.var(axes, keepdim=True, unbiased=False)
        x = (x - mean) / (variance + 1e-6).sqrt()
        told = []
        for level in self.levels:
            x = level(x)
            told += [x.mean((2, 3)), (x.var((2, 3), unbiased=False) + 1e-6).sqrt()]  # (B, width) each
        return normalize(self.head(torch.cat(told, dim=1)).float(), dim=1)


class _Level(nn.Module):
    """A halving, and a residual convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), _norm(after), nn.SiLU())
        self.more = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), _norm(after), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        more: Tensor = x + self.more(x)
        return more


class CaptionTower(TokenReader):
    """Tokens of a frozen encoder to unit vectors."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, text + 1)``, the last entry 1 for one that counts, to ``(B, embedding)``."""
        return normalize(super().forward(tokens).float(), dim=1)


class Contrast(nn.Module):
    """Inverse temperature of the similarities, and the sigmoid's bias."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07 if kind == "softmax" else 10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0)) if kind == "sigmoid" else None

    def forward(self, images: Tensor, captions: Tensor, true: Tensor) -> Tensor:
        """The loss of these images, from rows ``(b, d)`` and ``(b, n)`` of this process."""
        scale = self.log_scale.exp().clamp(max=MOST_SCALE)
        all_images, all_captions = gathered_rows(images), gathered_rows(captions)
        if self.bias is None:
            return softmax_contrast(images, captions, all_images, all_captions, true, scale)
        return sigmoid_contrast(images, all_captions, true, scale, self.bias)


class Method(ImageLearner):
    """CLIP."""

    title = "CLIP"
    averaged = ("image_tower", "caption_tower")
    averaging_half_life = 2_000
    compiled = ("image_tower",)
    conditional = "must"
    reads_text = True
    learns_captions = True
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        assert task.conditions.text is not None  # seen to by ``training.captions``
        self.image_tower = ImageTower(task.shape.channels, settings.channels, settings.embedding)
        self.caption_tower = CaptionTower(task.conditions.text.width, settings.caption_width, settings.embedding)
        self.contrast = Contrast(settings.contrast)
        self.phases = (
            Phase(
                "contrast",
                trains=("image_tower", "caption_tower", "contrast"),
                learning_rate=settings.learning_rate,
                betas=(0.9, 0.98),
                falls=True,
                warm_up_images=20 * settings.batch_size,
            ),
        )

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Two pixels are left at the coarsest level."""
        return Sizes(multiple_of=1, at_least=2 ** (len(settings.channels) + 1))

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """How surprising the captions of these images are among all of the batch, in nats; nothing is drawn."""
        assert batch.text is not None
        assert batch.tokens is not None
        images, captions = self.image_tower(batch.images), self.caption_tower(batch.tokens)  # (b, d)
        true = (batch.text[:, None] == gathered_rows(batch.text)[None]).all(dim=-1)  # (b, n)
        loss = self.contrast(images, captions, true)
        with torch.no_grad():
            likeness = images @ gathered_rows(captions).T
            first = true.gather(1, likeness.argmax(dim=1, keepdim=True)).float().mean()
        return Loss(loss, {"contrast": loss, "right caption first": first, "scale": self.contrast.log_scale.exp()})


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)
