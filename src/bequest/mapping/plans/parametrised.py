"""Weights that a network computes: seen as what they evaluate to, kept as it keeps them.

torch's parametrisations (weight_norm, spectral_norm, orthogonal) hold other tensors than the layer
uses. Such a network is mapped as its plain copy; what the target holds is then derived from that.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

from torch import nn
from torch.nn.utils import parametrize

from bequest.frameworks.torch.unchanged import evaluating
from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.rules.length import Length
from bequest.mapping.tracing.ops import Shape, TensorSlice

__all__ = ["is_computed", "kept", "plain"]

PATH = ".parametrizations."
LEAST_SURE = 0.5  # of a weight that its parametrisation changes again


def is_computed(name: str) -> bool:
    """Whether a tensor is a part of a weight that torch computes from it."""
    return PATH in name


def plain(module: nn.Module) -> nn.Module:
    """The module itself, or a copy of it with the computed weights as plain parameters.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> sorted(plain(layer).state_dict())
    ['bias', 'weight']
    """
    if not any(parametrize.is_parametrized(part) for part in module.modules()):
        return module
    result = copy.deepcopy(module)
    for part in result.modules():
        if parametrize.is_parametrized(part):
            _bare(part)
    return result


def _bare(part: nn.Module) -> None:
    """Its weights as plain parameters.

    Not by `remove_parametrizations`, which takes the weight from the class that a copy shares.
    """
    with evaluating(part):  # a spectral norm is not to move on
        found = {name: getattr(part, name).clone() for name in part.parametrizations}  # type: ignore[union-attr]
    part.__class__ = parametrize.type_before_parametrizations(part)
    del part.parametrizations
    for name, value in found.items():
        part.register_parameter(name, nn.Parameter(value))


def kept(made: ParameterMap, target: nn.Module) -> ParameterMap:
    """The map of a target's plain copy as one of the target itself."""
    by_name = {entry.target: entry for entry in made.entries}
    entries = []
    for name, tensor in target.state_dict(keep_vars=True).items():
        origin = _plain_name(name)
        if origin == name or origin not in by_name:
            entries.append(by_name[name])
        else:
            entries.append(_entry(by_name[origin], name, tuple(tensor.shape), target))
    body = frozenset(e.target for e in entries if _plain_name(e.target) in made.body)
    changed = [e for e in entries if e.target.endswith(".original") and e.moves]
    notes = made.notes[:1] if changed else made.notes  # what was run is another function then
    notes += tuple(f"{e.target} is changed again by its parametrisation." for e in changed[:3])
    whole = tuple(entries)
    return replace(made, entries=whole, notes=notes, body=body, target=target, expected=whole)


def _plain_name(name: str) -> str:
    holder, found, last = name.partition(PATH)
    return f"{holder}.{last.partition('.')[0]}" if found else name


def _entry(entry: Entry, name: str, shape: Shape, target: nn.Module) -> Entry:
    """A tensor (original, original0, 0._u) of the weight that an entry describes."""
    holder, _, last = name.partition(PATH)
    weight, _, part = last.partition(".")
    steps = target.get_submodule(holder).parametrizations[weight]  # type: ignore[index]
    normed = [type(step).__name__ == "_WeightNorm" for step in steps]
    if normed == [True] and part in ("original0", "original1"):
        if part == "original1":
            return _moved(entry, name, shape)
        return _lengths(entry, name, shape, int(steps[0].dim))  # type: ignore[arg-type]
    if part == "original":
        found = _moved(entry, name, shape)
        return replace(found, confidence=min(found.confidence, LEAST_SURE))
    return Entry(name, shape, "parameter", (), (), "initialised", 1.0)


def _moved(entry: Entry, name: str, shape: Shape) -> Entry:
    moves = tuple(replace(move, put=replace(move.put, tensor=name)) for move in entry.moves)
    return replace(entry, target=name, shape=shape, moves=moves)


def _lengths(entry: Entry, name: str, shape: Shape, dim: int) -> Entry:
    """The lengths of a weight's slices along one axis."""
    fresh = Entry(name, shape, entry.role, (), (), "initialised", 1.0)
    moves: list[Move] = []
    for move in entry.moves:
        put = move.put
        axis = 1 - dim if put.transposed and dim in (0, 1) else dim
        whole = math.prod(put.shape) == entry.size
        if axis < 0 or not (whole or axis == 0):
            return fresh
        lengths = tuple(n if place == axis else 1 for place, n in enumerate(put.shape))
        piece = TensorSlice(name, lengths, put.start, put.transposed)
        moves.append(replace(move, put=piece, rules=(*move.rules, Length(axis))))
    if not moves:
        return fresh
    rule = ", ".join(dict.fromkeys((*entry.rule.split(", "), Length.name)))
    return replace(entry, target=name, shape=shape, axes=(), moves=tuple(moves), rule=rule)
