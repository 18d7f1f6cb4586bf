"""Layers that one network shares and the other has apart, as ALBERT and BERT; and tied weights.

One layer that the source runs N times is copied into the N layers of the target. The other way, a
shared tensor of the target is filled only where all tensors that it replaces are equal.

Lan et al., ALBERT: A Lite BERT for Self-supervised Learning, ICLR 2020.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from bequest.core.wording import listed
from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.names import by_module
from bequest.mapping.tracing.ops import Shape, TensorSlice, Trace

__all__ = ["refused", "unshared"]

Shapes = Mapping[str, Shape]
SURE = 0.95  # of a layer that was seen running as often as there are layers to fill
NAMED = ("albert_layer_groups", "shared_layer")  # a file's layers that are run several times


def unshared(source_trace: Trace, target_trace: Trace) -> dict[str, Entry]:
    """What fills a list of equal layers from the one layer that the source runs as often.

    Entries by the target's tensor; empty where the source does not share.
    """
    found: dict[str, Entry] = {}
    uses = _uses(source_trace)
    modules = {
        holder: inner
        for holder, inner in by_module(source_trace.shapes).items()
        if _times(inner, uses) > 1 or _named_shared(holder, source_trace)
    }
    for layers in _lists(target_trace.shapes) if modules else ():
        holders = [
            holder
            for holder, inner in modules.items()
            if _shapes(inner, source_trace.shapes) == _shapes(layers[0], target_trace.shapes)
            and _times(inner, uses) in (0, len(layers))
        ]
        if len(holders) == 1:
            inner = modules[holders[0]]
            for layer in layers:
                found |= {
                    name: _copied(inner[tail], name, target_trace.shapes[name])
                    for tail, name in layer.items()
                }
    return found


def refused(entries: Sequence[Entry], source: Source, target_trace: Trace) -> tuple[Entry, ...]:
    """The entries, with a problem where one tensor of the target replaces several that differ.

    Those are tensors of a layer that the target runs N times, filled from one of N layers of which
    the others go nowhere; and tied weights that the source has apart.
    """
    taken = {name for entry in entries for name in entry.sources}
    uses, lists, tied = (
        _uses(target_trace),
        list(_lists(source.shapes)),
        dict(_tied(source.shapes, target_trace)),
    )
    found = []
    for entry in entries:
        origin = target_trace.same.get(entry.target, entry.target)
        several = tied.get(origin, [])
        if len(entry.sources) == 1 and uses.get(origin, 1) > 1:
            alike = _alike(entry.sources[0], lists, uses[origin])
            several = several or [n for n in alike if n not in taken or n in entry.sources]
        differ = several[1:] and not all(_equal(several[0], n, source) for n in several[1:])
        found.append(_refused(entry, several) if differ and entry.moves else entry)
    return tuple(found)


def _alike(name: str, lists: Iterable[list[dict[str, str]]], count: int) -> list[str]:
    """The tensor of this name in each of so many layers."""
    for layers in lists:
        tail = next((tail for layer in layers for tail, n in layer.items() if n == name), "")
        if tail and len(layers) == count:
            return [layer[tail] for layer in layers]
    return []


def _refused(entry: Entry, several: Sequence[str]) -> Entry:
    problem = (
        f"cannot fill {entry.target!r}: the target has one tensor where the source has "
        f"{len(several)} that differ, {listed(map(repr, several), 3)}. Take a target that does not "
        f'share it, or leave it out: map_parameters(..., skip="{entry.target}").'
    )
    return replace(entry, moves=(), rule="refused", confidence=0.0, problem=problem)


def _uses(trace: Trace) -> dict[str, int]:
    """How often each tensor is used in a run; nothing where there was none."""
    if not trace.ran:
        return {}
    return {piece.tensor: op.times for op in trace.ops for piece in op.pieces.values()}


def _times(inner: Mapping[str, str], uses: Mapping[str, int]) -> int:
    """How often a module runs, where its tensors agree on that."""
    counts = {uses.get(name, 0) for name in inner.values()}
    return counts.pop() if len(counts) == 1 else 0


def _named_shared(holder: str, trace: Trace) -> bool:
    return not trace.ran and any(word in holder for word in NAMED)


def _lists(shapes: Shapes) -> Iterator[list[dict[str, str]]]:
    """Each list of modules with the same names and shapes: tensors by their names inside."""
    lists: dict[str, dict[int, dict[str, str]]] = {}
    for name in shapes:
        parts = name.split(".")
        for n, part in enumerate(parts[:-1]):
            if part.isdecimal():
                layers = lists.setdefault(".".join(parts[:n]), {})
                layers.setdefault(int(part), {})[".".join(parts[n + 1 :])] = name
    for layers in lists.values():
        ordered = [layers[number] for number in sorted(layers)]
        first = _shapes(ordered[0], shapes)
        if len(ordered) > 1 and all(_shapes(layer, shapes) == first for layer in ordered):
            yield ordered


def _shapes(inner: Mapping[str, str], shapes: Shapes) -> dict[str, Shape]:
    return {tail: shapes[name] for tail, name in inner.items()}


def _tied(source: Shapes, target_trace: Trace) -> Iterator[tuple[str, list[str]]]:
    """The target's tied tensors of which the source has several, under the target's names."""
    groups: dict[str, list[str]] = {}
    for name, origin in target_trace.same.items():
        groups.setdefault(origin, [origin]).append(name)
    start = _prefix(source, [*target_trace.shapes, *target_trace.same]) if groups else ""
    for origin, names in groups.items():
        there = [f"{start}{name}" for name in names if f"{start}{name}" in source]
        there = [name for name in there if source[name] == target_trace.shapes[origin]]
        if len(there) > 1:
            yield origin, there


def _prefix(source: Iterable[str], target: Iterable[str]) -> str:
    """What the source's names begin with before the target's."""
    names = set(source)
    wanted = set(target)
    starts = Counter(
        name.removesuffix(tail)
        for name in names
        for tail in (name, name.partition(".")[2], name.partition(".")[2].partition(".")[2])
        if tail in wanted
    )
    return starts.most_common(1)[0][0] if starts else ""


def _copied(taken: str, name: str, shape: Shape) -> Entry:
    role = "bias" if name.endswith("bias") else "weight"
    move = Move(taken, TensorSlice(taken, shape), TensorSlice(name, shape))
    return Entry(name, shape, role, (), (move,), "copy", SURE)


def _equal(first: str, other: str, source: Source) -> bool:
    """Whether two tensors are; on the meta device that is unknown, and nothing can be copied."""
    one, two = source.read(first), source.read(other)
    if one is two or one.is_meta or two.is_meta:
        return True
    return one.dtype == two.dtype and torch.equal(one.cpu(), two.cpu())
