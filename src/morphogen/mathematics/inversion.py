"""The noise that an image could have come from: inversion of sampling, so that what is sampled anew starts there.

All in the coordinate of ``noise_levels``, x = x_0 + sigma n. What an inversion keeps is enough to sample the image
again: x at the highest level, the noise z of each step where steps have one, and what the estimate at the lowest level
lacks,

    x_s = mu(x_t) + c z,    mu = D + (sqrt(s^2 - c^2) / t) (x_t - D),    x_0 = D(x_low) + rest

with the step of ``solvers.ddim`` from t to s < t. Another denoiser, told another caption, then makes of it what it
would have made of its own.

DDIM inversion. Song, Meng, Ermon 2020 (arXiv:2010.02502), section 4.3, Dhariwal, Nichol 2021 (arXiv:2105.05233),
appendix F: c = 0, and a step is gone backwards with the estimate of the level where it ends, not of the level where it
starts, which is not known yet. So it returns to the image only as steps become small. The step itself,

    f(x) = (s / t) x + (1 - s / t) D(x, t),    f(x_t) = x_s,

has one inverse for an ideal denoiser: dD/dx is the covariance of x_0 given x over t^2, so f is the gradient of a
strongly convex function. It is found by iterating x <- x + (x_s - f(x)), which converges wherever the eigenvalues of
dD/dx are below 1 + 1 / (1 - s / t), thus below 2 at any step; the form x <- (t / s) x_s - (t / s - 1) D(x, t) of Pan et
al. 2023 (arXiv:2309.04907) needs t < 2 s where an image is sure, which twenty levels from 80 to 0.01 don't keep. As
they do, the iteration is accelerated by Anderson's method (Walker, Ni 2011, doi 10.1137/10078356X), each image by
itself; the best point that was met is kept, so that it can only gain. The same equation with s = 0 puts the image on
the lowest level; where D has forgotten a direction, the rest makes up for it. It is exact and not always of use: where
the flow parts two images abruptly, as that of a few images learnt by heart, what belongs to neither of them has its
inverse on the line between them, and the least error leads to one or the other.

Edit-friendly inversion. Huberman-Spiegelglas, Kulikov, Michaeli 2023 (arXiv:2304.06140), equations 6 and 7: each level
gets noise of its own, x_t = x_0 + t n_t with independent n_t, and z is what a step would have to draw. It is exact by
construction, for any denoiser, guided or not, at one evaluation a level. These z are larger than standard normal noise
and correlated from step to step (negatively), and they carry the image: that is why an edit keeps its structure.

Null-text optimisation (Mokady et al. 2022, arXiv:2211.09794) is not here. It repairs what DDIM inversion loses under
guidance, by tens of gradient steps a level on what the network is told when it is told nothing, and needs the network's
gradients. Both of the above return the image without it: the second under any guidance.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import Denoiser, level_of_batch, per_image
from morphogen.mathematics.solvers import ddim
from morphogen.mathematics.solvers.solver import Normal, falling

_MEMORY = 5  # differences that Anderson's method combines
_FLOOR = 1e-10  # of the trace, added to its normal equations: iterates that hardly differ tell nothing


@dataclass(frozen=True, slots=True)
class Inversion:
    """What an image is sampled from.

    Attributes:
        sigmas: falling levels, ``(N,)`` float64.
        path: the images at each level, ``(B, ...)`` each, the noisiest first.
        noises: z of the steps between them, N - 1 of them; none where steps have no noise.
        rest: what the estimate at the lowest level lacks of the image, ``(B, ...)``.
        eta: of the steps, see ``solvers.ddim``.
    """

    sigmas: Tensor
    path: tuple[Tensor, ...]
    noises: tuple[Tensor, ...]
    rest: Tensor
    eta: float

    def times(self, count: int) -> "Inversion":
        """The same for each of ``count`` batches, one after the other."""

        def repeated(x: Tensor) -> Tensor:
            return torch.cat([x] * count)

        return replace(
            self,
            path=tuple(map(repeated, self.path)),
            noises=tuple(map(repeated, self.noises)),
            rest=repeated(self.rest),
        )


def ddim_inversion(
    denoise: Denoiser, x0: Tensor, sigmas: Tensor, *, iterations: int = 0, tolerance: float = 1e-6
) -> Inversion:
    """The path to images backwards along the deterministic sampler.

    Args:
        denoise: estimate of x_0.
        x0: images of variance 1, ``(B, ...)``.
        sigmas: falling levels of the sampler that is inverted.
        iterations: for each level, how often a step's inverse is bettered, at one evaluation each; 0 is the inversion
            of Song et al., which is exact for small steps only.
        tolerance: root mean square error of a step, in standard deviations of what there is at its end, at which an
            image is done.
    """
    levels = falling(sigmas)
    x, estimate, below = x0, x0, 0.0
    path: list[Tensor] = []
    rest = torch.zeros_like(x0)
    for sigma in reversed(levels):
        start = x if below == 0 else estimate + (sigma / below) * (x - estimate)
        end = tolerance * (1 + below**2) ** 0.5
        x, estimate = _stepped_back(denoise, start, x, sigma, below / sigma, iterations, end)
        if not path:
            rest = x0 - estimate
        path.append(x)
        below = sigma
    return Inversion(sigmas.double(), tuple(reversed(path)), (), rest, 0.0)


def edit_friendly_inversion(
    denoise: Denoiser, x0: Tensor, sigmas: Tensor, normal: Normal, *, eta: float = 1.0
) -> Inversion:
    """Noise of each step of a stochastic sampler under which it makes these images.

    Args:
        denoise: estimate of x_0.
        x0: images of variance 1, ``(B, ...)``.
        sigmas: falling levels.
        normal: source of noise of the shape of the images.
        eta: of the steps; above 0.
    """
    if eta <= 0:
        raise ValueError("steps without noise have none to be found")
    levels = falling(sigmas)
    path = [x0 + sigma * normal() for sigma in levels]
    noises = []
    for (now, following), x, after in zip(pairwise(levels), path, path[1:], strict=False):
        mean, fresh = ddim.step(x, denoise(x, level_of_batch(now, x)), now, following, eta)
        noises.append((after - mean) / fresh)
    rest = x0 - denoise(path[-1], level_of_batch(levels[-1], x0))
    return Inversion(sigmas.double(), tuple(path), tuple(noises), rest, eta)


def sampled_again(
    denoise: Denoiser, inversion: Inversion, between: Callable[[Tensor, int], Tensor] | None = None
) -> Tensor:
    """Images ``(B, ...)`` from where an inversion has led, with this denoiser.

    Args:
        denoise: the same denoiser, which gives the images back, or another one.
        inversion: from the highest level on.
        between: what is to become of the images ``(B, ...)`` at level number k before they go on; nothing by default.
    """
    levels = falling(inversion.sigmas)
    x = inversion.path[0]
    for k, (now, following) in enumerate(pairwise(levels)):
        x, fresh = ddim.step(x, denoise(x, level_of_batch(now, x)), now, following, inversion.eta)
        if inversion.noises:
            x = x + fresh * inversion.noises[k]
        if between is not None:
            x = between(x, k + 1)
    return denoise(x, level_of_batch(levels[-1], x)) + inversion.rest


def _stepped_back(
    denoise: Denoiser, start: Tensor, wanted: Tensor, sigma: float, ratio: float, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The x with (ratio x + (1 - ratio) D(x, sigma)) = wanted as near as it was met, and D there.

    An image that has arrived stays where it is, so that it does not depend on the others of its batch.
    """
    x = best = best_estimate = start
    least = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    tried: list[tuple[Tensor, Tensor]] = []  # points and what was off there
    for turn in range(iterations + 1):
        estimate = denoise(x, level_of_batch(sigma, x))
        off = wanted - (ratio * x + (1 - ratio) * estimate)
        error = off.double().square().flatten(1).mean(1).sqrt()  # (B,)
        better = per_image((error < least) & ((least > tolerance) | torch.isinf(least)), x) > 0
        best, best_estimate = torch.where(better, x, best), torch.where(better, estimate, best_estimate)
        least = torch.where(better.view(-1), error, least)
        if turn == iterations or bool((least <= tolerance).all()):
            break
        tried = [*tried[-_MEMORY:], (x, off)]
        x = _accelerated(tried)
    return best, best_estimate


def _accelerated(tried: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The next point of x <- x + off(x) by Anderson's method, type II."""
    x, off = tried[-1]
    if len(tried) < 2:
        return x + off
    moved = torch.stack([(b[0] - a[0]).flatten(1) for a, b in pairwise(tried)], dim=1).double()  # (B, m, d)
    changed = torch.stack([(b[1] - a[1]).flatten(1) for a, b in pairwise(tried)], dim=1).double()
    products = changed @ changed.transpose(1, 2)  # (B, m, m)
    trace = products.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    floor = (_FLOOR * trace + torch.finfo(torch.float64).tiny) * torch.eye(len(tried) - 1).to(products)
    shares = torch.linalg.solve(products + floor, changed @ off.flatten(1).double()[..., None])  # (B, m, 1)
    back = (shares * (moved + changed)).sum(1).view_as(x)
    following: Tensor = (x + off - back).to(x.dtype)
    return following
