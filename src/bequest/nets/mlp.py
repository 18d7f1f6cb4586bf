"""A perceptron for vectors and tables.

N samples, D numbers, K categories, E numbers per embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

__all__ = ["MLP"]


@final
class MLP(nn.Module):
    """Layers with ReLU over numbers and embedded categories.

    Parameters
    ----------
    numbers : int
        D: the first D columns of the input are numbers.
    outputs : int
        Width of the head.
    categories : sequence of int
        Levels of each of the K code columns that follow the numbers.
    widths : sequence of int
        Units per hidden layer.
    embedding : int
        E: above zero, each number is also passed through E own linear units with ReLU, the "LR"
        embedding.
    dropout : float
        Share of units dropped in training, 0 to 1.

    References
    ----------
    Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, NeurIPS 2022.

    Examples
    --------
    >>> net = MLP(numbers=2, outputs=3, categories=(5,), widths=(8,), embedding=4)
    >>> net(torch.zeros(7, 3)).shape
    torch.Size([7, 3])
    """

    def __init__(
        self,
        numbers: int,
        outputs: int,
        categories: Sequence[int] = (),
        widths: Sequence[int] = (128, 128),
        embedding: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.numbers = numbers
        self.tables = nn.ModuleList(
            nn.Embedding(levels, _embedding_width(levels)) for levels in categories
        )
        self.scales = nn.Parameter(torch.randn(numbers, embedding)) if embedding else None
        self.shifts = nn.Parameter(torch.randn(numbers, embedding)) if embedding else None
        width = numbers * (1 + embedding) + sum(map(_embedding_width, categories))
        layers: list[nn.Module] = []
        for units in widths:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits or values, shape (N, outputs), of inputs (N, D + K)."""
        numbers = x[:, : self.numbers]
        parts = [numbers]
        if self.scales is not None and self.shifts is not None:
            lifted = torch.relu(numbers.unsqueeze(2) * self.scales + self.shifts)
            parts.append(lifted.flatten(1))
        for place, table in enumerate(self.tables, start=self.numbers):
            parts.append(table(x[:, place].long()))
        result: Tensor = self.head(self.body(torch.cat(parts, dim=1)))
        return result


def _embedding_width(levels: int) -> int:
    return min(16, 1 + levels // 2)
