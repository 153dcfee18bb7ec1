"""Heun's method along the probability flow, with churn. Karras et al. 2022 (arXiv:2206.00364), algorithms 1 and 2.

A step from t to s: Euler's, x' = x + (s - t) d with d = (x - D(x, t)) / t, then once more with the mean of d and d' at
(x', s). Order 2. The step to 0 is Euler's, which is the estimate D itself.

With churn, noise is added before each step inside [lowest, highest]: up to (1 + gamma) t, gamma = min(churn / N, sqrt
2 - 1), and taken away with the step, which forgets errors of the steps before.
"""

import math

from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch
from morphogen.mathematics.solvers.solver import Normal, falling, noise_from

TITLE = "Heun (EDM)"
STOCHASTIC = False


def evaluations(steps: int) -> int:
    """Two a level, but one at the last."""
    return 2 * steps - 1


def solve(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    normal: Normal | None = None,
    *,
    churn: float = 0.0,
    lowest: float = 0.0,
    highest: float = math.inf,
    noise_scale: float = 1.0,
) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments.

    Args:
        denoise: estimate of x_0.
        x: images at the first level.
        sigmas: falling levels.
        normal: source of noise, needed where churn > 0.
        churn: the paper's S_churn; 0 is algorithm 1.
        lowest: S_min, the lowest level that is churned.
        highest: S_max, the highest level that is churned.
        noise_scale: S_noise; slightly above 1 makes up for a denoiser that takes away too much.
    """
    levels = falling(sigmas)
    for now, following in zip(levels, [*levels[1:], None], strict=True):
        raised = now
        if churn > 0 and lowest <= now <= highest:
            raised = now * (1 + min(churn / len(levels), math.sqrt(2) - 1))
            x = x + math.sqrt(raised**2 - now**2) * noise_scale * noise_from(normal)
        estimate = denoise(x, level_of_batch(raised, x))
        if following is None:
            break
        slope = (x - estimate) / raised
        tried = x + (following - raised) * slope
        slope_there = (tried - denoise(tried, level_of_batch(following, x))) / following
        x = x + (following - raised) * 0.5 * (slope + slope_there)
    return estimate
