"""From correspondences to the entries of a map, one for every tensor of the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from torch import nn

from bequest.mapping.building.confidence import MISFIT, UNLIKE, Confidence
from bequest.mapping.building.contradiction import contradiction
from bequest.mapping.building.rule_choice import NameHints, Resolved, axes_of, resolve
from bequest.mapping.building.sizes import Sizes
from bequest.mapping.disambiguation.decide import Decided
from bequest.mapping.matching.by_name import NamePairs
from bequest.mapping.matching.correspondence import Correspondence
from bequest.mapping.matching.name_correspondences import new_parts, uses_of
from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.rules.interleaved import GroupInterleaved
from bequest.mapping.rules.layout import ZerosInit
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.names import words
from bequest.mapping.tracing.ops import MAIN, Op, Shape, TensorSlice, Trace

__all__ = ["PlanBuilder"]

Partners = Mapping[int, tuple[Op, float]]  # the source's operation for each of the target's


@final
class PlanBuilder:
    """Makes the entries of a map, for one set of correspondences or another.

    `pairs` are those of names, where these decide; `fixed` are entries that were found before any
    matching, by the target's tensor.
    """

    def __init__(
        self, source: Source, source_trace: Trace, target_trace: Trace, hints: NameHints,
        skipped: frozenset[str], pairs: NamePairs | None, fixed: Mapping[str, Entry],
    ) -> None:  # fmt: skip
        self.source, self.source_trace, self.target_trace = source, source_trace, target_trace
        self.hints, self.skipped, self.pairs, self.fixed = hints, skipped, pairs, fixed
        self._heads = _heads(target_trace), _heads(source_trace)
        self._fed = _fed(target_trace), _fed(source_trace)
        self._confidence = Confidence(source, source_trace, target_trace, pairs)
        self._uses = {name: uses[0] for name, uses in uses_of(target_trace).items()}

    def plan(self, decided: Decided, target: nn.Module) -> ParameterMap:
        """The whole map."""
        entries = tuple(_judged(entry, decided) for entry in self.entries(decided.links))
        used = {name for entry in entries for name in entry.sources}
        unused = tuple(
            name
            for name in self.source.shapes
            if self.source_trace.same.get(name, name) not in used
            and name not in used
            and name not in self.source_trace.constants
        )
        how = f"The target was {self.target_trace.how}, the source {self.source_trace.how}."
        if self.target_trace.how == self.source_trace.how:
            how = f"Both networks were {self.target_trace.how}."
        names = (self.pairs.note,) if self.pairs is not None and decided.named else ()
        against = contradiction(entries, decided, self.source, self.target_trace, target)
        return ParameterMap(
            entries, unused, (*names, how, *decided.notes), self._body(entries), self.source,
            target, entries, against,
        )  # fmt: skip

    def _body(self, entries: Sequence[Entry]) -> frozenset[str]:
        """All tensors but the head's, and where names decided but those of new parts behind it."""
        heads = {
            piece.tensor
            for op in self.target_trace.ops
            if op.order in self._heads[0]
            for piece in op.pieces.values()
        }
        pairs = self.pairs
        new = frozenset() if pairs is None else new_parts(pairs, self.target_trace, entries)
        return frozenset(e.target for e in entries if e.target not in heads | new)

    def entries(self, links: Sequence[Correspondence]) -> tuple[Entry, ...]:
        """One for every tensor of the target, in its order."""
        sizes = Sizes(links, self.source.shapes, self.target_trace.shapes)
        by_tensor: dict[str, list[Correspondence]] = {}
        partners: dict[int, tuple[Op, float]] = {}
        for link in links:
            by_tensor.setdefault(link.target.tensor, []).append(link)
            partners.setdefault(link.ops[0].order, (link.ops[1], link.confidence))
        first = {
            name: self._entry(name, by_tensor.get(name, []), partners, sizes)
            for name in self.target_trace.shapes
        }
        same = self.target_trace.same
        shared = [replace(first[origin], target=name) for name, origin in same.items()]
        return (*first.values(), *shared)

    def _entry(
        self, name: str, links: Sequence[Correspondence], partners: Partners, sizes: Sizes
    ) -> Entry:
        constant = name in self.target_trace.constants
        if constant and not links:
            return self._constant(name, partners)
        op: Op | None = None
        axes: tuple[str, ...] = ()
        role = "constant" if constant else "parameter"
        if name in self._uses and not constant:
            op, role, axes = self._used(name)
        shape = self.target_trace.shapes[name]
        if name in self.skipped:
            return Entry(name, shape, role, axes, (), "initialised (skipped)", 1.0)
        if name in self.fixed:
            return self.fixed[name]
        if not links:
            return self._unlinked(name, role, axes, op, partners)
        return self._linked(name, role, axes, links, sizes)

    def _used(self, name: str) -> tuple[Op, str, tuple[str, ...]]:
        """The operation that uses a tensor first, its role there, and what its axes count."""
        op, role, piece = self._uses[name]
        head, fed = op.order in self._heads[0], op.order in self._fed[0]
        axes = axes_of(op, role, piece, head=head, fed=fed)
        if piece.transposed and len(axes) > 1:
            axes = (axes[1], axes[0], *axes[2:])
        return op, role, axes

    def _linked(
        self, name: str, role: str, axes: tuple[str, ...], links: Sequence[Correspondence],
        sizes: Sizes,
    ) -> Entry:  # fmt: skip
        """The entry of a tensor that other tensors, or parts of them, go into."""
        shape = self.target_trace.shapes[name]
        first: dict[object, Correspondence] = {}  # of a tensor that is used twice the first use
        for link in links:
            first.setdefault(_place(link), link)
        found = [(link, self._resolved(link)) for link in first.values()]
        if any(resolved.new_head or self._is_no_head(link) for link, resolved in found):
            return Entry(name, shape, role, axes, (), _initialised(axes, shape), 1.0)
        problem = next((resolved.problem for _, resolved in found if resolved.problem), "")
        if problem:
            return Entry(name, shape, role, axes, (), "refused", 0.0, problem)
        moves: list[Move] = []
        said: dict[str, None] = {}
        for link, resolved in found:
            taken, put = resolved.taken, resolved.put
            moves.append(Move(taken.tensor, taken, put, resolved.rules, link.added))
            said |= dict.fromkeys(self._words(moves[-1], link))
        ordered = tuple(sorted(moves, key=lambda move: move.added))
        confidence = min(self._confidence.of(link, sizes) for link, _ in found)
        entry = Entry(name, shape, role, axes, ordered, ", ".join(said), round(confidence, 4))
        if entry.initialised > 0:
            return replace(entry, rule=f"{entry.rule}; rest initialised")
        return entry

    def _resolved(self, link: Correspondence) -> Resolved:
        """The rules of a correspondence; where it is neutral they need no values of the source."""
        if link.neutral is not None:
            return Resolved(TensorSlice("", link.target.shape), link.target, (link.neutral,))
        (op, other), (heads, other_heads), (fed, other_fed) = link.ops, self._heads, self._fed
        namesake = self._confidence.is_namesake(link)
        head = op.order in heads and (other.order in other_heads or namesake)
        reads_input = op.order in fed or other.order in other_fed
        found = resolve(link, self.hints, head=head, fed=reads_input)
        return replace(found, rules=(*link.rules, *found.rules))

    def _is_no_head(self, link: Correspondence) -> bool:
        """Whether what would fill the target's head is not the source's: it merely fits."""
        if link.neutral is not None or self._confidence.is_namesake(link):
            return False
        heads, other_heads = self._heads
        known = link.ops[0].order in heads and bool(other_heads)
        if not known or link.ops[1].order in other_heads:
            return False
        return self.source_trace.ran or "head" not in words(link.source.tensor)

    def _words(self, move: Move, link: Correspondence) -> list[str]:
        """What is done, in words."""
        if link.neutral is not None:
            return [link.neutral.name]
        said = []
        if move.taken.transposed != move.put.transposed:
            said.append("transpose")
        if _is_part(link.target, self.target_trace):
            said.append("fuse")
        if _is_part(link.source, self.source_trace):
            said.append("split")
        if move.added:
            said.append("add")
        return said + [rule.name for rule in move.rules] or ["copy"]

    def _unlinked(
        self, name: str, role: str, axes: tuple[str, ...], op: Op | None, partners: Partners
    ) -> Entry:
        """A bias that the source does not have is zero there; the rest stays as it is."""
        shape = self.target_trace.shapes[name]
        if op is not None and role == "bias" and op.order in partners:
            other, confidence = partners[op.order]
            if "bias" not in other.pieces and op.kind in MAIN:
                zeros = (ZerosInit(),)
                move = Move("", TensorSlice("", shape), TensorSlice(name, shape), zeros)
                most = 1.0 if self._confidence.most == 1 else MISFIT
                return Entry(
                    name, shape, role, axes, (move,), ZerosInit.name, min(confidence, most)
                )
        return Entry(name, shape, role, axes, (), _initialised(axes, shape), 1.0)

    def _constant(self, name: str, partners: Partners) -> Entry:
        """A counter beside a mapped layer's statistics goes with them; other constants stay."""
        shape = self.target_trace.shapes[name]
        holder, _, last = name.rpartition(".")
        for order, (other, confidence) in partners.items():
            origin = f"{other.name}.{last}"
            mapped = self.target_trace.ops[order].name == holder
            if mapped and self.source_trace.shapes.get(origin) == shape:
                move = Move(origin, TensorSlice(origin, shape), TensorSlice(name, shape))
                return Entry(name, shape, "constant", (), (move,), "copy", confidence)
        return Entry(name, shape, "constant", (), (), "kept, a constant", 1.0)


