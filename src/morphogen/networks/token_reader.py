"""What a text says as a whole, read from its tokens by a layer that learns with the network.

An encoder of sentences puts texts that differ in a number alone next to each other, and the mean over its states
hardly says which number stands where. Here a learnt query takes out of the states what it needs, in one layer of a
transformer (Vaswani et al. 2017, arXiv:1706.03762; a query that pools, as the classification token of Devlin et al.
2018, arXiv:1810.04805, does).
"""

import math

import torch
from torch import Tensor, nn


class TokenReader(nn.Module):
    """Tokens of a frozen encoder to one vector a text.

    Args:
        text: length of the state of a token.
        width: of the layer, a multiple of 4.
        out: length of the vector.
    """

    def __init__(self, text: int, width: int, out: int) -> None:
        super().__init__()
        self.into = nn.Sequential(nn.LayerNorm(text), nn.Linear(text, width))
        self.query = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.among = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(B, T, text + 1)``, the last entry 1 for one that counts, to ``(B, out)``."""
        states, there = self.into(tokens[..., :-1]), tokens[..., -1] > 0
        query = self.query.expand(len(states), 1, -1)
        beyond = torch.cat([torch.zeros_like(there[:, :1]), ~there], dim=1)  # (B, 1 + T), true where nothing is
        seen = self.among(torch.cat([query, states], dim=1), src_key_padding_mask=beyond)
        vector: Tensor = self.out(seen[:, 0])
        return vector
