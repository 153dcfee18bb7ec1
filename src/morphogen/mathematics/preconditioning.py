"""What stands around a network, so that all it sees and says has unit variance, and how much each noise level weighs.

Karras et al. 2022 (arXiv:2206.00364), equations 7 and 8 and table 1 ("ours"), for data of standard deviation
sigma_data:

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)
    c_skip  = sigma_data^2 / (sigma^2 + sigma_data^2)       c_in    = 1 / sqrt(sigma^2 + sigma_data^2)
    c_out   = sigma sigma_data / sqrt(sigma^2 + sigma_data^2)    c_noise = log(sigma) / 4
    weight  = 1 / c_out^2 of the squared error of D, which makes that of F count alike at all levels

For sigma_data = 1, F is minus the v of ``prediction_targets``.

All weights here are weights of the squared error of the image, ||D - x_0||^2; ``plain_weight`` is what an unweighted
squared error of a target amounts to. Min-SNR: Hang et al. 2023 (arXiv:2303.09556), min(SNR, gamma) with
SNR = 1 / sigma^2.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from morphogen.mathematics.noise_levels import Level, per_image
from morphogen.mathematics.prediction_targets import Target, determinant


class Preconditioning(NamedTuple):
    """What the network's input, output and neighbourhood are multiplied by, each like sigma.

    Attributes:
        skip: of the noisy image in the estimate.
        out: of the network's answer.
        input: of the noisy image in front of the network.
        noise: the level, as the network is told.
    """

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


def preconditioning(sigma: Tensor, sigma_data: float = 1.0) -> Preconditioning:
    """The four of table 1."""
    variance = sigma.square() + sigma_data**2
    return Preconditioning(
        skip=sigma_data**2 / variance,
        out=sigma * sigma_data / variance.sqrt(),
        input=variance.rsqrt(),
        noise=sigma.log() / 4,
    )


def preconditioned(
    network: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor, sigma_data: float = 1.0
) -> Tensor:
    """The denoiser that a network is part of: ``(B, ...)``.

    Args:
        network: F, from (images of unit variance ``(B, ...)``, c_noise ``(B,)``) to its answer ``(B, ...)``.
        x: images at noise level sigma, ``(B, ...)``.
        sigma: ``(B,)``, positive.
        sigma_data: standard deviation of the images without noise.
    """
    c = preconditioning(sigma, sigma_data)
    return per_image(c.skip, x) * x + per_image(c.out, x) * network(per_image(c.input, x) * x, c.noise)


def edm_weight(sigma: Tensor, sigma_data: float = 1.0) -> Tensor:
    """1 / c_out^2, like sigma."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


def min_snr_weight(sigma: Tensor, gamma: float = 5.0) -> Tensor:
    """min(1 / sigma^2, gamma), like sigma: the nearly clean images count no more than those of SNR gamma."""
    return (1 / sigma.square()).clamp(max=gamma)


def plain_weight(kind: Target, level: Level) -> Tensor:
    """What a plain squared error of a target weighs the squared error of the image by: (det / b)^2, like the level.

    1 / sigma^2 for ``epsilon``, 1 for ``x0``, 1 / sigma^2 + 1 for ``v`` (where a^2 + b^2 = 1), (1 + 1 / sigma)^2 for
    ``flow`` (where a + b = 1). A weight divided by this one is that of the target's own squared error.
    """
    return (determinant(kind, level) / level.noise).square()
