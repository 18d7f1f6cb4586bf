"""The plan that says where each parameter of the target comes from; it holds no weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self, final

from torch import Tensor, nn

from bequest.errors import MapError
from bequest.mapping.plans.entry import Amounts, Entry, move_fits
from bequest.mapping.plans.materialise import loaded, tensors_of
from bequest.mapping.plans.table import table
from bequest.mapping.plans.verify import largest_difference
from bequest.mapping.sources.source import Source

__all__ = ["ParameterMap"]

FORMAT = 1
UNEXPECTED = 0.5  # the highest confidence of an entry that `map_parameters` would not make


@final
@dataclass(frozen=True, repr=False)
class ParameterMap:
    """Which parameters of a source go where in a target, by which rule, with what confidence.

    Made by `map_parameters`; prints as a table.

    Parameters
    ----------
    entries : tuple of Entry
        One for every tensor of the target, in its order.
    unused : tuple of str
        The source's tensors that go nowhere.
    notes : tuple of str
        How the two were traced, and what a person should know.
    body : frozenset of str
        The target's tensors but those of its head.
    source, target : Source or module, optional
        What the map was made between: needed to apply it, not stored.
    opinion : tuple of Entry
        What `map_parameters` itself plans for the two; entries that differ are discrepancies.
    contradiction : str
        Why the two, which ought to be one function, are not: as one line; empty where all is well.

    Examples
    --------
    >>> import bequest as bq
    >>> one, other = nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> plan = bq.map_parameters(one, other)
    >>> plan.coverage, plan.entries[0].sources
    (1.0, ('0.weight',))
    """

    entries: tuple[Entry, ...]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    body: frozenset[str] = frozenset()
    source: Source | None = field(default=None, compare=False)
    target: nn.Module | None = field(default=None, compare=False)
    expected: tuple[Entry, ...] = field(default=(), compare=False)
    contradiction: str = field(default="", compare=False)

    def __str__(self) -> str:
        return table(self)

    def __repr__(self) -> str:
        return (
            f"ParameterMap({len(self.entries)} tensors, {self.coverage:.1%} from the source, "
            f"confidence {self.confidence:.2f})"
        )

    @property
    def coverage(self) -> float:
        """Share of the target's parameters that the map fills, 0 to 1."""
        return _share(self.entries, "copied", "reshaped", "neutral")

    @property
    def body_coverage(self) -> float:
        """The same of the body: all but the head, 0 to 1."""
        return _share(self._of_body(), "copied", "reshaped", "neutral")

    @property
    def body_from_source(self) -> float:
        """Share of the body's parameters that come from the source, 0 to 1.

        Not counted are those that are filled so as to change nothing: a bias that the source does
        not have, a block that it has once less.
        """
        return _share(self._of_body(), "copied", "reshaped")

    @property
    def from_source(self) -> float:
        """The same of all parameters, the head's too, 0 to 1."""
        return _share(self.entries, "copied", "reshaped")

    def _of_body(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.target in self.body]

    @property
    def confidence(self) -> float:
        """The lowest of those of the filled entries, 0 where there are none, 0 to 1.

        An entry that `map_parameters` would not make counts one half at most.
        """
        unexpected = self._discrepancies()
        found = [
            min(UNEXPECTED, entry.confidence) if entry.target in unexpected else entry.confidence
            for entry in self.entries
            if entry.moves or entry.target in unexpected
        ]
        return min(found, default=0.0)

    @property
    def mean_confidence(self) -> float:
        """Mean over the parameters that are filled, as in `confidence`; 0 where none is."""
        unexpected = self._discrepancies()
        filled = [entry for entry in self.entries if entry.moves and entry.role != "constant"]
        total = sum(entry.size for entry in filled)
        confidence = sum(
            entry.size * min(entry.confidence, UNEXPECTED if entry.target in unexpected else 1.0)
            for entry in filled
        )
        return confidence / total if total else 0.0

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it cannot be applied, a line each; empty where it can."""
        return tuple(entry.problem for entry in self.entries if entry.problem)

    @property
    def discrepancies(self) -> tuple[str, ...]:
        """Entries that `map_parameters` would make otherwise, a line each.

        A map fresh from `map_parameters` has none; one that was edited, or read from a file and
        bound to two other networks, says here what speaks against it.
        """
        contradiction = (self.contradiction,) if self.contradiction else ()
        return (*contradiction, *self._discrepancies().values())

    def _discrepancies(self) -> dict[str, str]:
        if not self.expected or self.expected is self.entries:
            return {}
        expected = {entry.target: entry for entry in self.expected}
        entries = {entry.target: entry for entry in self.entries}
        found = {}
        for name, entry in entries.items():
            other = expected.get(name)
            if other is None:
                found[name] = f"the target has no tensor {name!r}."
            elif other.moves != entry.moves:
                found[name] = f"{name} is {_said(entry)} here, and should be {_said(other)}."
        return found | {n: f"{n} is missing in the map." for n in expected if n not in entries}

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain values; the networks are not in it."""
        return {
            "format": FORMAT,
            "entries": [entry.to_dict() for entry in self.entries],
            "unused": list(self.unused),
            "notes": list(self.notes),
            "body": sorted(self.body),
            "coverage": self.coverage,
            "confidence": self.confidence,
            "discrepancies": list(self.discrepancies),
        }

    def to_json(self) -> str:
        """The plan as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that `to_json` wrote; `map_parameters(..., plan=it)` binds it to two networks.

        Raises
        ------
        MapError
            The text is no map, or one of a newer version.
        """
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise MapError(
                    f"the map has format {values['format']!r}, this version reads {FORMAT}."
                )
            return cls(
                tuple(map(Entry.from_dict, values["entries"])),
                tuple(values["unused"]),
                tuple(values["notes"]),
                frozenset(values["body"]),
            )
        except json.JSONDecodeError as error:
            raise MapError(f"this is no parameter map, nor JSON: {error}.") from error
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, MapError):
                raise
            raise MapError(f"this is no parameter map: {error!r}.") from error

    def diff(self, other: ParameterMap) -> str:
        """What another map does otherwise, a line a tensor; empty where nothing.

        Examples
        --------
        >>> import bequest as bq
        >>> net = nn.Sequential(nn.Linear(4, 3))
        >>> plan = bq.map_parameters(net, net)
        >>> plan.diff(bq.map_parameters(net, net, skip="0.bias"))
        '0.bias: copy of 0.bias → initialised (skipped)'
        """
        second = {entry.target: entry for entry in other.entries}
        first = {entry.target: entry for entry in self.entries}
        lines = []
        for name in dict.fromkeys([*first, *second]):
            if name not in second or name not in first:
                lines.append(f"{name}: only in the {'first' if name in first else 'second'}")
            elif first[name].moves != second[name].moves or first[name].rule != second[name].rule:
                lines.append(f"{name}: {_said(first[name])} → {_said(second[name])}")
        return "\n".join(lines)

    def state_dict(self) -> dict[str, Tensor]:
        """The target's tensors as the map makes them; neither network is touched.

        Returns
        -------
        dict of str to Tensor
            In the target's order and dtypes; names that share a tensor share it here.

        Raises
        ------
        MapError
            The map has problems, is not bound to its networks, or a value is not finite.
        """
        source, target = self._ready()
        return tensors_of(self.entries, source, target)

    def apply(
        self, *, force: bool = False, min_coverage: float = 0.5, min_confidence: float = 0.5
    ) -> nn.Module:
        """A copy of the target with the parameters in place.

        Parameters
        ----------
        force : bool
            Apply the map as it is, in spite of its `discrepancies` and of what it leaves out.
        min_coverage : float
            Least share of the body's parameters that the map fills, 0 to 1.
        min_confidence : float
            Least mean confidence of the parameters that it fills, 0 to 1.

        Returns
        -------
        torch.nn.Module
            Of the target's class, dtype and device.

        Raises
        ------
        MapError
            As `state_dict`; or the map has discrepancies, fills too little, or its confidence is
            too low.
        """
        if self.contradiction and not force:
            raise MapError(f"{self.contradiction} To apply it as it is: apply(force=True).")
        if self.discrepancies and not force:
            raise MapError(
                f"this map is not what the two networks suggest: {self.discrepancies[0]} "
                f"{_more(len(self.discrepancies) - 1)}To apply it as it is: apply(force=True)."
            )
        source, target = self._ready()
        if not force:
            self._check_enough(min_coverage, min_confidence)
        return loaded(self.entries, source, target)

    def verify(self, example: Any) -> float:
        """Largest difference between the outputs of the source and of the loaded target.

        Parameters
        ----------
        example : tensor, tuple or mapping
            What both networks take.

        Returns
        -------
        float
            0 or above; about 1e-6 where the two are the same function in single precision.

        Raises
        ------
        MapError
            The source is a file, does not run on the example, or the outputs have no common shape.
        """
        source, target = self._ready()
        if source.module is None:
            raise MapError("the source is a file: there is no network to compare outputs with.")
        return largest_difference(source.module, loaded(self.entries, source, target), example)

    def check(self, example: Any = None, *, tolerance: float = 1e-4) -> tuple[str, ...]:
        """Everything that speaks against the map, a line each.

        Parameters
        ----------
        example : optional
            Also compare the outputs on it: for maps between two implementations of one function.
        tolerance : float
            Largest difference of outputs that rounding explains.
        """
        lines = [*self.problems, *self.discrepancies]
        if example is not None and not self.problems:
            try:
                found = self.verify(example)
            except MapError as error:
                return (*lines, str(error))
            if not found <= tolerance:
                lines.append(f"the outputs differ by {found:.3g} on the example.")
        return tuple(lines)

    def _check_enough(self, min_coverage: float, min_confidence: float) -> None:
        if not any(e.size for e in self._of_body() if e.role != "constant"):
            return
        if self.body_coverage < min_coverage:
            raise MapError(
                f"the source fills {self.body_coverage:.0%} of the body's parameters, at least "
                f"{min_coverage:.0%} are asked for: the two are different networks. Look at the "
                "map, or lower it: apply(min_coverage=0)."
            )
        if self.mean_confidence < min_confidence:
            raise MapError(
                f"the mean confidence of what is filled is {self.mean_confidence:.2f}, at least "
                f"{min_confidence:.2f} is asked for. Give an input that both take: "
                "map_parameters(..., example=x). Or lower it: apply(min_confidence=0)."
            )

    def _ready(self) -> tuple[Source, nn.Module]:
        if self.source is None or self.target is None:
            raise MapError(
                "this map was read from text and knows no networks: "
                "bequest.map_parameters(source, target, plan=map) binds it to two."
            )
        if self.problems:
            rest = _more(len(self.problems) - 1)
            raise MapError(f"{self.problems[0]} {rest}".rstrip())
        _check_names(self.entries, self.source, self.target)
        return self.source, self.target


