"""A convolution followed by the mean over squares of 2 x 2 pixels, as one convolution of stride 2.

Both steps are linear, and their product is itself a convolution with the 4 x 4 kernel

    K = box * W,    box = 2 x 2 quarters,    W the 3 x 3 kernel

with 4 instead of 9 products an input pixel. The box takes the place of the blur before a sub-sampling (Karras et al.
2019, arXiv:1812.04948, section 2; Zhang 2019, arXiv:1904.11486).
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


def pooled_convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Correlation with ``weight``, zeros around, then the mean of every 2 x 2 pixels.

    Args:
        x: ``(B, C, H, W)`` with even H and W.
        weight: ``(D, C, 3, 3)``.
        bias: ``(D,)``.

    Returns:
        ``(B, D, H / 2, W / 2)``.
    """
    shifted = [pad(weight, (left, 1 - left, top, 1 - top)) for left in (0, 1) for top in (0, 1)]
    return conv2d(x, torch.stack(shifted).mean(0), bias, stride=2, padding=1)
