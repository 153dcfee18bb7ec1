"""Attention that can be watched and changed: the weights softmax(q k / sqrt(d)) before they are used.

In attention across, row i of the weights says how place i of the image shares its attention among the tokens of a text:
where a word acts (Hertz et al. 2022, arXiv:2208.01626, section 3.1; Tang et al. 2022, arXiv:2210.04885). In attention
of the image to itself it says which places belong together. A ``Control`` sees the weights of every attention of a
network as they are made, and says which are used instead.

Both of our kinds of attention take one: diffusers' by a processor that computes what diffusers computes, weights and
all (the fused kernel has no weights to show), and that of our transformer by its attribute ``control``. Outside of
``controlled`` a network is what it was, fused kernel included.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

Control = Callable[[Tensor, bool], Tensor]
"""(weights ``(B, heads, places, tokens)``, whether they are to a text) -> the weights to be used, of the same shape."""


@runtime_checkable
class Controllable(Protocol):
    """An attention of ours.

    Attributes:
        control: sees its weights; None where nobody looks.
        is_cross_attention: whether it looks at other tokens than those of the image.
    """

    control: Control | None
    is_cross_attention: bool


@runtime_checkable
class ReadsTokens(Protocol):
    """A network that may read a text by attention across.

    Attributes:
        tokens_in_front: tokens of its own that stand before those of the text.
    """

    tokens_in_front: int


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax(q k / sqrt(d)), ``(B, heads, N, M)``.

    Args:
        query: ``(B, heads, N, d)``.
        key: ``(B, heads, M, d)``.
        mask: to be broadcast to the weights: true where a token counts, or numbers that are added before the softmax.
    """
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights: Tensor = scores.softmax(-1)
    return weights


def looks_across(network: nn.Module) -> bool:
    """Whether a network reads its text by attention across, so that there is anything to watch."""
    return isinstance(network, ReadsTokens) and any(
        getattr(module, "is_cross_attention", False) for module in network.modules()
    )


@contextmanager
def controlled(network: nn.Module, control: Control) -> Iterator[None]:
    """Let a control see, and change, all attention of a network within this block.

    Raises:
        ValueError: the network has no attention.
    """
    ours = [module for module in network.modules() if isinstance(module, Controllable)]
    theirs: list[Any] = [module for module in network.modules() if _is_of_diffusers(module)]
    if not ours and not theirs:
        raise ValueError("a network without attention has nothing to be controlled")
    before = [module.processor for module in theirs]
    try:
        for own in ours:
            own.control = control
        for other in theirs:
            other.set_processor(_Controlled(control))
        yield
    finally:
        for own in ours:
            own.control = None
        for other, processor in zip(theirs, before, strict=True):
            other.set_processor(processor)


class Watch:
    """A control that changes nothing and adds up how much attention each token gets at each place.

    Args:
        count: so many images of the batch are watched, the first ones; where guidance doubles a batch, those that are
            told their text.

    Attributes:
        calls: how many times an attention across was seen.
    """

    def __init__(self, count: int) -> None:
        self.count, self.calls = count, 0
        self._sums: dict[int, Tensor] = {}  # by the number of places: coarse levels have fewer
        self._seen: dict[int, int] = {}

    def __call__(self, weights: Tensor, across: bool) -> Tensor:
        """Take note of weights to a text."""
        if across:
            here = weights[: self.count].detach().float().mean(1)  # (B, N, M)
            places = here.shape[1]
            self._sums[places] = self._sums[places] + here if places in self._sums else here
            self._seen[places] = self._seen.get(places, 0) + 1
            self.calls += 1
        return weights

    def shares(self, size: tuple[int, int]) -> Tensor:
        """The mean over calls, layers and heads, ``(B, tokens, *size)``; it adds up to 1 at each place.

        Args:
            size: height and width of what the network saw; the places of the network are a grid of the same shape.
        """
        if not self.calls:
            raise ValueError("no attention to a text was seen")
        total: Tensor | float = 0.0
        for places, summed in self._sums.items():
            rows, columns = grid_of(places, size)
            coarse = summed.transpose(1, 2).reshape(len(summed), -1, rows, columns)  # (B, M, rows, columns)
            total = total + interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        return cast(Tensor, total / self.calls)


def grid_of(places: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of so many places that cover an image of this size evenly.

    Raises:
        ValueError: there is no such grid.
    """
    step = round((size[0] * size[1] / places) ** 0.5)
    rows, columns = size[0] // step, size[1] // step
    if rows * columns != places:
        raise ValueError(f"{places} places are no grid over {size[0]} x {size[1]}")
    return rows, columns


def _is_of_diffusers(module: nn.Module) -> bool:
    return hasattr(module, "set_processor") and hasattr(module, "to_q")


class _Controlled:
    """Attention of diffusers' transformer blocks, as its own processor computes it, through a control."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> Tensor:
        """``hidden_states`` (B, N, W) to ``encoder_hidden_states`` (B, M, W'), or to themselves."""
        others = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        batch, tokens = others.shape[:2]

        def split(x: Tensor) -> Tensor:
            return x.view(batch, x.shape[1], attn.heads, -1).transpose(1, 2)

        query, key, value = split(attn.to_q(hidden_states)), split(attn.to_k(others)), split(attn.to_v(others))
        mask = attention_mask
        if mask is not None:
            mask = attn.prepare_attention_mask(mask, tokens, batch).view(batch, attn.heads, -1, tokens)
        weights = self.control(attention_weights(query, key, mask), bool(attn.is_cross_attention))
        found = (weights @ value).transpose(1, 2).flatten(2)
        out: Tensor = attn.to_out[1](attn.to_out[0](found))
        return out
