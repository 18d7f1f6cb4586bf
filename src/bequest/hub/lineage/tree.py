"""Where a model comes from: each claimed parent beside what the weights say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Card, HasMembers, Model, parameters_of
from bequest.errors import BequestError
from bequest.hub.lineage.relate import Relation, ensemble_of, merge_of, relate
from bequest.hub.lineage.sketches import SketchIndex, sketches
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry

__all__ = ["Lineage", "Shelf", "refresh", "trace"]

Array = NDArray[Any]
Weights = Mapping[str, Array]
Members = tuple[tuple[Card, Weights | str], ...]  # of an ensemble: each one's card and weights
_DEEPEST = 64  # generations
_CANDIDATES = 5  # models whose weights are read in a search
_TOGETHER = 8  # models that were looked at, and are kept in one transaction
# What these hand over is what a model answers, not its numbers.
_UNSEEN = frozenset({"distil", "distill", "distillation", "distilled"})


class Shelf(Protocol):
    """What of a hub is asked here."""

    def parents(self, entries: Iterable[Entry]) -> list[dict[str, Entry | None]]:
        """By what a card calls them, for each entry; None where it is not in the hub."""

    def pull(self, name: str, version: int | None = None, *, modules: Sequence[type] = ()) -> Model:
        """Its model."""


@final
@dataclass(frozen=True)
class Lineage:
    """A model's ancestors; it prints as a tree.

    Parameters
    ----------
    name : str
        ``name@version``.
    edges : tuple of Edge
        From the model to its parents, from these to theirs, and so on; each once.

    Examples
    --------
    >>> edge = Edge("base@1", "ward@1", "lora", "lora", True, "rank 2.")
    >>> print(Lineage("ward@1", (edge,)))
    ward@1
    └─ base@1  [declared lora, verified, lora, direction not told] rank 2.
    """

    name: str
    edges: tuple[Edge, ...]

    @property
    def false_claims(self) -> tuple[Edge, ...]:
        """Claimed parents that the weights speak against."""
        return tuple(edge for edge in self.edges if edge.verified is False)

    def __str__(self) -> str:
        return "\n".join([self.name, *self._branches()])

    def _branches(self) -> Iterator[str]:
        """Every edge, and below it, the first time, its parent's own: many may share ancestors."""
        below: dict[str, list[Edge]] = {}
        for edge in self.edges:
            below.setdefault(edge.child, []).append(edge)
        told = {self.name}
        # A stack of our own: a lineage may be deeper than Python's.
        todo = _hung(below, self.name, "")
        while todo:
            edge, indent, last = todo.pop()
            again = edge.parent in told
            more = " Its parents stand above." if again and edge.parent in below else ""
            yield f"{indent}{'└' if last else '├'}─ {edge}{more}"
            if not again:
                told.add(edge.parent)
                todo += _hung(below, edge.parent, indent + ("   " if last else "│  "))


def _hung(
    below: Mapping[str, Sequence[Edge]], child: str, indent: str
) -> list[tuple[Edge, str, bool]]:
    """A model's edges, the last one first, each with whether it is the last."""
    edges = below.get(child, ())
    return [(edge, indent, edge is edges[-1]) for edge in reversed(edges)]


def trace(
    shelf: Shelf,
    entry: Entry,
    *,
    modules: Sequence[type] = (),
    deep: bool = True,
    index: SketchIndex | None = None,
    named: Mapping[str, Entry] | None = None,
) -> Lineage:
    """Compare every claimed parent of an entry with the weights, and, where `deep`, of its parents.

    With an `index`, parents of the entry that it does not claim are looked for, too; `named` has
    the entries in it, by digest.
    """
    reader = _Reader(shelf, modules)
    edges: list[Edge] = []
    todo, seen = [entry], {str(entry)}
    for _ in range(_DEEPEST):
        parents: list[Entry] = []
        for child in todo:
            parents += _claimed(reader, child, edges)
        new = {str(parent): parent for parent in parents if str(parent) not in seen}
        todo = list(new.values()) if deep else []
        seen |= new.keys()
    if index is not None:
        edges += _found(reader, entry, index, named or {}, edges)
    return Lineage(str(entry), tuple(edges))


def refresh(
    shelf: Shelf, index: SketchIndex, entries: Iterable[Entry], modules: Sequence[type] = ()
) -> None:
    """Bring the sketches up to date with the entries; only new ones are loaded.

    Others may search meanwhile: nothing is held while a model is loaded, and what was looked at
    is kept as it comes.
    """
    by_digest = {entry.digest: entry for entry in entries}
    index.discard_damaged()
    known = index.known()
    reader = _Reader(shelf, modules)
    new = sorted(by_digest.keys() - known)
    if gone := known - by_digest.keys():
        with index.writing() as db:
            index.forget(db, gone)
    for first in range(0, len(new), _TOGETHER):
        made = {}
        for digest in new[first : first + _TOGETHER]:
            weights = reader.weights(by_digest[digest])
            made[digest] = sketches({} if isinstance(weights, str) else weights)
        with index.writing() as db:
            index.keep(db, made)


