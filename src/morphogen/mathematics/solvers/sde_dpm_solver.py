"""SDE-DPM-Solver++(2M). Lu et al. 2022 (arXiv:2211.01095), section 5 and appendix B.3: 2M for the diffusion itself.

Where ``dpm_solver`` follows the probability flow, this one follows the reverse diffusion, which draws noise on the way
and so corrects what was wrong before (Karras et al. 2022, arXiv:2206.00364, section 4). With D extrapolated as there,

    x' = (s / t)^2 x + (1 - (s / t)^2) (D + (D - D_before) / (2 r)) + s sqrt(1 - (s / t)^2) z,    z ~ N(0, 1)

Without the extrapolation this is ``ancestral``: the same diffusion, of one order less.
"""

import math
from itertools import pairwise

from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch
from morphogen.mathematics.solvers.solver import Normal, falling, noise_from

TITLE = "SDE-DPM-Solver++(2M)"
STOCHASTIC = True


def evaluations(steps: int) -> int:
    """One a level."""
    return steps


def solve(denoise: Denoiser, x: Tensor, sigmas: Tensor, normal: Normal | None = None) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments."""
    levels = falling(sigmas)
    before: tuple[Tensor, float] | None = None
    for now, following in pairwise(levels):
        estimate = denoise(x, level_of_batch(now, x))
        step = math.log(now / following)
        used = estimate if before is None else estimate + (step / (2 * before[1])) * (estimate - before[0])
        kept = (following / now) ** 2
        x = kept * x + (1 - kept) * used + following * math.sqrt(1 - kept) * noise_from(normal)
        before = estimate, step
    return denoise(x, level_of_batch(levels[-1], x))
