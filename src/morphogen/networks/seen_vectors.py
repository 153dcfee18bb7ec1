"""The vectors that a CLIP has of training crops, and the scale on which a network takes such vectors.

Unit vectors of images of one kind lie in a narrow cone: their entries differ by little around a mean that says nothing.
A network takes

    z = (v - m) / s,    m the mean vector,  s^2 the variance around it, a mean over entries

so that its entries have mean 0 and, together, variance 1. One s for all entries, so that distances keep their ratios:
what CLIP finds alike stays so.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from morphogen.images.cropping import Batch

SEEN = 512
"""Training crops whose vectors are kept, as many as conditions are kept of, and the same crops."""

_TOGETHER = 64  # crops that are looked at at a time
_LEAST_DEVIATION = 1e-4


class SeenVectors(nn.Module):
    """Vectors of training crops; zeros until they are kept.

    Args:
        length: of a vector.
    """

    vectors: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(SEEN, length))

    @property
    def kept(self) -> bool:
        """Whether there are any."""
        return bool(self.vectors.any())

    @torch.no_grad()
    def keep(self, batches: Callable[[int, int], Batch]) -> None:
        """Keep those of the first crops of training, where that is not done yet.

        Args:
            batches: (first, count) to training crops with their vectors, by running number.
        """
        if self.kept:
            return
        rows = []
        for first in range(0, SEEN, _TOGETHER):
            vectors = batches(first, min(_TOGETHER, SEEN - first)).image_vector
            assert vectors is not None  # seen to by ``training.train``
            rows.append(vectors)
        self.vectors.copy_(torch.cat(rows))

    def inside(self, vectors: Tensor) -> Tensor:
        """Unit vectors ``(B, length)`` as a network takes them."""
        mean, deviation = self._scale()
        return (vectors - mean) / deviation

    def outside(self, inside: Tensor) -> Tensor:
        """The way back, not brought to unit length."""
        mean, deviation = self._scale()
        return inside * deviation + mean

    def within_the_ball(self, inside: Tensor) -> Tensor:
        """Means of unit vectors, which have a length of 1 at most, held to it; on the network's scale."""
        vectors = self.outside(inside)
        return self.inside(vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1))

    def _scale(self) -> tuple[Tensor, Tensor]:
        if not self.kept:  # asked for outside of a training
            length = self.vectors.shape[1]
            return self.vectors.new_zeros(length), self.vectors.new_tensor(1 / math.sqrt(length))
        mean = self.vectors.mean(0)
        return mean, (self.vectors - mean).square().mean().sqrt().clamp(min=_LEAST_DEVIATION)
