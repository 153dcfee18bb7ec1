"""Group normalisation that is told something: Park et al. 2019 (arXiv:1903.07291), section 3, without places."""

import math

import torch
from torch import Tensor, nn


class ModulatedNorm(nn.Module):
    """Group normalisation whose scale and shift are linear in a vector; at first they are 1 and 0 but for its weights.

    Args:
        channels: of the features.
        width: of the vector.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(channels, 8), channels, affine=False)
        self.modulation = nn.Linear(width, 2 * channels)
        with torch.no_grad():
            self.modulation.bias[:channels] += 1

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features ``(B, channels, h, w)`` and vectors ``(B, width)`` to features."""
        scale, shift = self.modulation(style)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1)
        return torch.addcmul(shift, self.norm(x), scale)
