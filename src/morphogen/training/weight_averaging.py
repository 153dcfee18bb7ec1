"""Exponential moving averages of weights, by images and not by steps.

The half life is cut to a twentieth of the images seen, so that early weights are forgotten fast and a
short run is not sampled from its beginnings (Karras et al. 2024, arXiv:2312.02696, discuss the family).

Parameters are averaged; buffers are copied, as StyleGAN2 does (Karras et al. 2020, arXiv:1912.04958, in its code). A
buffer is one of three things, and none is to be averaged:
  * a running mean already, such as the mean style of StyleGAN2: averaged once more it would lag behind the styles;
  * a state of an iteration, such as the vectors of a spectral norm: a mean of unit vectors is none, while those of the
    last step are nearly those of the averaged weights;
  * a constant, or a count.
"""

import torch
from torch import Tensor, nn

RAMP = 0.05
"""The half life never exceeds this share of the images seen so far."""


class AveragedWeights:
    """Averages of the parameters of some sub-modules, and copies of their buffers, by their full names.

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
        # A parameter that two sub-modules share stands under both names.
        self._parameters = {name for name, _ in method.named_parameters(remove_duplicate=False)}

    @torch.no_grad()
    def update(self, method: nn.Module, images_seen: int, batch_size: int) -> None:
        """Move the averages towards the weights after a step, and copy the buffers."""
        half_life = min(self.half_life, images_seen * RAMP)
        keep = 0.5 ** (batch_size / max(half_life, 1e-8))
        now = method.state_dict()
        for name, average in self.values.items():
            if name in self._parameters:
                average.lerp_(now[name], 1 - keep)
            else:
                average.copy_(now[name])
