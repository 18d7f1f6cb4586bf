"""Rows interleaved group by group: each head's query, key and value together in one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from bequest.mapping.rules.layout import split
from bequest.mapping.rules.rule import Rule

__all__ = ["GroupInterleaved"]


@final
@dataclass(frozen=True)
class GroupInterleaved(Rule):
    """Some rows of every group of a fused tensor into a tensor of their own; or back.

    With eight heads and q, k, v of four rows each, ``GroupInterleaved(0, 8, 4, 4, 12, back=False)``
    takes all heads' keys. Grouped queries have more rows of q than of k in a group.

    Examples
    --------
    >>> import torch
    >>> GroupInterleaved(0, 2, 1, 1, 3, back=False).apply(torch.arange(6), torch.zeros(2))
    tensor([1, 4])
    >>> GroupInterleaved(0, 2, 1, 1, 3, back=True).apply(torch.tensor([1, 4]), torch.zeros(6))
    tensor([0., 1., 0., 0., 4., 0.])
    """

    name: ClassVar[str] = "heads woven"
    citation: ClassVar[str] = "Black et al., GPT-NeoX-20B, 2022 (its layout)"
    exact: ClassVar[bool] = True
    axis: int
    groups: int
    first: int  # the first of a group's rows that are meant
    rows: int  # so many of each group
    of: int  # rows of a group in the fused tensor
    back: bool  # into the fused tensor

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Pick the rows, or lay them among the others."""
        axis = self.axis
        if not self.back:
            groups = split(values, axis, (self.groups, -1))
            return groups.narrow(axis + 1, self.first, self.rows).flatten(axis, axis + 1)
        groups = split(current, axis, (self.groups, -1)).clone()
        groups.narrow(axis + 1, self.first, self.rows).copy_(split(values, axis, (self.groups, -1)))
        return groups.flatten(axis, axis + 1)

    def filled(self, size: int) -> int:
        """The others of a fused tensor come from elsewhere."""
        return size * self.rows // self.of if self.back else size
