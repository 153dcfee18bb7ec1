"""Diffusion transformer. Peebles, Xie 2022 (arXiv:2212.09748).

Squares of p x p pixels become tokens; N blocks of attention and a perceptron; each token becomes its square of the
prediction. The noise level and what the image is conditioned on come in by one of the paper's ways (section 3.2):

    adaln_zero       scale and shift after each normalisation, and a gate on each residual, are linear functions of the
                     embedding; all start at 0, so that each block starts as the identity
    cross_attention  one more attention in each block, to the embeddings and to the tokens of a text
    in_context       the same as further tokens of the sequence, which are dropped at the end

What it shares with other denoising methods, noise levels, targets, solvers, guidance, is in ``denoising``.

Deviations from the paper: positions are sines and cosines of row and column (as there), for any height and width; the
prediction starts at 0 under every way of conditioning, so that training starts at the best guess without a network; no
learnt variance; on pixels, where the paper works in a latent (``latent_diffusion`` has one).
"""

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pixel_shuffle, pixel_unshuffle, scaled_dot_product_attention, silu

from morphogen.methods.denoising import CPU_PATCH, DenoisingMethod, DenoisingSettings, Given
from morphogen.methods.method import ImageShape, Sizes, Task
from morphogen.networks.attention_control import Control, attention_weights
from morphogen.networks.condition_embedding import ConditionEmbedding

Conditioning = Literal["adaln_zero", "cross_attention", "in_context"]

_LONGEST = 10_000.0  # of the wavelengths of positions and noise levels, as in Vaswani et al. 2017


class Settings(DenoisingSettings):
    """Settings of the diffusion transformer."""

    patch: int | None = Field(
        default=None, ge=1, description="side of the square of pixels of a token; by default 4 on a CPU, 2 on a GPU"
    )
    width: int = Field(default=256, ge=8, description="length of a token")
    depth: int = Field(default=6, ge=1, description="blocks")
    heads: int = Field(default=4, ge=1, description="attention heads")
    conditioning: Conditioning = Field(
        default="adaln_zero",
        description="how noise level and conditions come in: adaln_zero, cross_attention, in_context",
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="at its highest; it falls as a cosine")

    @model_validator(mode="after")
    def _width_fits_heads_and_positions(self) -> "Settings":
        if self.width % self.heads or self.width % 4:
            raise ValueError("a width that is a multiple of heads and of 4")
        return self


