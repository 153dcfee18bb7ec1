"""What a denoiser predicts, and the way from any prediction back to the image.

    eps: the noise                       Ho et al. 2020 (arXiv:2006.11239), equation 14
    v:   sqrt(a) eps - sqrt(1 - a) x_0   Salimans, Ho 2022 (arXiv:2202.00512), appendix D

with a = alpha_bar_t. Both are linear in (x_0, eps), so that x_t and one of them give the other.
"""

from typing import Literal

from torch import Tensor

from morphogen.mathematics.noise_levels import per_image

Target = Literal["epsilon", "v"]


def target(kind: Target, x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the network should say: ``(B, ...)``, for levels ``alpha_bar`` ``(B,)``."""
    if kind == "epsilon":
        return eps
    a = per_image(alpha_bar, x0)
    return a.sqrt() * eps - (1 - a).sqrt() * x0


def clean_image(kind: Target, prediction: Tensor, xt: Tensor, alpha_bar: Tensor) -> Tensor:
    """The x_0 that a prediction at ``xt`` implies: ``(B, ...)``."""
    a = per_image(alpha_bar, xt)
    if kind == "epsilon":
        return (xt - (1 - a).sqrt() * prediction) / a.sqrt()
    return a.sqrt() * xt - (1 - a).sqrt() * prediction


def implied_noise(x0: Tensor, xt: Tensor, alpha_bar: Tensor) -> Tensor:
    """The eps that brings ``x0`` to ``xt``: ``(B, ...)``."""
    a = per_image(alpha_bar, xt)
    return (xt - a.sqrt() * x0) / (1 - a).sqrt()
