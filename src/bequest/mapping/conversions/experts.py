"""Mixtures of experts: each expert a copy of the dense block in its place ("upcycling").

Names and shapes say which tensors are experts, as a numbered list of modules or as matrices stacked
along a first axis, and which block of the source is the dense one. With the router's weights
normalised, as Mixtral does it, the target starts as the function that the source is.

Komatsuzaki et al., Sparse Upcycling: Training Mixture-of-Experts from Dense Checkpoints, ICLR 2023.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.tracing.names import CANON, by_module
from bequest.mapping.tracing.ops import Shape, TensorSlice

__all__ = ["upcycled"]

Shapes = Mapping[str, Shape]
LISTED = re.compile(r"(?P<holder>(?:.+\.)?\w*experts?)\.(?:expert_?)?(?P<number>\d+)\.(?P<tail>.+)")
STACKED = re.compile(r"(?P<holder>(?:.+\.)?\w*experts?)\.(?P<tail>\w+)(\.weight)?")
ROUTER = re.compile(r"gate|gating|router|routing|switch", re.I)
SAME_PLACE, SAME_ORDER = 0.95, 0.7  # confidence: by the block's number, and by order alone


@final
@dataclass(frozen=True)
class _Experts:
    """The matrices of alike blocks: one where it is dense, as many as there are experts else."""

    holder: str
    parts: Mapping[str, tuple[TensorSlice, ...]]  # by what a matrix does: one piece for each expert

    @property
    def count(self) -> int:
        return len(next(iter(self.parts.values())))

    @property
    def place(self) -> tuple[int, ...]:
        """The numbers of the blocks that it is in."""
        return tuple(int(part) for part in self.holder.split(".") if part.isdigit())

    @property
    def shapes(self) -> dict[str, Shape]:
        return {part: pieces[0].shape for part, pieces in self.parts.items()}


def upcycled(source: Shapes, target: Shapes) -> dict[str, Entry]:
    """What fills the target's experts, where the source has dense blocks or keeps experts apart.

    Entries by the target's tensor: each expert takes the dense block, or the expert of its number;
    a new router is initialised. Empty where the target has no experts, or they have the source's
    names and shapes.

    Examples
    --------
    >>> dense = {"0.mlp.up.weight": (8, 4), "0.mlp.down.weight": (4, 8)}
    >>> sparse = {f"0.moe.experts.{e}.{w}": s for e in (0, 1)
    ...           for w, s in (("up.weight", (8, 4)), ("down.weight", (4, 8)))}
    >>> upcycled(dense, sparse)["0.moe.experts.1.down.weight"].sources
    ('0.mlp.down.weight',)
    """
    wanted = [
        experts
        for experts in _mixtures(target)
        if not all(source.get(p[0].tensor) == target[p[0].tensor] for p in experts.parts.values())
    ]
    found: dict[str, Entry] = {}
    for experts, origin, confidence in _partners(source, wanted) if wanted else ():
        found |= _filled(experts, origin, target, confidence)
        found |= _routers(experts, origin, source, target, confidence)
    return found


def _mixtures(shapes: Shapes) -> list[_Experts]:
    """Every group of experts, in order."""
    lists: dict[str, dict[int, dict[str, str]]] = {}
    stacks: dict[str, dict[str, str]] = {}
    for name in shapes:
        if listed := LISTED.fullmatch(name):
            experts = lists.setdefault(listed["holder"], {})
            experts.setdefault(int(listed["number"]), {})[listed["tail"]] = name
        elif (stacked := STACKED.fullmatch(name)) and len(shapes[name]) == 3:
            stacks.setdefault(stacked["holder"], {})[stacked["tail"]] = name
    found = [_listed(holder, experts, shapes) for holder, experts in lists.items()]
    found += [_stacked(holder, names, shapes) for holder, names in stacks.items()]
    return [experts for experts in found if experts and experts.count > 1]


def _listed(
    holder: str, experts: Mapping[int, Mapping[str, str]], shapes: Shapes
) -> _Experts | None:
    first = experts[min(experts)]
    parts: dict[str, tuple[TensorSlice, ...]] = {}
    for tail, name in first.items():
        names = [expert.get(tail, "") for _, expert in sorted(experts.items())]
        if any(shapes.get(other) != shapes[name] for other in names):
            return None
        parts[_canonical(tail)] = tuple(TensorSlice(other, shapes[name]) for other in names)
    return _Experts(holder, parts)


def _stacked(holder: str, names: Mapping[str, str], shapes: Shapes) -> _Experts | None:
    """Matrices (experts, outputs, inputs); gate and up may be one tensor, the gate's rows first."""
    parts: dict[str, tuple[TensorSlice, ...]] = {}
    for tail, name in names.items():
        count, rows, columns = shapes[name]
        together = {"gate", "up"} <= set(re.split(r"[._]", tail)) and rows % 2 == 0
        for n, part in enumerate(("gate", "up") if together else (tail,)):
            size = rows // 2 if together else rows
            whole = TensorSlice(name, (size, columns), start=n * size)
            parts[f"{_canonical(part)}.weight"] = tuple(
                replace(whole, index=expert) for expert in range(count)
            )
    counts = {len(pieces) for pieces in parts.values()}
    return _Experts(holder, parts) if len(counts) == 1 else None


