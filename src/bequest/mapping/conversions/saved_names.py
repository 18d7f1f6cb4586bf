"""The names under which transformers saves a network, where they are not the network's own.

Since version 5 it converts on the way: the files keep the names of earlier versions, experts apart,
queries, keys and values in one tensor. The library's own conversion is run once, from the network
to the file, on tensors whose values are their own positions; what comes out says for each tensor
of a file which places it fills.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from bequest.mapping.conversions.saved_parts import Part, saved_parts
from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.rules.interleaved import GroupInterleaved
from bequest.mapping.rules.layout import QKVInterleaved, split
from bequest.mapping.rules.rule import Rule
from bequest.mapping.tracing.ops import Shape, TensorSlice
from bequest.mapping.tracing.running import named_tensors

__all__ = ["converted", "renamed"]

LEAST = 4  # rows of a tensor that two others may take turns in
SURE = 0.99


def renamed(found: Mapping[str, Entry]) -> dict[str, str]:
    """Of what `converted` found, the tensors that a file holds whole, to their names there."""
    return {name: entry.sources[0] for name, entry in found.items() if entry.rule == "copy"}


def converted(network: nn.Module, source: Mapping[str, Shape]) -> dict[str, Entry]:
    """What fills the target's tensors from a file that transformers wrote of its class.

    Empty where the network is none of transformers, or the source has its own names.
    """
    own = named_tensors(network)[0]
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    wanted = {name for name, shape in shapes.items() if source.get(name) != shape}
    if not wanted or not _of_transformers(network):
        return {}
    moves: dict[str, list[Move]] = {}
    for part in saved_parts(network, shapes):
        for name, held in part.saved.items():
            file = _in_file(name, part.whole(tuple(held.shape)), network, source)
            for target, move in _moves(file, held, part) if file else ():
                moves.setdefault(target, []).append(part.whole_move(move))
    return {
        name: _entry(name, shapes[name], moves[name])
        for name in shapes
        if name in wanted and _whole(moves.get(name, []), shapes[name])
    }


def _of_transformers(network: nn.Module) -> bool:
    library = sys.modules.get("transformers")
    return library is not None and isinstance(network, library.PreTrainedModel)


def _in_file(name: str, shape: Shape, network: Any, source: Mapping[str, Shape]) -> str:
    """The name in the source, where the prefix of the base may be there or not."""
    base = network.base_model_prefix
    found = (name, name.removeprefix(f"{base}."), f"{base}.{name}")
    return next((one for one in found if source.get(one) == shape), "")


def _moves(file: str, held: Tensor, part: Part) -> Iterator[tuple[str, Move]]:
    """Which rows of a file's tensor go where; nothing where they go nowhere in one piece."""
    starts, shapes, shape = part.starts, part.shapes, tuple(held.shape)
    if held.is_meta:  # it went in as it came out
        name = next(iter(shapes))
        yield name, Move(file, TensorSlice(file, shape), TensorSlice(name, shape))
        return
    names = list(starts)
    bounds = torch.tensor([starts[name] for name in names], dtype=torch.int32)
    for axis in range(min(2, held.ndim)):
        if found := _alternating(file, held, axis, names, starts, shapes):
            yield from found
            return
    waiting = [*_runs(held, bounds)][::-1]
    while waiting:
        start, rows = waiting.pop()
        some = held[start : start + rows] if shape else held
        turned = rows > 1 and some.ndim == 2 and int(some[1, 0] - some[0, 0]) == 1 < some.shape[1]
        places = (some.T if turned else some).flatten()
        if not len(places) or not _consecutive(places):
            continue
        name = names[int(torch.searchsorted(bounds, places[0], right=True)) - 1]
        size = (some.shape[1], some.shape[0]) if turned else tuple(some.shape)
        put = _piece(name, int(places[0]) - starts[name], size, shapes[name])
        whole = rows == shape[0] if shape else True
        if put is not None and (whole or not turned):
            taken = TensorSlice(file, size, 0 if whole else start, transposed=turned)
            yield name, Move(file, taken, put)
        elif put is None and rows > 1:  # the end of one matrix of a stack and the start of the next
            waiting += [(start + row, 1) for row in reversed(range(rows))]