@final
class _Reader:
    """Entries' weights, the last few kept."""

    def __init__(self, shelf: Shelf, modules: Sequence[type]) -> None:
        self._shelf = shelf
        self._modules = modules
        self._kept: dict[str, tuple[Weights | str, Members]] = {}

    def weights(self, entry: Entry) -> Weights | str:
        """Numbers by name, or why there are none."""
        return self._of(entry)[0]

    def members(self, entry: Entry) -> Members:
        """Those of each member of an ensemble; none where it is another model."""
        return self._of(entry)[1]

    def _of(self, entry: Entry) -> tuple[Weights | str, Members]:
        key = str(entry)
        if key not in self._kept:
            self._kept = dict(list(self._kept.items())[-3:])
            self._kept[key] = self._read(entry)
        return self._kept[key]

    def parents(self, child: Entry) -> dict[str, Entry | None]:
        """The entries that a card names; None where the hub has none."""
        return self._shelf.parents([child])[0] if child.card.parents else {}

    def _read(self, entry: Entry) -> tuple[Weights | str, Members]:
        try:
            model = self._shelf.pull(entry.name, entry.version, modules=self._modules)
        except BequestError as error:
            return f"{entry} has no weights to compare: {error}", ()
        members = model.members if isinstance(model, HasMembers) else ()
        title = f"a member of {entry}"
        return _shown(model, str(entry)), tuple((m.card, _shown(m, title)) for m in members)


def _shown(model: Model, title: str) -> Weights | str:
    """Numbers by name, or why there are none."""
    try:
        return {name: np.asarray(values) for name, values in parameters_of(model).items()}
    except BequestError as error:
        return f"{title} has no weights to compare: {error}"


def _claimed(reader: _Reader, child: Entry, edges: list[Edge]) -> list[Entry]:
    """Add an edge for every parent that the card names; give those that are in the hub."""
    declared = child.card.method or "derived"
    found = reader.parents(child)
    there = [parent for parent in found.values() if parent is not None]
    relations = _relations(reader, child, there)
    for claim, parent in found.items():
        if parent is None:
            missing = Relation("not told", "it is not in this hub.")
            edges.append(_edge(claim, child, declared, missing))
        else:
            edges.append(_edge(str(parent), child, declared, relations[str(parent)]))
    return there


def _relations(reader: _Reader, child: Entry, parents: Sequence[Entry]) -> dict[str, Relation]:
    theirs = {str(parent): reader.weights(parent) for parent in parents}
    if members := reader.members(child):
        return {name: _of_members(members, found) for name, found in theirs.items()}
    ours = reader.weights(child)
    if isinstance(ours, str):
        return {name: Relation("not told", ours) for name in theirs}
    ours = _as_the_parent_names(ours, child.card.parameter_map)
    readable = {name: found for name, found in theirs.items() if not isinstance(found, str)}
    mixed = merge_of(ours, list(readable.values()))
    shares = dict(zip(readable, mixed[0], strict=True)) if mixed else {}
    relations = {}
    for name, found in theirs.items():
        if isinstance(found, str):
            relations[name] = Relation("not told", found)
        elif mixed and shares[name] > 0.02:
            relations[name] = Relation("merged", f"{shares[name]:.2f} of it: {mixed[1]}", "told")
        else:
            relations[name] = relate(ours, found)
    return relations


def _of_members(members: Members, parent: Weights | str) -> Relation:
    """What an ensemble is to a parent; members that hold the same numbers are compared once."""
    if isinstance(parent, str):
        return Relation("not told", parent)
    known: dict[tuple[Any, ...], Relation] = {}

    def compared(named: Weights) -> Relation:
        place = tuple((name, values.ctypes.data, values.shape) for name, values in named.items())
        if place not in known:
            known[place] = relate(named, parent)
        return known[place]

    relations = []
    for card, ours in members:
        if isinstance(ours, str):
            relations.append(Relation("not told", ours))
            continue
        found = compared(_as_the_parent_names(ours, card.parameter_map))
        # It may also be the parent itself, a model that stands on another one.
        whole = found if found.related else compared(ours)
        relations.append(whole if whole.related else found)
    return ensemble_of(relations)


def _as_the_parent_names(weights: Weights, parameter_map: Mapping[str, Any]) -> Weights:
    """A grown model's numbers under the names that its map took them from."""
    inner = {n.removeprefix("source."): v for n, v in weights.items() if n.startswith("source.")}
    if inner:  # a model stacked on its source holds the source
        return inner
    renamed: dict[str, Array] = {}
    try:
        for entry in parameter_map.get("entries", ()):
            sources = {move["source"] for move in entry.get("moves", ()) if move.get("source")}
            if len(sources) == 1 and entry["target"] in weights:
                renamed.setdefault(sources.pop(), weights[entry["target"]])
    except (AttributeError, KeyError, TypeError):  # a stranger's card may hold anything there
        return weights
    return renamed or weights


def _edge(parent: str, child: Entry, declared: str, relation: Relation) -> Edge:
    verified: bool | None = relation.related or None
    evidence = relation.evidence
    if relation.direction == "reversed":
        verified, evidence = False, f"{evidence} The parent was made from the child."
    elif relation.kind == "unrelated":
        verified = False
        if declared in _UNSEEN:
            verified = None
            evidence = f"distillation leaves no trace in weights; {evidence}"
    return Edge(parent, str(child), relation.kind, declared, verified, evidence, relation.direction)


def _found(
    reader: _Reader,
    entry: Entry,
    index: SketchIndex,
    named: Mapping[str, Entry],
    edges: Iterable[Edge],
) -> list[Edge]:
    """Models that it is related to and does not name, the surest first."""
    ours = reader.weights(entry)
    if isinstance(ours, str):
        return []
    claimed = {edge.parent for edge in edges if edge.child == str(entry)}
    found = []
    for digest, _ in index.nearest(ours, k=_CANDIDATES + len(claimed) + 1):
        other = named.get(digest)
        if other is None or digest == entry.digest or str(other) in claimed:
            continue
        theirs = reader.weights(other)
        relation = (
            _of_members(members, theirs)
            if (members := reader.members(entry))
            else Relation("not told", theirs)
            if isinstance(theirs, str)
            else relate(ours, theirs)
        )
        if relation.related:
            edge = _edge(str(other), entry, "", relation)
            found.append(replace(edge, verified=relation.direction != "reversed" or None))
    return found
