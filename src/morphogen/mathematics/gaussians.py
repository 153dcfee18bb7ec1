"""Gaussians with a diagonal covariance, as variational autoencoders use them.

Kingma, Welling 2013 (arXiv:1312.6114), appendix B, for the divergence; Rybkin, Daniilidis, Levine 2021
(arXiv:2006.13202) for a likelihood whose width is learnt.
"""

import math

from torch import Tensor


def divergence_from_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, ``(B, d)`` to ``(B,)``."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def negative_log_likelihood(x: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """-log N(x; mean, exp(log_sigma)^2) in nats, summed over all but the first dimension: ``(B,)``."""
    z = (x - mean) * (-log_sigma).exp()
    return (0.5 * z**2 + log_sigma + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)
