"""A small U-Net that tells the phase of interest from the rest. Ronneberger, Fischer, Brox 2015 (arXiv:1505.04597).

Trained to lower, in each image with logits l, probabilities p = sigmoid(l) and truth t in {0, 1},

    mean(cross entropy(l, t)) + 1 - 2 sum p t / (sum p + sum t)

the second term after Milletari, Navab, Ahmadi 2016 (arXiv:1606.04797), with plain sums in place of sums of squares: it
asks for overlap, and so keeps a rare phase from being given up. In an image without the phase it would ask for nothing
but silence, much louder than the others ask for overlap; there it is left out.

Deviations from the paper: padded convolutions; group normalisation and SiLU; resize-convolutions on the way up; one
convolution instead of two after each merging. It has about 118 000 parameters: a yardstick that learns in
half a minute on one core, not the best network that there is.

Valid for phases that can be told from some 40 pixels around, its receptive field.
"""

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.resize_convolution import ResizeConvolution
from morphogen.methods.method import Batch, Loss, MethodSettings, Phase, Trainable

_COARSEST = 4  # pixels of the image in one of the coarsest level
_WINDOWS_AT_ONCE = 16


class Settings(MethodSettings):
    """Settings of the network."""

    batch_size: int = Field(default=8, ge=1, description="images a step")
    channels: tuple[int, int, int] = Field(default=(16, 32, 64), description="channels at each level, finest first")
    learning_rate: float = Field(default=1e-2, gt=0, description="at its highest; it falls as a cosine")


class UNet(nn.Module):
    """Images of any size from 4 x 4 up to one logit a pixel."""

    def __init__(self, channels_in: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.down_fine = nn.Sequential(_convolution(channels_in, fine), _convolution(fine, fine))
        self.down_middle = nn.Sequential(nn.AvgPool2d(2), _convolution(fine, middle), _convolution(middle, middle))
        self.coarse = nn.Sequential(nn.AvgPool2d(2), _convolution(middle, coarse), _convolution(coarse, coarse))
        self.up_middle = nn.Sequential(ResizeConvolution(coarse, middle), _norm(middle), nn.SiLU())
        self.merge_middle = _convolution(2 * middle, middle)
        self.up_fine = nn.Sequential(ResizeConvolution(middle, fine), _norm(fine), nn.SiLU())
        self.merge_fine = _convolution(2 * fine, fine)
        self.logit = nn.Conv2d(fine, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` in [-1, 1] to logits ``(B, 1, H, W)``."""
        height, width = x.shape[2:]
        fine = self.down_fine(pad(x, (0, -width % _COARSEST, 0, -height % _COARSEST), mode="reflect"))
        middle = self.down_middle(fine)
        up = self.merge_middle(torch.cat([middle, self.up_middle(self.coarse(middle))], dim=1))
        up = self.merge_fine(torch.cat([fine, self.up_fine(up)], dim=1))
        logits: Tensor = self.logit(up)[:, :, :height, :width]
        return logits


class SegmentationNetwork(Trainable):
    """A U-Net with its loss, for the one training loop.

    A training image has its mask as last channel: -1 outside the phase, +1 inside.

    Args:
        settings: its size and how it learns.
        channels: of the images, without the mask.
    """

    settings: Settings

    def __init__(self, settings: Settings, channels: int) -> None:
        super().__init__(settings)
        self.unet = UNet(channels, settings.channels)
        self.phases = (
            Phase(
                "segmentation",
                trains=("unet",),
                learning_rate=settings.learning_rate,
                falls=True,
                warm_up_images=20 * settings.batch_size,
            ),
        )

    def loss(self, phase: str, batch: Batch, randomness: Randomness) -> Loss:
        """Cross entropy and lack of overlap; nothing is drawn."""
        truth = (batch.images[:, -1:] > 0).float()
        logits = self.unet(batch.images[:, :-1]).float()
        entropy = binary_cross_entropy_with_logits(logits, truth)
        p, axes = logits.sigmoid(), (1, 2, 3)
        lack = 1 - 2 * (p * truth).sum(axes) / (p.sum(axes) + truth.sum(axes)).clamp(min=1)  # (B,)
        lack = (lack * truth.amax(axes)).mean()
        return Loss(entropy + lack, {"entropy": entropy, "lack of overlap": lack})

    @torch.no_grad()
    def segment(self, image: Tensor, window: tuple[int, int]) -> Tensor:
        """The phase in a whole picture.

        The network reads overlapping windows as large as its training crops, because the normalisation of a larger
        picture would be another one. Each pixel has the sign of the mean of its windows' logits, weighted
        towards their middles.

        Args:
            image: ``(channels, height, width)`` in [-1, 1], at least as large as a window.
            window: height and width of the training crops.

        Returns:
            ``(height, width)`` bool, true in the phase.
        """
        self.eval()
        height, width = window
        weight = _bell(height, image)[:, None] * _bell(width, image)
        corners = [(top, left) for top in _starts(image.shape[1], height) for left in _starts(image.shape[2], width)]
        total = torch.zeros(image.shape[1:], device=image.device)
        for first in range(0, len(corners), _WINDOWS_AT_ONCE):
            some = corners[first : first + _WINDOWS_AT_ONCE]
            logits = self.unet(torch.stack([image[:, top : top + height, left : left + width] for top, left in some]))
            for (top, left), logit in zip(some, logits[:, 0], strict=True):
                total[top : top + height, left : left + width] += weight * logit
        return total > 0


def _starts(length: int, window: int) -> list[int]:
    """Where windows start along a side: evenly, overlapping by half or more, the last one at the end."""
    count = math.ceil((length - window) / max(1, window // 2)) + 1
    return [round(k * (length - window) / max(1, count - 1)) for k in range(count)]


def _bell(length: int, like: Tensor) -> Tensor:
    """Weights over a window, a Hann window without its zeros."""
    return torch.hann_window(length + 2, periodic=False, device=like.device)[1:-1]


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), _norm(after), nn.SiLU())


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)
