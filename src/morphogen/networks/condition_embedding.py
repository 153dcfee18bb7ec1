"""What an image is conditioned on, as one vector that a network takes, with any of the conditions left out.

Classifier-free guidance (Ho, Salimans 2022, arXiv:2207.12598) needs one network that can be told a condition or not.
Not told is not the same as a condition of 0: a flag for each condition says whether it was told.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConditionEmbedding(nn.Module):
    """A perceptron with one hidden layer on the vector of conditions and their flags.

    Args:
        widths: length of each condition's part of the vector.
        out: length of what comes out.
    """

    parts: Tensor

    def __init__(self, widths: Sequence[int], out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(sum(widths) + len(widths), out), nn.SiLU(), nn.Linear(out, out))
        owner = [index for index, width in enumerate(widths) for _ in range(width)]
        self.register_buffer("parts", torch.tensor(owner, dtype=torch.long), persistent=False)

    def forward(self, vector: Tensor, told: Tensor) -> Tensor:
        """An embedding ``(B, out)``.

        Args:
            vector: conditions ``(B, width)``.
            told: for each condition 1, or 0 where it is left out, ``(B, conditions)``.
        """
        heard = vector * told[:, self.parts]  # (B, width)
        embedding: Tensor = self.layers(torch.cat([heard, told], dim=1))
        return embedding
