"""LPIPS between images and what a network makes of them, as a term of a loss: differentiable, on any device.

Zhang et al. 2018 (arXiv:1801.03924), by ``lpips``. Colours are seen as such; of other images each channel is seen as
grey by itself, and the mean is taken. Masks are not looked at: their channels hold distances.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import interpolate

from morphogen.pretrained.alexnet import alexnet
from morphogen.pretrained.convolution_stack import ConvolutionStack
from morphogen.pretrained.lpips import lpips_vectors
from morphogen.pretrained.vgg16 import vgg16


class Perception(nn.Module):
    """Frozen pretrained features that compare images.

    Args:
        features: the network, "alexnet" or "vgg16"; the second takes some twenty times as long.
        mask_channels: how many of the last channels are masks.

    Raises:
        Problem: the weights are missing or not the known ones.
    """

    def __init__(self, features: Literal["alexnet", "vgg16"], mask_channels: int = 0) -> None:
        super().__init__()
        self._stack: ConvolutionStack = {"alexnet": alexnet, "vgg16": vgg16}[features]()
        self.mask_channels = mask_channels
        for i, constant in enumerate((*self._stack.constants, *self._stack.linear)):
            self.register_buffer(f"pretrained_{i}", constant, persistent=False)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """LPIPS of each pair, ``(B,)``, for images ``(B, C, H, W)`` in [-1, 1]."""
        one, other = (lpips_vectors(self._maps(x), self._weights) for x in (images, others))
        return (one - other).square().sum(1).view(-1, len(images)).mean(0)

    @property
    def _weights(self) -> list[Tensor]:
        first = len(self._stack.constants)
        return [self.get_buffer(f"pretrained_{first + i}") for i in range(len(self._stack.linear))]

    def _maps(self, images: Tensor) -> list[Tensor]:
        looks = images[:, : images.shape[1] - self.mask_channels]
        if looks.shape[1] != 3:
            looks = looks.transpose(0, 1).reshape(-1, 1, *images.shape[2:]).expand(-1, 3, -1, -1)
        least = self._stack.minimum_px
        if min(looks.shape[2:]) < least:
            times = -(-least // min(looks.shape[2:]))
            looks = interpolate(looks, scale_factor=float(times), mode="bilinear", align_corners=False)
        constants = [self.get_buffer(f"pretrained_{i}") for i in range(len(self._stack.constants))]
        return self._stack.maps(looks, constants)
