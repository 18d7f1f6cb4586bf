"""A network's tensors as transformers saves them, part by part, where whole they are too large.

The library converts tensors of positions, four bytes each, in place of weights. Most tensors
only change their names: on the meta device the one that comes out is the one that went in. The
others are converted in small groups, and with one axis cut short where the conversion leaves that
axis alone, so that a layer of many experts takes as little memory as one of few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, final

import torch
from torch import Tensor

from bequest.mapping.plans.entry import Move
from bequest.mapping.tracing.ops import Shape

__all__ = ["Part", "saved_parts"]

MOST = 200_000_000  # values that are converted at once
SHORT = (37, 41, 43, 47, 53, 59, 61, 67)  # lengths of an axis that is cut: one that no other has
FAILED = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)

Shapes = Mapping[str, Shape]
Save = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]  # as the library does it


@final
@dataclass(frozen=True)
class Part:
    """Some tensors whose values are their positions, as they went in and as they are saved."""

    shapes: Shapes  # of the network's tensors
    starts: Mapping[str, int]  # the number of their first place
    saved: Mapping[str, Tensor]
    cut: tuple[int, int] = (0, 0)  # the length of the axis that was cut short, and its own

    def whole(self, shape: Shape) -> Shape:
        """A shape with the axis at its own length."""
        short, size = self.cut
        return tuple(size if length == short else length for length in shape)

    def whole_move(self, move: Move) -> Move:
        """A move with the axis at its own length."""
        taken, put = (
            replace(piece, shape=self.whole(piece.shape)) for piece in (move.taken, move.put)
        )
        return replace(move, taken=taken, put=put)


def saved_parts(network: Any, shapes: Shapes) -> Iterator[Part]:
    """All of a network of transformers; without what the library cannot save."""
    loading = import_module("transformers.core_model_loading")
    save: Save = partial(loading.revert_weight_conversion, network)
    if _count(shapes) <= MOST:
        yield from _numbered(save, shapes)
        return
    whole = _on_meta(save, shapes)
    if whole is None:
        return
    given, saved = whole
    origin = {id(tensor): name for name, tensor in given.items()}
    for file, tensor in saved.items():
        if id(tensor) in origin:
            name = origin[id(tensor)]
            yield Part({name: shapes[name]}, {name: 0}, {file: tensor})
    passed = {origin[id(tensor)] for tensor in saved.values() if id(tensor) in origin}
    expected = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    for group in _groups([name for name in shapes if name not in passed]):
        for names in _apart(save, group, shapes, expected):
            yield from _cut(save, {name: shapes[name] for name in names})


def _count(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes.values()))


def _numbered(save: Save, shapes: Shapes, cut: tuple[int, int] = (0, 0)) -> Iterator[Part]:
    starts, numbered, first = {}, {}, 0
    for name, shape in shapes.items():
        starts[name] = first
        places = torch.arange(first, first + math.prod(shape), dtype=torch.int32)
        numbered[name] = places.reshape(shape)
        first += math.prod(shape)
    try:
        yield Part(shapes, starts, save(numbered), cut)
    except FAILED:
        return  # the library cannot save this network either


def _on_meta(
    save: Save, shapes: Shapes
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None:
    """What goes in and what comes out, shapes only."""
    given = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    try:
        return given, save(given)
    except FAILED:
        return None


def _saved_shapes(save: Save, shapes: Shapes) -> Shapes:
    found = _on_meta(save, shapes)
    return {} if found is None else {name: tuple(t.shape) for name, t in found[1].items()}


def _groups(names: Sequence[str]) -> list[list[str]]:
    """The tensors of each block: the names that are alike up to their first number."""
    groups: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        number = next((n for n, part in enumerate(parts) if part.isdigit()), len(parts) - 2)
        groups.setdefault(".".join(parts[: number + 1]), []).append(name)
    return list(groups.values())


def _apart(
    save: Save, group: Sequence[str], shapes: Shapes, expected: Shapes
) -> Iterator[Sequence[str]]:
    """Tensors that are saved alone as they are together with the rest; then those that are not."""
    together = []
    for name in group:
        alone = _saved_shapes(save, {name: shapes[name]})
        if alone and alone.items() <= expected.items():
            yield [name]
        else:
            together.append(name)
    if together:
        yield together


def _cut(save: Save, shapes: Shapes) -> Iterator[Part]:
    """The tensors, where it can be with their last axis cut short, or the one before it."""
    found = _saved_shapes(save, shapes)
    used = {size for shape in (*shapes.values(), *found.values()) for size in shape}
    short = next(size for size in SHORT if size not in used)
    for axis in (-1, -2):
        sizes = {shape[axis] for shape in shapes.values() if len(shape) > 1}
        if len(sizes) != 1 or (size := sizes.pop()) <= short:
            continue
        less = {name: _at(shape, axis, short) for name, shape in shapes.items()}
        after = _saved_shapes(save, less)
        whole = {
            name: tuple(size if length == short else length for length in shape)
            for name, shape in after.items()
        }
        if whole == found and _count(less) <= MOST:
            yield from _numbered(save, less, (short, size))
            return
    if _count(shapes) <= MOST:
        yield from _numbered(save, shapes)


def _at(shape: Shape, axis: int, size: int) -> Shape:
    if len(shape) < 2:
        return shape
    place = axis % len(shape)
    return (*shape[:place], size, *shape[place + 1 :])