def _alternating(
    file: str, held: Tensor, axis: int, names: Sequence[str], starts: Mapping[str, int],
    shapes: Mapping[str, Shape],
) -> list[tuple[str, Move]]:  # fmt: skip
    """Rows of two halves in turn, gate and up: into one tensor half by half, or into two."""
    count = held.shape[axis]
    if count < LEAST or count % 2 or not held.numel():
        return []
    halves = [split(held, axis, (-1, 2)).select(axis + 1, half) for half in (0, 1)]
    fused = torch.cat(halves, axis)
    whole = TensorSlice(file, tuple(held.shape))
    by_start = {starts[name]: name for name in names}
    name = by_start.get(int(fused.flatten()[0]), "")
    if name and shapes[name] == whole.shape and _consecutive(fused):
        rule: Rule = QKVInterleaved(axis, count // 2, 2, back=False)
        return [(name, Move(file, whole, TensorSlice(name, whole.shape), (rule,)))]
    found = []
    for half, part in enumerate(halves):
        name = by_start.get(int(part.flatten()[0]), "")
        if not name or shapes[name] != tuple(part.shape) or not _consecutive(part):
            return []
        rule = GroupInterleaved(axis, count // 2, half, 1, 2, back=False)
        found.append((name, Move(file, whole, TensorSlice(name, shapes[name]), (rule,))))
    return found


def _consecutive(places: Tensor) -> bool:
    return not bool((places.flatten().diff() != 1).any())


def _runs(held: Tensor, bounds: Tensor) -> Iterator[tuple[int, int]]:
    """Rows that follow each other in one tensor of the network: the first, and how many."""
    if held.ndim == 0 or not held.numel():
        yield from [(0, 1)] if held.numel() else []
        return
    rows = held.reshape(len(held), -1)
    owner = torch.searchsorted(bounds, rows[:, 0].contiguous(), right=True)
    step = rows[:, 0].diff()
    follows = (step == rows.shape[1]) | (step == 1)
    cuts = ((owner.diff() != 0) | ~follows).nonzero().flatten() + 1
    edges = [0, *cuts.tolist(), len(held)]
    yield from ((a, b - a) for a, b in pairwise(edges))


def _piece(name: str, first: int, size: Shape, shape: Shape) -> TensorSlice | None:
    """The rows, or the rows of one matrix of a stack, that so many places from `first` on are."""
    if first == 0 and math.prod(size) == math.prod(shape):
        return TensorSlice(name, size)
    row = math.prod(shape[1:])
    if shape and size[1:] == shape[1:]:
        return TensorSlice(name, size, first // row) if first % row == 0 else None
    if len(shape) == 3 and len(size) == 2 and size[1] == shape[2]:
        index, inside = divmod(first, row)
        start, rest = divmod(inside, shape[2])
        if not rest and start + size[0] <= shape[1]:
            return TensorSlice(name, size, start, index=index)
    return None


def _whole(moves: list[Move], shape: Shape) -> bool:
    return bool(moves) and sum(math.prod(move.put.shape) for move in moves) == math.prod(shape)


def _entry(name: str, shape: Shape, moves: list[Move]) -> Entry:
    one = moves[0]
    plain = len(moves) == 1 and one.taken == TensorSlice(one.source, shape)
    words = "copy" if plain else "stack" if len(moves) > 1 else "split"
    if one.rules:
        words = one.rules[0].name
    elif len(moves) == 1 and one.taken.transposed:
        words = "transpose"
    return Entry(name, shape, "parameter", (), tuple(moves), words, SURE)
