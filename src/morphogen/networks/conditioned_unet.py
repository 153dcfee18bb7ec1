"""diffusers' UNet behind space-to-depth, told the noise level and what the image is conditioned on.

The UNet is that of Ho, Jain, Abbeel 2020 (arXiv:2006.11239), appendix B, as diffusers has it. With ``patch`` p > 1 it
sees the image through space-to-depth, p x p pixels as channels (Shi et al. 2016, arXiv:1609.05158), and its answer goes
back the same way: the process is that of the paper, on every pixel; only the network works at 1 / p^2 of the places. On
two cores the time that buys 170 steps of a decent network at full resolution buys a good model with p = 4.

What the image is conditioned on is added to the embedding of the noise level, as a class is in diffusers' class
embedding (Dhariwal, Nichol 2021, arXiv:2105.05233); of a text, beside its pooled vector, what ``token_reader`` reads in
its tokens. The tokens are also seen by attention across, in the coarsest
level (Rombach et al. 2022, arXiv:2112.10752, section 3.3), beside one token that is always there: a softmax over no
token at all, where the text is left out, is not defined.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from morphogen.networks.condition_embedding import ConditionEmbedding
from morphogen.networks.token_reader import TokenReader

GROUPS = 16
"""Groups of the normalisation: channels are multiples of it."""

READER_WIDTH = 128
"""Of the layer that reads the tokens of a text."""


class ConditionedUNet(nn.Module):
    """From noisy images and their noise level to the prediction, of the shape of the images.

    Args:
        channels: of the images.
        widths: channels of the levels from fine to coarse, multiples of ``GROUPS``.
        layers: residual layers in each level.
        attention: attention in the coarsest level; where a text is read, it is there in any case.
        patch: side of the squares of pixels that become channels.
        conditions: length of each condition's part of the vector; none for an unconditional network.
        text: length of the state of a token of a text; 0 where there is none.
        beside: channels that are seen beside the image, and not predicted.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        *,
        layers: int = 1,
        attention: bool = True,
        patch: int = 1,
        conditions: Sequence[int] = (),
        text: int = 0,
        beside: int = 0,
    ) -> None:
        super().__init__()
        # Imported here because it takes seconds, and other methods don't need it.
        from diffusers import UNet2DConditionModel, UNet2DModel

        levels = len(widths)
        self.patch = patch
        self.tokens_in_front = 1  # the one that is always there
        shape: dict[str, Any] = {
            "in_channels": (channels + beside) * patch**2,
            "out_channels": channels * patch**2,
            "block_out_channels": tuple(widths),
            "layers_per_block": layers,
            "attention_head_dim": GROUPS,
            "norm_num_groups": GROUPS,
            "class_embed_type": "identity" if conditions else None,
        }
        coarsest = "CrossAttn" if text else "Attn" if attention else ""
        shape["down_block_types"] = ("DownBlock2D",) * (levels - 1) + (f"{coarsest}DownBlock2D",)
        shape["up_block_types"] = (f"{coarsest}UpBlock2D",) + ("UpBlock2D",) * (levels - 1)
        self.unet: nn.Module = (
            # Here the number of heads goes by the name of their width.
            UNet2DConditionModel(**shape | {"attention_head_dim": widths[-1] // GROUPS}, cross_attention_dim=text)
            if text
            else UNet2DModel(**shape, add_attention=attention)
        )
        self.always = nn.Parameter(torch.zeros(1, 1, text)) if text else None
        # diffusers' embedding of the noise level is four times as wide as the finest level.
        self.conditions = ConditionEmbedding(conditions, 4 * widths[0]) if conditions else None
        self.reader = TokenReader(text, READER_WIDTH, 4 * widths[0]) if text else None
        # Training starts from the best guess without a network, not from that guess plus noise.
        last = self.unet.get_submodule("conv_out")
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

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
            images: of about unit variance, ``(B, channels + beside, H, W)``.
            level: the noise level as a number of the order of 100, ``(B,)``: what the sinusoidal embedding resolves.
            vector: conditions ``(B, width)``, where the network takes any.
            told: which of them count, ``(B, conditions)``.
            tokens: of a text ``(B, T, text + 1)``, the last entry 1 for a token that counts, where it reads a text.
        """
        embedded = self.embedded(vector, told, tokens)
        patches = pixel_unshuffle(images, self.patch)  # (B, C p p, H / p, W / p)
        if self.always is None:
            return pixel_shuffle(self.unet(patches, level, class_labels=embedded).sample, self.patch)
        assert tokens is not None
        count = len(images)
        states = torch.cat([self.always.expand(count, -1, -1), tokens[..., :-1]], dim=1)
        there = torch.cat([torch.ones(count, 1, device=tokens.device), tokens[..., -1]], dim=1) > 0  # (B, 1 + T)
        said = self.unet(patches, level, states, class_labels=embedded, encoder_attention_mask=there).sample
        return pixel_shuffle(said, self.patch)

    def embedded(self, vector: Tensor | None, told: Tensor | None, tokens: Tensor | None) -> Tensor | None:
        """What is added to the embedding of the noise level, ``(B, width)``; the arguments are those of ``forward``."""
        if self.conditions is None:
            return None
        assert vector is not None
        assert told is not None
        embedding: Tensor = self.conditions(vector, told)
        if self.reader is not None:
            assert tokens is not None
            embedding = embedding + self.reader(tokens)
        return embedding
