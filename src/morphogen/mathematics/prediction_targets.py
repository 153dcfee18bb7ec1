"""What a network predicts, and the way from any prediction back to the image and the noise.

With x_t = a x_0 + b n, every target is linear in image and noise, p x_0 + q n:

    kind      p    q       det = q a - b p
    epsilon   0    1       a            Ho et al. 2020 (arXiv:2006.11239), equation 14
    x0        1    0       -b
    v        -b    a       a^2 + b^2    Salimans, Ho 2022 (arXiv:2202.00512), appendix D
    score     0    -1 / b  -a / b       Song, Ermon 2019 (arXiv:1907.05600), equation 2: the score of p(x_t | x_0)
    flow     -1    1       a + b        Lipman et al. 2022 (arXiv:2210.02747): dx_t/dt of the line a = 1 - t, b = t

Two linear equations in two unknowns give both back, by one formula for all:

    x_0 = (q x_t - b prediction) / det,    n = (a prediction - p x_t) / det

v has unit variance where a^2 + b^2 = 1. For other scalings it is what it is on that circle, times sqrt(a^2 + b^2): the
derivative of x_t by the angle atan(b / a) at a fixed radius. Likewise ``flow`` is n - x_0 for every scaling.

Where det = 0 nothing can be divided. The image is the prediction itself for ``x0``, and the noise for ``epsilon``,
which the formulas say wherever they can; so these hold at b = 0 and a = 0 too. No image is to be had from ``epsilon``
or ``score`` at a = 0 (pure noise), no noise from ``x0`` at b = 0, and there is no score at b = 0: what comes back is
not finite. ``v`` and ``flow`` give both everywhere.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from morphogen.mathematics.noise_levels import Level, Process, per_image

Target = Literal["epsilon", "x0", "v", "score", "flow"]

TARGETS: tuple[Target, ...] = ("epsilon", "x0", "v", "score", "flow")
"""All of them, for settings and tests."""


def coefficients(kind: Target, level: Level) -> tuple[Tensor, Tensor]:
    """The p and q of a target, each like the level."""
    a, b = level
    nothing, one = torch.zeros_like(a), torch.ones_like(a)
    if kind == "epsilon":
        return nothing, one
    if kind == "x0":
        return one, nothing
    if kind == "v":
        return -b, a
    if kind == "score":
        return nothing, -1 / b
    return -one, one


def determinant(kind: Target, level: Level) -> Tensor:
    """The determinant q a - b p, like the level."""
    p, q = coefficients(kind, level)
    return q * level.signal - level.noise * p


def target(kind: Target, x0: Tensor, noise: Tensor, level: Level) -> Tensor:
    """What the network should say: ``(B, ...)``, at levels ``(B,)``."""
    p, q = coefficients(kind, level)
    return per_image(p, x0) * x0 + per_image(q, x0) * noise


def clean_image(kind: Target, prediction: Tensor, xt: Tensor, level: Level) -> Tensor:
    """The x_0 that a prediction at ``xt`` implies: ``(B, ...)``."""
    if kind == "x0":
        return prediction  # what the formula says wherever b > 0
    q, det = coefficients(kind, level)[1], determinant(kind, level)
    return per_image(q / det, xt) * xt - per_image(level.noise / det, xt) * prediction


def implied_noise(kind: Target, prediction: Tensor, xt: Tensor, level: Level) -> Tensor:
    """The n that a prediction at ``xt`` implies: ``(B, ...)``."""
    if kind == "epsilon":
        return prediction  # what the formula says wherever a > 0
    p, det = coefficients(kind, level)[0], determinant(kind, level)
    return per_image(level.signal / det, xt) * prediction - per_image(p / det, xt) * xt


def denoised(
    network: Callable[[Tensor, Tensor], Tensor], kind: Target, process: Process, x: Tensor, sigma: Tensor
) -> Tensor:
    """The x_0 that a network in a process's own scale means: a ``Denoiser``, once the first three are given.

    Args:
        network: from (x_t, t) to its prediction; t is ``(B,)`` like sigma.
        kind: what it predicts.
        process: whose x_t and t it was trained on.
        x: images at noise level sigma, ``(B, ...)``.
        sigma: ``(B,)``.
    """
    time = process.time(sigma)
    level = process.level(time)
    xt = per_image(level.signal, x) * x
    return clean_image(kind, network(xt, time.to(sigma.dtype)), xt, level)
