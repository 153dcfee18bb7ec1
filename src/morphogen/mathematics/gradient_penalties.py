"""Penalties on the slope of a discriminator.

R1: Mescheder, Geiger, Nowozin 2018 (arXiv:1801.04406), equation 9: E ||grad_x D(x)||^2 on measured images.
"""

import torch
from torch import Tensor


def squared_slope(images: Tensor, logits: Tensor) -> Tensor:
    """||grad_x D(x)||^2 of every image, ``(B,)``.

    Args:
        images: ``(B, ...)``, which must require gradients.
        logits: D(images), ``(B,)`` or ``(B, 1)``, each depending on its own image only.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().flatten(1).sum(1)
