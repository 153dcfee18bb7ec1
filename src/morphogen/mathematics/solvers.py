"""Ways to sample from a denoiser.

DDIM: Song, Meng, Ermon 2020 (arXiv:2010.02502), equation 12 with sigma = 0 (deterministic) up to equation
16 with eta = 1 (ancestral).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import per_image
from morphogen.mathematics.prediction_targets import implied_noise

Denoiser = Callable[[Tensor, int], Tensor]
"""(x_t, t) -> the denoiser's estimate of x_0."""


def ddim(
    denoise: Denoiser,
    xt: Tensor,
    alpha_bar: Tensor,
    steps: Sequence[int],
    *,
    eta: float = 0.0,
    normal: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Follow a denoiser from noise to images.

    Args:
        denoise: estimate of x_0 at (x_t, t).
        xt: pure noise ``(B, ...)``, at the first of ``steps``.
        alpha_bar: signal power at every time step, ``(T,)``.
        steps: falling time steps to visit.
        eta: 0 is deterministic, 1 has the noise of the ancestral sampler.
        normal: draws standard normal noise of the shape of ``xt``; needed where eta > 0.

    Returns:
        x_0, ``(B, ...)``.
    """
    for now, following in zip(steps, [*steps[1:], None], strict=True):
        x0 = denoise(xt, now)
        if following is None:
            return x0
        a_now, a_next = (_batch_of(alpha_bar[t], xt) for t in (now, following))
        eps = implied_noise(x0, xt, a_now)
        a, a2 = per_image(a_now, xt), per_image(a_next, xt)
        sigma = eta * ((1 - a2) / (1 - a) * (1 - a / a2)).sqrt()
        xt = a2.sqrt() * x0 + (1 - a2 - sigma**2).clamp(min=0).sqrt() * eps
        if eta > 0:
            if normal is None:
                raise ValueError("eta > 0 needs a source of noise")
            xt = xt + sigma * normal()
    raise ValueError("a solver needs at least one step")


def _batch_of(level: Tensor, like: Tensor) -> Tensor:
    return torch.full((len(like),), float(level), dtype=torch.float64)
