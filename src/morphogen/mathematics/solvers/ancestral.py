"""Ancestral sampling. Ho, Jain, Abbeel 2020 (arXiv:2006.11239), algorithm 2, with the posterior of equations 6 and 7.

q(x' | x, x_0 = D) from level t to s < t, in the coordinate of ``noise_levels``:

    x' = D + (s^2 / t^2) (x - D) + s sqrt(1 - s^2 / t^2) z,    z ~ N(0, 1)

which is ``ddim`` with eta = 1. The variance is the paper's tilde beta ("fixed small"), the right one for data without
variance. Weak order 1: moments are off by a number of the order of 1 / steps.
"""

from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser
from morphogen.mathematics.solvers import ddim
from morphogen.mathematics.solvers.solver import Normal

TITLE = "ancestral (DDPM)"
STOCHASTIC = True


def evaluations(steps: int) -> int:
    """One a level."""
    return steps


def solve(denoise: Denoiser, x: Tensor, sigmas: Tensor, normal: Normal | None = None) -> Tensor:
    """Images ``(B, ...)``; ``solver.py`` has the arguments."""
    return ddim.solve(denoise, x, sigmas, normal, eta=1.0)
