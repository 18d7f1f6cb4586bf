"""One entry of a map: what fills one tensor of the target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, final

from bequest.errors import MapError
from bequest.mapping.rules import Rule, rule_from_dict
from bequest.mapping.tracing.ops import Shape, TensorSlice

__all__ = ["Amounts", "Entry", "Move", "move_fits"]


@final
@dataclass(frozen=True)
class Move:
    """Some values of a source's tensor into a target's."""

    source: str  # the source's tensor; empty where the rules make the values
    taken: TensorSlice  # which part of it
    put: TensorSlice  # where it goes
    rules: tuple[Rule, ...] = ()  # applied in order, each along one axis
    added: bool = False  # to what is there already

    @property
    def filled(self) -> int:
        """How many values of the target it fills."""
        shares = [
            rule.filled(self.put.shape[rule.axis]) / max(1, self.put.shape[rule.axis])
            for rule in self.rules
            if self.put.shape
        ]
        return round(math.prod(self.put.shape) * math.prod(shares))

    @property
    def exact(self) -> bool:
        """Whether they are the source's values as they were."""
        return all(rule.exact for rule in self.rules) and not self.added

    @classmethod
    def from_dict(cls, target: str, values: Mapping[str, Any]) -> Self:
        """What `Entry.to_dict` described."""
        return cls(
            values["source"],
            _piece(values["source"], values["taken"]),
            _piece(target, values["put"]),
            tuple(map(rule_from_dict, values["rules"])),
            bool(values["added"]),
        )


@final
@dataclass(frozen=True)
class Amounts:
    """How many parameters of a target come from where; constants are not counted."""

    copied: int
    reshaped: int
    neutral: int
    initialised: int

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """What these tensors come to."""
        counted = [entry for entry in entries if entry.role != "constant"]
        return cls(*(sum(getattr(e, amount.name) for e in counted) for amount in fields(cls)))

    @property
    def total(self) -> int:
        """All of them."""
        return self.copied + self.reshaped + self.neutral + self.initialised

    @property
    def shares(self) -> tuple[tuple[str, int, float, float], ...]:
        """Name, amount, start and width in per cent, of those that are not zero."""
        found, start = [], 0.0
        for name, amount in asdict(self).items():
            width = 100.0 * amount / self.total if self.total else 0.0
            if amount:
                found.append((name, amount, round(start, 3), round(width, 3)))
            start += width
        return tuple(found)


@final
@dataclass(frozen=True)
class Entry:
    """Where the values of one tensor of the target come from.

    Parameters
    ----------
    target : str
        Name in the target's state dict.
    shape : tuple of int
    role : str
        What the tensor is in its layer: weight, bias, mean, variance, constant.
    axes : tuple of str
        What each axis counts.
    moves : tuple of Move
        Empty: the target's own values stay.
    rule : str
        In words.
    confidence : float
        From 0 to 1; 1 for what needs none.
    problem : str
        Why it cannot be applied, as one line; empty where it can.
    """

    target: str
    shape: Shape
    role: str
    axes: tuple[str, ...]
    moves: tuple[Move, ...]
    rule: str
    confidence: float
    problem: str = ""

    @property
    def size(self) -> int:
        """How many values the tensor has."""
        return math.prod(self.shape)

    @property
    def sources(self) -> tuple[str, ...]:
        """The source's tensors, each once."""
        return tuple(dict.fromkeys(move.source for move in self.moves if move.source))

    @property
    def copied(self) -> int:
        """Values that are the source's as they were, perhaps at another place."""
        return sum(move.filled for move in self.moves if move.source and move.exact)

    @property
    def reshaped(self) -> int:
        """Values computed from the source's."""
        return sum(
            move.filled for move in self.moves if move.source and not move.exact and not move.added
        )

    @property
    def neutral(self) -> int:
        """Values set so that they change nothing: zeros, ones, an identity."""
        return sum(move.filled for move in self.moves if not move.source)

    @property
    def initialised(self) -> int:
        """Values that stay as the target has them; a constant's are not counted."""
        if self.role == "constant":
            return 0
        return self.size - self.copied - self.reshaped - self.neutral

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return values | {amount.name: getattr(self, amount.name) for amount in fields(Amounts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` described."""
        target = values["target"]
        return cls(
            target,
            tuple(values["shape"]),
            values["role"],
            tuple(values["axes"]),
            tuple(Move.from_dict(target, move) for move in values["moves"]),
            values["rule"],
            float(values["confidence"]),
            values["problem"],
        )


def move_fits(move: Move, there: Shape) -> None:
    """Raise `MapError` unless the part that a move takes lies inside the source's tensor."""
    if not move.source:
        return
    index = move.taken.index
    if index is not None:
        if not there or not 0 <= index < there[0]:
            raise MapError(f"the map takes matrix {index} of {move.source!r}, which is {there}.")
        there = there[1:]
    turned = (there[1], there[0], *there[2:]) if move.taken.transposed else there
    whole = math.prod(there) == math.prod(move.taken.shape)
    rows = (
        turned[1:] == move.taken.shape[1:]
        and bool(turned)
        and move.taken.start >= 0
        and move.taken.start + move.taken.shape[0] <= turned[0]
    )
    if not ((whole and turned == move.taken.shape) or rows or (whole and not move.taken.start)):
        raise MapError(f"the map takes {move.taken.shape} from {move.source!r}, which is {there}.")


def _plain(value: Any) -> Any:
    """A field as JSON has it; the tensor of a piece is that of its move."""
    if isinstance(value, Rule):
        return value.to_dict()
    if isinstance(value, Move | TensorSlice):
        values = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        left_out = ("tensor", "index") if values.get("index") is None else ("tensor",)
        return {name: kept for name, kept in values.items() if name not in left_out}
    return [*map(_plain, value)] if isinstance(value, tuple) else value


def _piece(tensor: str, values: Mapping[str, Any]) -> TensorSlice:
    shape = tuple(int(size) for size in values["shape"])
    index = None if values.get("index") is None else int(values["index"])
    return TensorSlice(tensor, shape, int(values["start"]), bool(values["transposed"]), index)
