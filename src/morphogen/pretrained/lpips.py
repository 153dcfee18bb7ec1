"""LPIPS as a distance between vectors, each of which belongs to one image alone.

Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric" (CVPR 2018), version 0.1. With the maps a^l of five layers of a network, each position scaled to
unit length over the channels, and learned weights w^l >= 0,

    d(x, y) = sum over l of 1/(H_l W_l) sum over positions and channels c of w^l_c (a^l_c(x) - a^l_c(y))^2

This is a squared Euclidean distance: all a^l scaled by sqrt(w^l / (H_l W_l)), one after another, are the vector of an
image. So each image goes through the network once, however many others it is compared with.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_LITTLE = 1e-10
"""Guard against a division by zero. The authors add it to the length; under the root, a position that sees nothing has
no steep gradient, and lengths that occur are the same."""


def lpips_vectors(maps: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The vectors ``(B, n)`` of images, whose squared distances are LPIPS; differentiable.

    Args:
        maps: ``(B, channels, height, width)`` for each of the layers, as ``ConvolutionStack`` gives them.
        weights: ``(channels,)`` for each of them, on the same device (``ConvolutionStack.linear``).
    """
    parts = []
    for seen, weight in zip(maps, weights, strict=True):
        scale = (seen.square().sum(1, keepdim=True) + _LITTLE).rsqrt()
        counted = weight > 0  # more than half of AlexNet's first channels have no weight
        root = (weight[counted] / seen[0, 0].numel()).sqrt()[:, None, None]
        parts.append((seen[:, counted] * scale * root).flatten(1))
    return torch.cat(parts, dim=1)
