"""Annealed Langevin dynamics. Song, Ermon 2019 (arXiv:1907.05600), algorithm 1; steps as in Song, Ermon 2020.

At each level, ``moves`` times,

    x' = x + e g + sqrt(2 e) z,    g = (D - x) / sigma^2,    e = r sigma^2

(the 2019 paper writes 2 e for it), and at the end the estimate D of the lowest level (Jolicoeur-Martineau et al. 2020,
arXiv:2009.05475). An image that starts at the level before, gamma times as noisy, has after the moves the noise
variance, over sigma^2,

    f(r) = (1 - r)^(2 moves) (gamma^2 - q) + q,    q = 1 / (1 - r / 2)

where only noise is left (2020, arXiv:2006.09011, proposition 3 and technique 4); r is chosen to bring f nearest to 1,
for each level by itself, since levels need not be geometric. The images keep a bias of the order of r; levels have to
be many.
"""

import math

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch
from morphogen.mathematics.solvers.solver import Normal, falling, noise_from

TITLE = "annealed Langevin dynamics"
STOCHASTIC = True


def evaluations(steps: int, moves: int = 5) -> int:
    """``moves`` a level, and one at the end."""
    return steps * moves + 1


def solve(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    normal: Normal | None = None,
    *,
    moves: int = 5,
    step: float | None = None,
) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments.

    Args:
        denoise: estimate of x_0.
        x: images at the first level.
        sigmas: falling levels.
        normal: source of noise.
        moves: Langevin steps at each level; 5 as in the 2020 paper.
        step: r, the step size over sigma^2; None for the choice of the 2020 paper.
    """
    levels = falling(sigmas)
    # The first level has none before it: it takes the ratio of the next one.
    before = [levels[0] ** 2 / levels[1] if len(levels) > 1 else levels[0], *levels]
    for above, sigma in zip(before[:-1], levels, strict=True):
        r = step if step is not None else step_size(above / sigma, moves)
        for _ in range(moves):
            estimate = denoise(x, level_of_batch(sigma, x))
            x = x + r * (estimate - x) + math.sqrt(2 * r) * sigma * noise_from(normal)
    return denoise(x, level_of_batch(levels[-1], x))


def noise_after(r: Tensor, ratio: float, moves: int) -> Tensor:
    """f(r): the noise variance after the moves, over the one that it should be."""
    resting = 1 / (1 - r / 2)
    return (1 - r) ** (2 * moves) * (ratio**2 - resting) + resting


def step_size(ratio: float, moves: int) -> float:
    """The r in (0, 1) that brings ``noise_after`` nearest to 1.

    Args:
        ratio: gamma, the level before over this one.
        moves: Langevin steps at a level.
    """
    # A grid of 1 % steps: f is flat where it is lowest, so a finer one changes nothing that matters.
    tried = torch.logspace(-4, 0, 1000, dtype=torch.float64)[:-1]
    return float(tried[(noise_after(tried, ratio, moves) - 1).abs().argmin()])