class Attention(nn.Module):
    """Attention with several heads, to the tokens themselves or to others."""

    def __init__(self, width: int, heads: int, *, across: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.control: Control | None = None  # see ``networks.attention_control``
        self.is_cross_attention = across
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, others: Tensor, there: Tensor | None = None) -> Tensor:
        """``x`` (B, N, W) to ``others`` (B, M, W), of which only those count that are ``there`` (B, M)."""
        query = self._split(self.query(x))  # (B, heads, N, W / heads)
        key, value = (self._split(part) for part in self.pair(others).chunk(2, dim=-1))
        mask = None if there is None else there[:, None, None, :]
        if self.control is None:
            found = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            found = self.control(attention_weights(query, key, mask), self.is_cross_attention) @ value
        out: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention and perceptron, each a residual."""

    def __init__(self, width: int, heads: int, conditioning: Conditioning) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.across = Attention(width, heads, across=True) if conditioning == "cross_attention" else None
        self.modulation = nn.Linear(width, 6 * width) if conditioning == "adaln_zero" else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor, others: Tensor, there: Tensor) -> Tensor:
        if self.modulation is not None:
            said = self.modulation(silu(embedding))[:, None]  # (B, 1, 6 W)
            shift, scale, gate, shift_2, scale_2, gate_2 = said.chunk(6, dim=-1)
            seen = torch.addcmul(shift, _normal(x), 1 + scale)
            x = torch.addcmul(x, gate, self.attention(seen, seen))
            result: Tensor = torch.addcmul(x, gate_2, self.perceptron(torch.addcmul(shift_2, _normal(x), 1 + scale_2)))
            return result
        seen = _normal(x)
        known = there if self.across is None else None  # in context, some of the tokens are not there
        x = x + self.attention(seen, seen, known)
        if self.across is not None:
            x = x + self.across(_normal(x), others, there)
        return torch.add(x, self.perceptron(_normal(x)))


class Transformer(nn.Module):
    """From noisy images and their noise level to the prediction, of the shape of the images."""

    def __init__(self, shape: ImageShape, settings: Settings, task: Task, beside: int) -> None:
        super().__init__()
        width = settings.width
        self.patch, self.conditioning = settings.patch or CPU_PATCH, settings.conditioning
        pixels = shape.channels * self.patch**2
        self.tokens = nn.Linear(pixels + beside * self.patch**2, width)
        self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        conditions = task.conditions
        self.conditions = ConditionEmbedding(task.widths, width) if task.widths else None
        reads = conditions.text is not None and settings.conditioning != "adaln_zero"
        self.tokens_in_front = 1 + bool(task.widths)  # of the noise level, and of all conditions together
        self.text = nn.Linear(conditions.text.width, width) if conditions.text is not None and reads else None
        self.blocks = nn.ModuleList(Block(width, settings.heads, settings.conditioning) for _ in range(settings.depth))
        self.last = nn.Linear(width, 2 * width) if settings.conditioning == "adaln_zero" else None
        self.out = nn.Linear(width, pixels)
        for layer in (self.last, self.out):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor, level: Tensor, given: Given) -> Tensor:
        """The prediction ``(B, C, H, W)`` for images of about unit variance, at ``level`` ``(B,)``."""
        rows, columns = images.shape[2] // self.patch, images.shape[3] // self.patch
        x = self.tokens(pixel_unshuffle(images, self.patch).flatten(2).transpose(1, 2))  # (B, N, W)
        x = x.float() + positions(rows, columns, x.shape[2], x.device)
        embedding, others, there = self._told(level, given)
        if self.conditioning == "in_context":
            there = torch.cat([torch.ones(x.shape[:2], dtype=torch.bool, device=x.device), there], dim=1)
            x = torch.cat([x, others], dim=1)
        for block in self.blocks:
            x = block(x, embedding, others, there)
        x = _normal(x[:, : rows * columns])
        if self.last is not None:
            shift, scale = self.last(silu(embedding))[:, None].chunk(2, dim=-1)
            x = torch.addcmul(shift, x, 1 + scale)
        said: Tensor = self.out(x).transpose(1, 2).reshape(len(x), -1, rows, columns)  # (B, C p p, rows, columns)
        return pixel_shuffle(said, self.patch)

    def _told(self, level: Tensor, given: Given) -> tuple[Tensor, Tensor, Tensor]:
        """What is told beside the image: as one vector (B, W), as tokens (B, M, W), and which of these count (B, M)."""
        each = [self.level(waves(level, self.tokens.out_features))]
        if self.conditions is not None:
            assert given.vector is not None
            assert given.told is not None
            each.append(self.conditions(given.vector, given.told))
        others = torch.stack(each, dim=1)
        there = torch.ones(others.shape[:2], dtype=torch.bool, device=others.device)
        if self.text is not None:
            assert given.tokens is not None
            others = torch.cat([others, self.text(given.tokens[..., :-1])], dim=1)
            there = torch.cat([there, given.tokens[..., -1] > 0], dim=1)
        return sum(each, torch.zeros_like(each[0])), others, there


class Method(DenoisingMethod):
    """Denoising by a transformer."""

    title = "DiT"
    settings: Settings

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.network = Transformer(task.shape, settings, task, self.beside)

    @classmethod
    def suited(cls, settings: Settings, *, on_gpu: bool) -> Settings:
        """Large squares are for those who cannot afford many tokens."""
        if settings.patch is not None:
            return settings
        return settings.model_copy(update={"patch": 2 if on_gpu else CPU_PATCH})

    @classmethod
    def sizes(cls, settings: Settings) -> Sizes:
        """Squares must come out whole, at least two each way."""
        patch = settings.patch or CPU_PATCH
        return Sizes(multiple_of=patch, at_least=2 * patch)

    def predict(self, x: Tensor, level: Tensor, given: Given) -> Tensor:
        """The transformer's answer."""
        said: Tensor = self.network(given.beside(x), level, given)
        return said


def waves(numbers: Tensor, width: int) -> Tensor:
    """Sines and cosines of numbers ``(...)`` at wavelengths from 2 pi to 2 pi times 10 000: ``(..., width)``."""
    frequencies = torch.exp(torch.arange(width // 2, device=numbers.device) * (-2 * math.log(_LONGEST) / width))
    angles = numbers.float()[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def positions(rows: int, columns: int, width: int, device: torch.device | None = None) -> Tensor:
    """A code for each place of a grid, half of it for the row, half for the column: ``(rows * columns, width)``."""
    down, across = (waves(torch.arange(n, device=device), width // 2) for n in (rows, columns))
    grid = (down[:, None].expand(-1, columns, -1), across[None].expand(rows, -1, -1))
    return torch.cat(grid, dim=2).flatten(0, 1)


def _normal(x: Tensor) -> Tensor:
    """Each token at mean 0 and variance 1; what scales it is the conditioning."""
    return layer_norm(x, x.shape[-1:], eps=1e-6)
