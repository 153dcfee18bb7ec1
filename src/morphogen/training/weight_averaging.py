"""Exponential moving averages of weights, by images and not by steps.

The half life is cut to a twentieth of the images seen, so that early weights are forgotten fast and a
short run is not sampled from its beginnings (Karras et al. 2024, arXiv:2312.02696, discuss the family).
"""

import torch
from torch import Tensor, nn

RAMP = 0.05
"""The half life never exceeds this share of the images seen so far."""


class AveragedWeights:
    """Averages of the parameters and buffers of some sub-modules, by their full names.

    Args:
        method: module whose sub-modules are followed.
        names: the sub-modules.
        half_life: images over which the past loses half of its weight.
    """

    def __init__(self, method: nn.Module, names: tuple[str, ...], half_life: int) -> None:
        self.half_life = half_life
        self.values: dict[str, Tensor] = {
            name: value.detach().clone()
            for name, value in method.state_dict().items()
            if name.partition(".")[0] in names
        }

    @torch.no_grad()
    def update(self, method: nn.Module, images_seen: int, batch_size: int) -> None:
        """Move the averages towards the weights after a step."""
        half_life = min(self.half_life, images_seen * RAMP)
        keep = 0.5 ** (batch_size / max(half_life, 1e-8))
        now = method.state_dict()
        for name, average in self.values.items():
            if average.is_floating_point():
                average.lerp_(now[name], 1 - keep)
            else:
                average.copy_(now[name])
