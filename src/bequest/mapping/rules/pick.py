"""Rows that are known by name: classes by label, tokens by text, input columns by name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["Classes", "Columns", "Tokens"]


@dataclass(frozen=True)
class _Named(Rule):
    """Place j of the target takes place ``rows[j]`` of the source; -1: keeps its own value."""

    exact: ClassVar[bool] = True
    axis: int
    rows: tuple[int, ...]

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Copy the places that both know into the target's own values."""
        wanted = list(values.shape)
        wanted[self.axis] = len(self.rows)
        shapes = zip(wanted, current.shape, strict=True)
        alike = all(a == b for axis, (a, b) in enumerate(shapes) if axis != self.axis)
        # Where they differ, another rule by name comes after this one, along the other axis.
        result = current.to(values.dtype).clone() if alike else values.new_zeros(wanted)
        known = [place for place, row in enumerate(self.rows) if row >= 0]
        origin = torch.tensor([self.rows[place] for place in known], dtype=torch.long)
        at = torch.tensor(known, dtype=torch.long)
        return result.index_copy(self.axis, at, values.index_select(self.axis, origin))

    def filled(self, size: int) -> int:
        """The places that both know."""
        return sum(row >= 0 for row in self.rows)


@final
@dataclass(frozen=True)
class Classes(_Named):
    """Classes matched by label.

    Examples
    --------
    >>> Classes.between(("cat", "dog"), ("dog", "owl"))
    Classes(axis=0, rows=(1, -1))
    """

    name: ClassVar[str] = "classes by label"

    @classmethod
    def between(cls, source: Sequence[Hashable], target: Sequence[Hashable]) -> Self:
        """The same label, else the same word but for case."""
        return cls(0, _places(source, target, fold=True))


@final
@dataclass(frozen=True)
class Tokens(_Named):
    """A vocabulary matched by token; what the source does not have keeps its own."""

    name: ClassVar[str] = "vocabulary by token"
    citation: ClassVar[str] = (
        "Minixhofer, Paischer and Rekabsaz, WECHSEL, NAACL 2022 (there, new tokens are composed; "
        "here they keep their own start)"
    )

    @classmethod
    def between(cls, source: Mapping[str, int], target: Mapping[str, int], size: int) -> Self:
        """The same token; `size` rows, of which the vocabulary may fill fewer."""
        rows = [-1] * size
        for token, place in target.items():
            if 0 <= place < size and token in source:
                rows[place] = source[token]
        return cls(0, tuple(rows))


@final
@dataclass(frozen=True)
class Columns(_Named):
    """Input columns matched by name.

    Examples
    --------
    >>> Columns.between(("age", "sex"), ("sex", "age", "dose"))
    Columns(axis=1, rows=(1, 0, -1))
    """

    name: ClassVar[str] = "columns by name"
    citation: ClassVar[str] = "Zhu et al., XTab, ICML 2023"

    @classmethod
    def between(cls, source: Sequence[str], target: Sequence[str]) -> Self:
        """The same name."""
        return cls(1, _places(source, target, fold=False))


def _places(
    source: Sequence[Hashable], target: Sequence[Hashable], *, fold: bool
) -> tuple[int, ...]:
    places = {label: place for place, label in reversed(list(enumerate(source)))}
    words: dict[str, list[int]] = {}
    for place, label in enumerate(source):
        words.setdefault(str(label).strip().casefold(), []).append(place)
    rows = []
    for label in target:
        alike = words.get(str(label).strip().casefold(), []) if fold else []
        rows.append(places.get(label, alike[0] if len(alike) == 1 else -1))
    return tuple(rows)
