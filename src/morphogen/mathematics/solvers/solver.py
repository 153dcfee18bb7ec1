"""The contract of a solver: from an image of noise to an image, by asking a denoiser at falling noise levels.

Each file beside this one holds ``solve``, ``evaluations``, ``TITLE`` and ``STOCHASTIC``. All work in the coordinate of
``noise_levels``: x = x_0 + sigma n. Between two levels t > s the deterministic ones follow the probability flow

    dx / dsigma = (x - D(x, sigma)) / sigma

(Song et al. 2021, arXiv:2011.13456, equation 13; Karras et al. 2022, arXiv:2206.00364, equation 1), and all end with
the denoiser's estimate at the lowest level. What happens to an image depends on that image and on its noise alone.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol, cast

from torch import Tensor

from morphogen.catalogue import Catalogue
from morphogen.mathematics.noise_levels import Denoiser

Normal = Callable[[], Tensor]
"""Draws standard normal noise of the shape of the images, each image's from its own stream."""


class Solver(Protocol):
    """What a file of this folder offers.

    Attributes:
        TITLE: how the field calls it.
        STOCHASTIC: whether it cannot do without noise; others may take some where an option asks for it.
    """

    TITLE: str
    STOCHASTIC: bool

    def evaluations(self, steps: int) -> int:
        """How often the denoiser is asked for an image, with the default options.

        Args:
            steps: number of noise levels.
        """

    def solve(
        self, denoise: Denoiser, x: Tensor, sigmas: Tensor, normal: Normal | None = None, **options: Any
    ) -> Tensor:
        """Images ``(B, ...)``.

        Args:
            denoise: estimate of x_0 at (x, sigma).
            x: images at the first noise level, ``(B, ...)``: about sigma times standard normal noise.
            sigmas: noise levels to visit, falling and positive, ``(N,)``; 0 is where the solver ends by itself.
            normal: where noise comes from.
            options: of this solver, by keyword.
        """


SOLVERS = Catalogue("morphogen.mathematics.solvers", "solver", frozenset({"solver"}))


def solver_names() -> list[str]:
    """The solvers there are: the files of this folder."""
    return SOLVERS.names()


def solver(name: str) -> Solver:
    """A solver by its file name.

    Raises:
        Problem: there is none of that name.
    """
    return cast(Solver, SOLVERS.module(name))


def falling(sigmas: Tensor) -> list[float]:
    """The levels as numbers, so that coefficients are computed in float64 whatever the images are.

    Raises:
        ValueError: there are none, or they don't fall, or not all are positive.
    """
    levels: list[float] = sigmas.double().tolist()
    if not levels or levels[-1] <= 0 or any(a <= b for a, b in pairwise(levels)):
        raise ValueError("a solver visits noise levels that fall and are positive, at least one")
    return levels


def noise_from(normal: Normal | None) -> Tensor:
    """Standard normal noise.

    Raises:
        ValueError: there is no source of it.
    """
    if normal is None:
        raise ValueError("this solver, with these options, needs a source of noise")
    return normal()
