"""Noise levels of discrete diffusion, as the cumulative signal power alpha_bar_t for t = 0 ... T - 1.

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,   alpha_bar_t = prod_{s <= t} (1 - beta_s)

linear: Ho, Jain, Abbeel 2020 (arXiv:2006.11239), section 4: beta from 1e-4 to 0.02 over 1000 steps.
cosine: Nichol, Dhariwal 2021 (arXiv:2102.09672), equation 17, with beta clipped at 0.999.
"""

import math

import torch
from torch import Tensor


def linear_signal(steps: int = 1000, first_beta: float = 1e-4, last_beta: float = 0.02) -> Tensor:
    """alpha_bar of linearly growing beta: ``(steps,)`` float64, falling from nearly 1 to nearly 0."""
    beta = torch.linspace(first_beta, last_beta, steps, dtype=torch.float64)
    return torch.cumprod(1 - beta, dim=0)


def cosine_signal(steps: int = 1000, offset: float = 0.008, largest_beta: float = 0.999) -> Tensor:
    """alpha_bar that follows a squared cosine: ``(steps,)`` float64."""
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=largest_beta)
    return torch.cumprod(1 - beta, dim=0)


def evenly_spaced_steps(steps: int, count: int) -> list[int]:
    """``count`` of the time steps 0 ... ``steps`` - 1 in falling order, the last and the first among them.

    Lin et al. 2024 (arXiv:2305.08891), section 3.3 ("linspace"): sampling must start at the last step, the
    only one whose input is (nearly) pure noise.
    """
    return [round(t) for t in torch.linspace(steps - 1, 0, count, dtype=torch.float64).tolist()]


def add_noise(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t of images ``x0`` and noise ``eps``, both ``(B, ...)``, at levels ``alpha_bar`` ``(B,)``."""
    a = per_image(alpha_bar, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """``(B,)`` values shaped ``(B, 1, ..., 1)``, in the type and on the device of ``like``."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))
