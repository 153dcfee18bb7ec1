"""How uncertain a denoiser is at each noise level. Karras et al. 2024 (arXiv:2312.02696), equations 21 and 22.

Noise levels are tasks of their own, and the easy ones count for little in a plain mean of squared errors: on a texture
the error of v is several times smaller in the middle of the levels, where images are decided, than at both ends. As a
likelihood of tasks whose spread is learnt with them (Kendall et al. 2018, arXiv:1705.07115),

    L = E error(sigma) / exp(u(sigma)) + u(sigma)

is least at u = log E[error | sigma], where all levels count alike. u is linear in random Fourier features of log sigma
(Tancik et al. 2020, arXiv:2006.10739), and starts at 0, the plain mean. Samples do not need it.
"""

import math

import torch
from torch import Tensor, nn

_FEATURES = 64
_SPREAD = 4.0  # of log sigma, as EDM has it (c_noise)


class LevelUncertainty(nn.Module):
    """u, from noise levels ``(B,)`` to numbers ``(B,)``."""

    turns: Tensor
    phases: Tensor

    def __init__(self) -> None:
        super().__init__()
        constants = torch.Generator().manual_seed(0)  # the same in every run, so that no seed of a run moves by it
        self.register_buffer("turns", torch.randn(_FEATURES, generator=constants))
        self.register_buffer("phases", torch.rand(_FEATURES, generator=constants))
        self.weights = nn.Parameter(torch.zeros(_FEATURES))

    def forward(self, sigma: Tensor) -> Tensor:
        """Log of the error that is expected at each level."""
        angle = 2 * math.pi * (sigma.float().log()[:, None] / _SPREAD * self.turns + self.phases)
        features = math.sqrt(2) * angle.cos()  # (B, features)
        return (features * self.weights).sum(1)  # a sum and no product of matrices, which autocast would round
