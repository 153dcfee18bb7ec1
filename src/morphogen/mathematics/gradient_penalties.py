"""Penalties on the slope of a discriminator.

    R1   E ||grad_x D(x)||^2 on measured images: ``squared_slope(measured, D(measured))``
    R2   the same on generated images:           ``squared_slope(generated, D(generated))``
    GP   E (||grad_u D(u)|| - 1)^2 with u = t x + (1 - t) y, t ~ U[0, 1]: ``slope_off_one(u, D(u))``

R1 and R2: Mescheder, Geiger, Nowozin 2018 (arXiv:1801.04406), equation 9 and the one after; Roth et al. 2017
(arXiv:1705.09367). Images are leaves here: for R2, generated images are to be detached from the generator first. GP:
Gulrajani et al. 2017 (arXiv:1704.00028), equation 3, with one number t an image.
"""

import torch
from torch import Tensor

_LEAST = 1e-12
"""Added under the root, whose derivative is infinite where D is flat."""


def squared_slope(images: Tensor, logits: Tensor) -> Tensor:
    """||grad_x D(x)||^2 of every image, ``(B,)``.

    Args:
        images: ``(B, ...)``, which must require gradients.
        logits: D(images), ``(B,)`` or ``(B, 1)``, each depending on its own image only.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().flatten(1).sum(1)


def slope_off_one(images: Tensor, logits: Tensor) -> Tensor:
    """(||grad_u D(u)|| - 1)^2 of every image, ``(B,)``; arguments as for ``squared_slope``."""
    return ((squared_slope(images, logits) + _LEAST).sqrt() - 1).square()


def between(measured: Tensor, generated: Tensor, share: Tensor) -> Tensor:
    """Images on the straight line between two, as leaves that require gradients, ``(B, ...)``.

    Args:
        measured: ``(B, ...)``.
        generated: ``(B, ...)``; image k is mixed with measured image k.
        share: t of each image, ``(B,)``: 1 for the measured image, 0 for the generated one; ``randomness.uniform()``.
    """
    t = share.view(-1, *[1] * (measured.ndim - 1))  # (B, 1, ...)
    return (t * measured + (1 - t) * generated).detach().requires_grad_()