def _canonical(tail: str) -> str:
    """A name inside a block in the field's most common words: ``w1.weight`` is the gate's."""
    return ".".join(CANON.get(part.lower(), part) for part in tail.split("."))


def _partners(
    source: Shapes, wanted: Sequence[_Experts]
) -> Iterator[tuple[_Experts, _Experts, float]]:
    """The source's experts, or its dense block, for each of the target's groups of experts."""
    mixtures = _mixtures(source)
    inside = {
        holder: {_canonical(inner): name for inner, name in found.items()}
        for holder, found in {"": {name: name for name in source}, **by_module(source)}.items()
    }
    without_place: list[_Experts] = []
    fitting: dict[str, _Experts] = {}
    for experts in wanted:
        alike = [e for e in mixtures if e.count == experts.count and _fit(experts, e)]
        alike = alike or [d for d in (_dense(experts, *m, source) for m in inside.items()) if d]
        fitting |= {origin.holder: origin for origin in alike}
        placed = [origin for origin in alike if origin.place == experts.place]
        if placed:
            yield experts, max(placed, key=lambda origin: _likeness(experts, origin)), SAME_PLACE
        else:
            without_place.append(experts)
    if len(without_place) == len(wanted) == len(fitting):
        in_order = [fitting[holder] for holder in inside if holder in fitting]
        for experts, origin in zip(wanted, in_order, strict=True):
            yield experts, origin, SAME_ORDER


def _fit(experts: _Experts, origin: _Experts) -> bool:
    return experts.shapes.items() <= origin.shapes.items()


def _dense(
    experts: _Experts, holder: str, inner: Mapping[str, str], shapes: Shapes
) -> _Experts | None:
    """A module as a dense block, where it has all that one expert has."""
    parts = {}
    for part, shape in experts.shapes.items():
        piece = _piece(part, shape, inner, shapes)
        if piece is None:
            return None
        parts[part] = (piece,)
    return _Experts(holder, parts)


def _piece(part: str, shape: Shape, inner: Mapping[str, str], shapes: Shapes) -> TensorSlice | None:
    """The tensor of this name and shape, also stored as (inputs, outputs), or its half of both."""
    name = inner.get(part, "")
    if name and shapes[name] == shape:
        return TensorSlice(name, shape)
    if name and len(shape) == 2 and shapes[name] == shape[::-1]:
        return TensorSlice(name, shape, transposed=True)
    both = inner.get("gate_up_proj.weight", "")
    if part in ("gate.weight", "up.weight") and shapes.get(both) == (2 * shape[0], *shape[1:]):
        return TensorSlice(both, shape, start=shape[0] if part == "up.weight" else 0)
    return None


def _likeness(experts: _Experts, origin: _Experts) -> tuple[int, int]:
    """Parts of the path that both have; then the fewer others the better."""
    one, other = set(experts.holder.split(".")), set(origin.holder.split("."))
    return len(one & other), -len(other - one)


def _filled(
    experts: _Experts, origin: _Experts, target: Shapes, confidence: float
) -> dict[str, Entry]:
    moves: dict[str, list[Move]] = {}
    for part, pieces in experts.parts.items():
        for expert, put in enumerate(pieces):
            taken = origin.parts[part][expert % origin.count]
            moves.setdefault(put.tensor, []).append(Move(taken.tensor, taken, put))
    how = "expert copy" if origin.count == 1 else ""
    return {
        name: _entry(name, target[name], found, how, confidence) for name, found in moves.items()
    }


def _entry(name: str, shape: Shape, moves: Sequence[Move], how: str, confidence: float) -> Entry:
    first = moves[0]
    words = ["transpose"] * first.taken.transposed + ["fuse"] * (len(moves) > 1)
    rule = ", ".join((*words, how)).removesuffix(", ") or "split"
    role = "bias" if len(first.put.shape) == 1 else "weight"
    return Entry(name, shape, role, (), tuple(moves), rule, confidence)


def _routers(
    experts: _Experts, origin: _Experts, source: Shapes, target: Shapes, confidence: float
) -> dict[str, Entry]:
    """A router is the source's, where that has experts too, and new otherwise."""
    found = {}
    old = _router(origin, source) if origin.count > 1 else {}
    for last, name in _router(experts, target).items():
        shape = target[name]
        if origin.count == 1:
            rule = f"initialised: new router of {experts.count} experts"
            found[name] = Entry(name, shape, last, (), (), rule, 1.0)
        elif source.get(old.get(last, "")) == shape:
            move = Move(old[last], TensorSlice(old[last], shape), TensorSlice(name, shape))
            found[name] = Entry(name, shape, last, (), (move,), "copy", confidence)
    return found


def _router(experts: _Experts, shapes: Shapes) -> dict[str, str]:
    """The router's tensors, weight or bias: beside the experts, with one row for each of them."""
    beside = experts.holder.rpartition(".")[0]
    start = f"{beside}." if beside else ""
    weights = [
        name
        for name, shape in shapes.items()
        if name.startswith(start)
        and not name.startswith(f"{experts.holder}.")
        and name.removeprefix(start).count(".") <= 2
        and ROUTER.search(name.removeprefix(start))
        and len(shape) == 2
        and shape[0] == experts.count
    ]
    if len(weights) != 1:
        return {}
    bias = f"{weights[0].rpartition('.')[0]}.bias"
    both = {"weight": weights[0], "bias": bias}
    return both if shapes.get(bias) == (experts.count,) else {"weight": weights[0]}
