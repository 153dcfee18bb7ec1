"""DDIM. Song, Meng, Ermon 2020 (arXiv:2010.02502), equations 12 and 16.

From level t to s < t, with the noise n = (x - D) / t that the estimate D leaves,

    x' = D + sqrt(s^2 - c^2) n + c z,    c = eta s sqrt(1 - s^2 / t^2),    z ~ N(0, 1)

In the paper's scale, divided by sqrt(alpha_bar), c is its sigma: with sigma^2 = (1 - alpha_bar) / alpha_bar its
equation 16 becomes the c above, whatever the process. eta = 0 is deterministic, of order 1; eta = 1 is the
``ancestral`` sampler.

There is no ``euler``: a step of Euler's method along the probability flow, x + (s - t)(x - D) / t = D + s n, is this
one with eta = 0.
"""

import math
from itertools import pairwise

from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch
from morphogen.mathematics.solvers.solver import Normal, falling, noise_from

TITLE = "DDIM"
STOCHASTIC = False


def evaluations(steps: int) -> int:
    """One a level."""
    return steps


def solve(denoise: Denoiser, x: Tensor, sigmas: Tensor, normal: Normal | None = None, *, eta: float = 0.0) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments.

    Args:
        denoise: estimate of x_0.
        x: images at the first level.
        sigmas: falling levels.
        normal: source of noise, needed where eta > 0.
        eta: 0 is deterministic, 1 has the noise of the ancestral sampler.
    """
    levels = falling(sigmas)
    for now, following in pairwise(levels):
        x, fresh = step(x, denoise(x, level_of_batch(now, x)), now, following, eta)
        if eta > 0:
            x = x + fresh * noise_from(normal)
    return denoise(x, level_of_batch(levels[-1], x))


def step(x: Tensor, estimate: Tensor, now: float, following: float, eta: float = 0.0) -> tuple[Tensor, float]:
    """One step without its noise, and c, the standard deviation of the noise that belongs to it.

    Args:
        x: images at the level ``now``, ``(B, ...)``.
        estimate: D, like x.
        now: t.
        following: s, below it.
        eta: as in ``solve``.
    """
    fresh = eta * following * math.sqrt(1 - (following / now) ** 2)
    kept = math.sqrt(max(following**2 - fresh**2, 0.0))
    return estimate + (kept / now) * (x - estimate), fresh
