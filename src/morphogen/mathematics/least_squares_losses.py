"""Least-squares adversarial losses. Mao et al. 2017 (arXiv:1611.04076), equation 9, where 1 means "measured".

    L_D = 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2]
    L_G = 1/2 E[(D(G(z)) - 1)^2]

They punish what lies on the right side of the decision, but far from it, as well, and so don't saturate. Against a
fixed generator the best D is p_measured / (p_measured + p_generated): 1/2 where the two agree, with L_D = 1/4.
"""

from torch import Tensor


def least_squares_generator_loss(generated: Tensor) -> Tensor:
    """Mean of (D(G(z)) - 1)^2 / 2.

    Args:
        generated: the discriminator's output for generated images, of any shape.
    """
    return 0.5 * (generated - 1).square().mean()


def least_squares_discriminator_loss(measured: Tensor, generated: Tensor) -> Tensor:
    """Mean of ((D(x) - 1)^2 + D(G(z))^2) / 2; 1/4 where D cannot tell them apart.

    Args:
        measured: the discriminator's output for measured images, of any shape.
        generated: its output for generated ones.
    """
    return 0.5 * ((measured - 1).square().mean() + generated.square().mean())
