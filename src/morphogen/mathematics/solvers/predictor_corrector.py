"""Predictor-corrector sampling. Song et al. 2021 (arXiv:2011.13456), algorithms 2 and 4.

With the score g = (D - x) / sigma^2:

Predictor (reverse diffusion), from level t to s:    x' = x + (t^2 - s^2) g + sqrt(t^2 - s^2) z
Corrector (Langevin), at s, a number of times:       x' = x + e g + sqrt(2 e) z,   e = 2 (snr ||z|| / ||g||)^2
At the end, the estimate D of the lowest level, which is the last predictor without its noise.

Algorithms 3 and 5, for VP, are these in another scale up to terms of the order of beta^2, so one solver serves all
processes.

Deviations: norms are those of each image by itself, where the paper has means over the batch; and ||z|| is sqrt(d),
its value for large d, as the paper's appendix G advises for small batches: a step whose size depends on its own noise
is no Langevin step. A step whose size depends on the image favours small steps, so that it rests at p ||g||^2 in place
of p: off by 2 / d in the variance, which is nothing for images and too much for a few dimensions. e is held below s^2,
above which Langevin steps may overshoot; a score that vanishes would make it infinite.
"""

import math
from itertools import pairwise

from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch, per_image
from morphogen.mathematics.solvers.solver import Normal, falling, noise_from

TITLE = "predictor-corrector"
STOCHASTIC = True


def evaluations(steps: int, corrections: int = 1) -> int:
    """One a level, and the corrections of all levels but the first."""
    return steps + corrections * (steps - 1)


def solve(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    normal: Normal | None = None,
    *,
    corrections: int = 1,
    snr: float = 0.16,
) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments.

    Args:
        denoise: estimate of x_0.
        x: images at the first level.
        sigmas: falling levels.
        normal: source of noise.
        corrections: Langevin steps after each predictor.
        snr: the paper's r, 0.16 for its VE models.
    """
    levels = falling(sigmas)
    for now, following in pairwise(levels):
        shed = now**2 - following**2
        x = x + shed * _score(denoise, x, now) + math.sqrt(shed) * noise_from(normal)
        for _ in range(corrections):
            x = _corrected(denoise, x, following, snr, noise_from(normal))
    return denoise(x, level_of_batch(levels[-1], x))


def _corrected(denoise: Denoiser, x: Tensor, sigma: float, snr: float, noise: Tensor) -> Tensor:
    score = _score(denoise, x, sigma)
    squared_norm = score.flatten(1).square().sum(1)  # (B,)
    size = per_image((2 * snr**2 * x[0].numel() / squared_norm).clamp(max=sigma**2), x)
    return x + size * score + (2 * size).sqrt() * noise


def _score(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    return (denoise(x, level_of_batch(sigma, x)) - x) / sigma**2
