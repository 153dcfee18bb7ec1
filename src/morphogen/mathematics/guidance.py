"""Classifier-free guidance. Ho, Salimans 2022 (arXiv:2207.12598), equation 6, on denoisers.

    D = D_u + w (D_c - D_u)

with D_c told the condition and D_u not; w = 1 is no guidance (the paper's w is ours less 1), w = 0 no condition. The
score is linear in D, so the same holds for it. Only at noise levels of an interval: Kynkäänniemi et al. 2024
(arXiv:2404.07724); at high noise guidance takes away variety, and at low noise it does nothing. Elsewhere
the conditional denoiser is asked alone, at half the price.

Two conditions, an image c_I and a text c_T, have a weight each (Brooks, Holynski, Efros 2023, arXiv:2211.09800,
equation 3, on denoisers):

    D = D(-, -) + s_I (D(c_I, -) - D(-, -)) + s_T (D(c_I, c_T) - D(c_I, -))

s_I = s_T = 1 is no guidance. The product of conditionals that it samples from is p(x | c_I, c_T) sharpened by
p(c_I | x)^(s_I - 1) p(c_T | c_I, x)^(s_T - 1).
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


def guided_twice(
    all_three: Denoiser,
    conditional: Denoiser,
    image_weight: float,
    text_weight: float,
    low: float = 0.0,
    high: float = math.inf,
) -> Denoiser:
    """A denoiser that follows an image and a text, each more than it would.

    Args:
        all_three: a denoiser of a tripled batch ``(3 B, ...)``: the first third is told image and text, the second the
            image alone, the last neither.
        conditional: a denoiser of ``(B, ...)`` that is told both.
        image_weight: s_I.
        text_weight: s_T.
        low: lowest noise level that is guided.
        high: highest noise level that is guided.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        inside = (sigma >= low) & (sigma <= high)
        if image_weight == text_weight == 1 or not bool(inside.any()):
            return conditional(x, sigma)
        both, image, neither = all_three(torch.cat([x, x, x]), torch.cat([sigma, sigma, sigma])).chunk(3)
        led = neither + image_weight * (image - neither) + text_weight * (both - image)
        return torch.where(per_image(inside, x) > 0, led, both)

    return denoise