def _judged(entry: Entry, decided: Decided) -> Entry:
    """An entry as sure as running both networks leaves it."""
    if entry.moves and (decided.equal or entry.target in decided.confirmed):
        return replace(entry, confidence=1.0)
    if decided.unlike and entry.target.startswith(f"{decided.unlike}."):
        return replace(entry, confidence=min(entry.confidence, UNLIKE))
    return entry


def _place(link: Correspondence) -> object:
    """Which part of a tensor a correspondence fills."""
    interleaved = tuple(r for r in link.rules if isinstance(r, GroupInterleaved) and r.back)
    return link.target.start, link.target.shape, link.added, interleaved


def _is_part(piece: TensorSlice, trace: Trace) -> bool:
    return math.prod(piece.shape) < math.prod(trace.shapes.get(piece.tensor, ()))


def _initialised(axes: Sequence[str], shape: Shape) -> str:
    """What a tensor is that keeps its own values, in words."""
    if "classes" not in axes:
        return "initialised"
    return f"initialised: new head of {shape[axes.index('classes')]} classes"


def _heads(trace: Trace) -> frozenset[int]:
    """The operations whose results are the network's: one product, else none."""
    linear = [op.order for op in trace.ops if op.kind == "linear"]
    if not trace.ran:
        return frozenset(linear[-1:])
    last = [n for n in trace.last if trace.ops[n].kind in MAIN]
    return trace.last & set(linear) if len(last) <= 2 else frozenset()


def _fed(trace: Trace) -> frozenset[int]:
    """The operations that read the network's input."""
    if trace.ran:
        return frozenset(op.order for op in trace.ops if op.fed)
    main = [op.order for op in trace.ops if op.kind in MAIN or op.kind == "embedding"]
    return frozenset(main[:1])
