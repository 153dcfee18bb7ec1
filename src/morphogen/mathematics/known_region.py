"""Images of which a part is known: a denoiser that is told it, so that any solver fills in the rest.

Known pixels y = K x_0, K the choice of them. A solver that follows E[x_0 | x, y] in place of D = E[x_0 | x] draws from
p(x_0 | y). Where x_0 given x is Gaussian, of mean D and covariance V, that is

    D_y = D + V K' (K V K')^-1 (y - K D)

and Tweedie's formula of second order has V = sigma^2 dD/dx, so that the denoiser's own derivative says what the known
part tells of the rest (Boys et al. 2023, arXiv:2310.06721; Rozet et al. 2024, arXiv:2405.13712, who solve by conjugate
gradients, as here: a product with V is one pass backwards). For a Gaussian the flow of D_y is the exact one at every
noise level. The solution need not be exact: with c passes it is the best one in the Krylov space of y - K D. c = 0 is
replacement alone, by which x keeps y + sigma n at known pixels (Song et al. 2021, arXiv:2011.13456, appendix I.2;
Lugmayr et al. 2022, arXiv:2201.09865, "RePaint", without its resampling): what the noisy pixels tell.

Where x_0 given x is not Gaussian, at levels where images are not decided yet, D_y is only the best linear guess. What
that gets wrong is mended by starting again (Xu et al. 2023, arXiv:2306.14878, "Restart"): noise of a level comes upon
what was found, and it is solved from there once more. Given an exact D_y this leaves p(x_0 | y) as it is, and what was
decided wrongly is decided anew. RePaint's resampling does the same in small jumps, for any denoiser: replacement alone,
resampled, knows of y only through its noisy pixels, and is exact where the noise is low.

How good: a Gaussian random field of the size of a network's window, half of it known, correlation length 4 pixels,
white noise of a tenth of its variance (``tests/phantoms/test_known_region.py`` asserts that it is so).
"""

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, per_image
from morphogen.mathematics.solvers.solver import Normal, Solver

_NOTHING = 1e-12  # of the squares of a residual, over their number: float32 knows no less of images of variance 1


def told_known(denoise: Denoiser, known: Tensor, where: Tensor, passes: int = 3) -> Denoiser:
    """A denoiser that is told a part of each image: estimates of E[x_0 | x, y].

    Args:
        denoise: a denoiser that can be differentiated, unless ``passes`` is 0.
        known: images ``(B, C, H, W)``; only what is known of them counts.
        where: true where a pixel is known, ``(B, C, H, W)`` or of a shape that goes with it.
        passes: c, steps of the conjugate gradients. Each asks for one derivative, twice as dear as an estimate.
    """
    here = where.expand(known.shape).to(known)

    def conditional(x: Tensor, sigma: Tensor) -> Tensor:
        if not passes:
            estimate = denoise(x, sigma)
            return estimate + here * (known - estimate)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            said = denoise(leaf, sigma)
        estimate = said.detach()
        variance = per_image(sigma, x).square()
        residual = here * (known - estimate)
        direction, squares = residual, _squares(residual)
        told = torch.zeros_like(x)
        for step in range(passes):
            (slope,) = torch.autograd.grad(said, leaf, direction, retain_graph=step + 1 < passes)
            product = variance * slope  # V K' direction
            curvature = (direction * product).flatten(1).sum(1)  # (B,)
            # A network's derivative is no covariance: a step against which it curves is not taken, nor any after it.
            going = (curvature > 0) & (squares > _NOTHING * here.flatten(1).sum(1))
            length = per_image(torch.where(going, squares / curvature, torch.zeros_like(squares)), x)
            told = told + length * product
            residual = residual - length * here * product
            before, squares = squares, torch.where(going, _squares(residual), torch.zeros_like(squares))
            direction = residual + per_image(squares / before.clamp(min=torch.finfo(x.dtype).tiny), x) * direction
        estimate = estimate + told
        return estimate + here * (known - estimate)

    return conditional


def filled(
    solver: Solver,
    conditional: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    normal: Normal,
    *,
    restarts: int = 0,
    restart_from: float = 1.0,
) -> Tensor:
    """Images ``(B, C, H, W)`` that a solver finds, and finds again from a noise level between.

    Args:
        solver: a module of ``mathematics.solvers``.
        conditional: what ``told_known`` makes.
        x: images at the first noise level; at known pixels y + sigma n.
        sigmas: falling noise levels.
        normal: source of noise.
        restarts: how often it is solved again.
        restart_from: noise level of the restarts; the highest of ``sigmas`` that is not above it is taken.
    """
    found = solver.solve(conditional, x, sigmas, normal)
    lower = sigmas[sigmas <= restart_from]
    for _ in range(restarts if len(lower) else 0):
        found = solver.solve(conditional, found + float(lower[0]) * normal(), lower, normal)
    return found


def _squares(values: Tensor) -> Tensor:
    return values.flatten(1).square().sum(1)
