"""DPM-Solver++(2M). Lu et al. 2022 (arXiv:2211.01095), algorithm 2.

With lambda = -log sigma the probability flow is linear but for D, and D is extrapolated from this level and the one
before:

    x' = (s / t) x + (1 - s / t) (D + (D - D_before) / (2 r)),    r = h_before / h,    h = log(t / s)

Order 2 at one evaluation a level. The first step has no level before it and is of order 1 (its error is of order h^2,
once); so is the last one, to 0, which is the estimate D itself.
"""

import math
from itertools import pairwise

from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch
from morphogen.mathematics.solvers.solver import Normal, falling

TITLE = "DPM-Solver++(2M)"
STOCHASTIC = False


def evaluations(steps: int) -> int:
    """One a level."""
    return steps


def solve(denoise: Denoiser, x: Tensor, sigmas: Tensor, normal: Normal | None = None) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments. Takes no noise."""
    levels = falling(sigmas)
    before: tuple[Tensor, float] | None = None
    for now, following in pairwise(levels):
        estimate = denoise(x, level_of_batch(now, x))
        step = math.log(now / following)
        used = estimate if before is None else estimate + (step / (2 * before[1])) * (estimate - before[0])
        ratio = following / now
        x = ratio * x + (1 - ratio) * used
        before = estimate, step
    return denoise(x, level_of_batch(levels[-1], x))
