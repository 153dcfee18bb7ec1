"""Path-length regularisation. Karras et al. 2020 (arXiv:1912.04958), equation 4 and appendix B.

    E_w,y (||J_w^T y||_2 - a)^2,    J_w = dG / dw,    y ~ N(0, I) over the pixels

A step in W is to change the image by as much anywhere and in any direction. J^T y is the gradient of G(w) . y. Where
each of L layers has a style of its own, the length is the root mean square of the lengths over the layers.
"""

import math

import torch
from torch import Tensor


def path_lengths(images: Tensor, styles: Tensor, directions: Tensor) -> Tensor:
    """||J^T y|| of every image, ``(B,)``, differentiable.

    Args:
        images: ``(B, C, H, W)``, each made from its own styles.
        styles: ``(B, L, dimensions)``, which must require gradients.
        directions: y, standard normal, like the images. It is divided by sqrt(H W), so that lengths do not depend on
            the size of the images.
    """
    along = (images * directions).sum() / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad(along, styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
