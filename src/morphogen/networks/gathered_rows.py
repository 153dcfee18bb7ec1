"""Rows of the whole batch on every process, through which gradients flow back.

A contrastive loss holds each image against all captions of the batch, and processes have only their part of it. With

    forward    each process p has rows e_p and is given e = (e_1, ..., e_P), in the order of the processes
    backward   the gradient of e_p is the sum over processes q of what the loss of q says of its copy of e_p

the mean over processes of their losses, and of the gradients of their parameters, are those that one process would find
with the whole batch. Price: one message more each way, of the size of the vectors, and the towers must have run on all
processes before any loss is known.
"""

from typing import Any

import torch
from torch import Tensor, distributed


def gathered_rows(rows: Tensor) -> Tensor:
    """Rows of all processes ``(P b, ...)`` in their order, from those of this one ``(b, ...)``."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return rows
    gathered: Tensor = _Gathered.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        first = distributed.get_rank() * int(ctx.count)
        return summed[first : first + ctx.count]
