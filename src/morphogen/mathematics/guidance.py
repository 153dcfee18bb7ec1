"""Classifier-free guidance. Ho, Salimans 2022 (arXiv:2207.12598), equation 6, on denoisers.

    D = D_u + w (D_c - D_u)

with D_c told the condition and D_u not; w = 1 is no guidance (the paper's w is ours less 1), w = 0 no condition. The
score is linear in D, so the same holds for it. Only at noise levels of an interval: Kynkäänniemi et al. 2024
(arXiv:2404.07724); at high noise guidance takes away variety, and at low noise it does nothing. Elsewhere
the conditional denoiser is asked alone, at half the price.
"""

import math

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, per_image


def guided(
    both: Denoiser,
    conditional: Denoiser,
    weight: float,
    low: float = 0.0,
    high: float = math.inf,
) -> Denoiser:
    """A denoiser that follows its condition more than it would.

    Args:
        both: a denoiser of a doubled batch ``(2 B, ...)``: the first half is told its conditions, the second is not.
            One call for both is quicker than two.
        conditional: a denoiser of ``(B, ...)`` that is told the conditions.
        weight: w.
        low: lowest noise level that is guided.
        high: highest noise level that is guided.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        inside = (sigma >= low) & (sigma <= high)
        if weight == 1 or not bool(inside.any()):
            return conditional(x, sigma)
        told, untold = both(torch.cat([x, x]), torch.cat([sigma, sigma])).chunk(2)
        return torch.where(per_image(inside, x) > 0, untold + weight * (told - untold), told)

    return denoise
