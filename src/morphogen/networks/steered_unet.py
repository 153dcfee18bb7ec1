"""A frozen UNet, steered by a copy of its encoder. ControlNet: Zhang, Rao, Agrawala 2023 (arXiv:2302.05543), figure 3.

The copy sees the same noisy image, to whose first features those of the hint are added, and what it answers at each
level is added to the frozen network's skip connections and to its middle, through 1 x 1 convolutions that start at
zero. So training starts from the frozen network as it is, and none of it is ever changed.

Deviations: the hint goes through space-to-depth as the image does, then two convolutions; the copy reads the frozen
network's embedding of noise level and conditions, which all of its blocks project by weights of their own. Where the
hint is not told, nothing is added, so that guidance towards it has the frozen network itself to stand on.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from morphogen.networks.conditioned_unet import ConditionedUNet


def _zero(channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, channels, 1)
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


class Control(nn.Module):
    """The trainable copy of a UNet's encoder, with convolutions that start at zero.

    Args:
        frozen: the network to be steered.
        hint: channels of the hint.
    """

    def __init__(self, frozen: ConditionedUNet, hint: int) -> None:
        super().__init__()
        unet: Any = frozen.unet
        widths, layers = unet.config.block_out_channels, unet.config.layers_per_block
        self.conv_in, self.mid_block = copy.deepcopy(unet.conv_in), copy.deepcopy(unet.mid_block)
        self.down_blocks: nn.ModuleList = copy.deepcopy(unet.down_blocks)
        self.enter = nn.Sequential(
            nn.Conv2d(hint * frozen.patch**2, widths[0], 3, padding=1), nn.SiLU(), _zero(widths[0])
        )
        # A skip connection after the first convolution, after each layer, and after each halving.
        skips = [widths[0]]
        for level, width in enumerate(widths):
            skips += [width] * (layers + (level < len(widths) - 1))
        self.leave = nn.ModuleList(_zero(width) for width in skips)
        self.leave_middle = _zero(widths[-1])

    def start_as(self, frozen: ConditionedUNet) -> None:
        """Take over the encoder of a network."""
        state = frozen.unet.state_dict()
        own = self.state_dict()
        self.load_state_dict({name: state.get(name, value) for name, value in own.items()})

    def forward(
        self, patches: Tensor, hint: Tensor, embedded: Tensor, states: Tensor | None, there: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        """What is added to the skip connections, from fine to coarse, and to the middle.

        Args:
            patches: noisy images behind space-to-depth ``(B, C, h, w)``.
            hint: behind space-to-depth ``(B, hint, h, w)``.
            embedded: noise level and conditions ``(B, width)``.
            states: of the tokens of a text ``(B, T, text)``, where one is read.
            there: which of them count ``(B, T)``.
        """
        skips, middle = encode(
            self.conv_in(patches) + self.enter(hint), self.down_blocks, self.mid_block, embedded, states, there
        )
        return [leave(skip) for leave, skip in zip(self.leave, skips, strict=True)], self.leave_middle(middle)


class SteeredUNet(nn.Module):
    """A frozen network and what steers it, called as the frozen one is, with the hint beside the images.

    Args:
        frozen: the network.
        control: its control, which belongs to somebody else and is no part of this module's weights.
        channels: of the images.
    """

    def __init__(self, frozen: ConditionedUNet, control: Control, channels: int) -> None:
        super().__init__()
        self.frozen, self.channels = frozen, channels
        self._control = (control,)  # a tuple, and so no sub-module

    def forward(
        self,
        images: Tensor,
        level: Tensor,
        vector: Tensor | None = None,
        told: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Tensor:
        """The prediction ``(B, channels, H, W)``.

        Args:
            images: noisy images, the hint, and a channel of 1 where it is told, ``(B, channels + hint + 1, H, W)``.
            level: see ``ConditionedUNet``, as what follows.
            vector: conditions.
            told: which of them count.
            tokens: of a text.
        """
        (control,), frozen = self._control, self.frozen
        unet: Any = frozen.unet
        noisy, hint, known = images[:, : self.channels], images[:, self.channels : -1], images[:, -1:]
        patches = pixel_unshuffle(noisy, frozen.patch)
        embedded = unet.time_embedding(unet.time_proj(level).to(patches.dtype))
        conditions = frozen.embedded(vector, told, tokens)
        if conditions is not None:
            embedded = embedded + conditions
        states, there = None, None
        if frozen.always is not None:
            assert tokens is not None
            states = torch.cat([frozen.always.expand(len(images), -1, -1), tokens[..., :-1]], dim=1)
            there = torch.cat([torch.ones_like(tokens[:, :1, -1]), tokens[..., -1]], dim=1) > 0  # (B, 1 + T)
        skips, middle = control(patches, pixel_unshuffle(hint, frozen.patch), embedded, states, there)
        share = known[:, :, :1, :1]  # of each image 1 or 0
        skips, middle = [share * skip for skip in skips], share * middle
        if states is not None:
            answer = unet(
                patches, level, states, class_labels=conditions, encoder_attention_mask=there,
                down_block_additional_residuals=tuple(skips), mid_block_additional_residual=middle,
            ).sample  # fmt: skip
        else:
            answer = _answer(unet, patches, embedded, skips, middle)
        return pixel_shuffle(answer, frozen.patch)


def encode(
    features: Tensor,
    down_blocks: Iterable[nn.Module],
    mid_block: nn.Module,
    embedded: Tensor,
    states: Tensor | None = None,
    there: Tensor | None = None,
) -> tuple[list[Tensor], Tensor]:
    """The skip connections, from fine to coarse, and the middle of a UNet of diffusers."""
    text = {}
    if states is not None:
        assert there is not None
        bias = ((1 - there.to(states.dtype)) * -10000.0)[:, None]  # as diffusers' own forward has it
        text = {"encoder_hidden_states": states, "encoder_attention_mask": bias}
    skips = [features]
    for block in down_blocks:
        across = text if getattr(block, "has_cross_attention", False) else {}
        features, found = block(hidden_states=features, temb=embedded, **across)
        skips += found
    across = text if getattr(mid_block, "has_cross_attention", False) else {}
    return skips, mid_block(features, embedded, **across)


def _answer(unet: Any, patches: Tensor, embedded: Tensor, skips: Sequence[Tensor], middle: Tensor) -> Tensor:
    """What an unconditional UNet says with something added to its skip connections: its forward has no place for it."""
    own, x = encode(unet.conv_in(patches), unet.down_blocks, unet.mid_block, embedded)
    x = x + middle
    both = [a + b for a, b in zip(own, skips, strict=True)]
    for block in unet.up_blocks:
        count = len(block.resnets)
        both, taken = both[:-count], tuple(both[-count:])
        x = block(x, taken, embedded)
    found: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
    return found