def _check_names(entries: Sequence[Entry], source: Source, target: nn.Module) -> None:
    """Every name of the map must be there, in the shape that the map counts on."""
    shapes = {
        name: tuple(t.shape)
        for name, t in target.state_dict(keep_vars=True).items()
        if isinstance(t, Tensor)
    }
    for entry in entries:
        if shapes.get(entry.target) != entry.shape:
            raise MapError(
                f"the map fills {entry.target!r} {entry.shape}, the target has "
                f"{shapes.get(entry.target, 'no such tensor')}."
            )
        for move in entry.moves:
            if move.source and move.source not in source.shapes:
                raise MapError(
                    f"the map takes {entry.target!r} from {move.source!r}, which the source "
                    "does not have."
                )
            move_fits(move, source.shapes.get(move.source, ()))
    absent = set(shapes) - {entry.target for entry in entries}
    if absent:
        raise MapError(f"the map has no entry for {sorted(absent)[0]!r} {_more(len(absent) - 1)}")


def _share(entries: Sequence[Entry], *names: str) -> float:
    found = Amounts.of(entries)
    return sum(getattr(found, name) for name in names) / found.total if found.total else 0.0


def _said(entry: Entry) -> str:
    return f"{entry.rule} of {', '.join(entry.sources)}" if entry.sources else entry.rule


def _more(count: int) -> str:
    return f"(and {count} more) " if count > 0 else ""
