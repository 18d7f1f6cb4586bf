"""From a plan to tensors: read from the source one by one, written once into the target's copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.errors import MapError
from bequest.frameworks.weights import TensorFile
from bequest.mapping.entry import Entry, Move
from bequest.mapping.sites import Shape

__all__ = ["Source", "loaded", "tensors_of"]


@final
@dataclass(frozen=True)
class Source:
    """Where the numbers come from.

    Parameters
    ----------
    name : str
        What people call it.
    shapes : mapping of str to tuple of int
        Every tensor, those that are shared under each of their names.
    read : callable
        Name to tensor; not to be written into.
    module : torch.nn.Module or None
        The network itself, where it is one.
    """

    name: str
    shapes: Mapping[str, Shape]
    read: Callable[[str], Tensor]
    module: nn.Module | None = None


def source_of(source: Any) -> Source:
    """A network, a mapping of tensors or a safetensors file as a source.

    Raises
    ------
    MapError
        It is none of them, or a tensor is quantised.
    ModelError
        The file is no sound safetensors file, or a pickle.
    """
    if isinstance(source, nn.Module):
        tensors = dict(_plain(source.state_dict(keep_vars=True), type(source).__name__))
        return _held(type(source).__name__, tensors, source)
    if isinstance(source, Mapping):
        return _held("the mapping", dict(_plain(source, "the mapping")), None)
    if isinstance(source, str | Path):
        file = TensorFile(source)
        return Source(str(source), file.shapes, file.read)
    raise MapError(
        f"a source is a network, a mapping of tensors or a .safetensors file, not a "
        f"{type(source).__name__}."
    )


def _held(name: str, tensors: Mapping[str, Tensor], module: nn.Module | None) -> Source:
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    return Source(name, shapes, lambda key: tensors[key].detach(), module)


def _plain(tensors: Mapping[str, Any], where: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            continue
        if tensor.is_quantized:
            raise MapError(
                f"{name} of {where} is quantised ({tensor.dtype}): map the network before it is "
                "quantised, or dequantise it."
            )
        yield name, tensor


def tensors_of(entries: Sequence[Entry], source: Source, target: nn.Module) -> dict[str, Tensor]:
    """The target's tensors by name, filled; shared ones once."""
    made: dict[int, Tensor] = {}
    result: dict[str, Tensor] = {}
    theirs = target.state_dict(keep_vars=True)
    by_name = {entry.target: entry for entry in entries}
    for name, tensor in theirs.items():
        if not isinstance(tensor, Tensor):
            continue
        if id(tensor) not in made:
            made[id(tensor)] = filled(by_name[name], source, tensor.detach())
        result[name] = made[id(tensor)]
    return result


def loaded(entries: Sequence[Entry], source: Source, target: nn.Module) -> nn.Module:
    """A deep copy of the target whose tensors are made by the plan, none of them copied twice."""
    made: dict[int, Any] = {}
    by_name = {entry.target: entry for entry in entries}
    for name, tensor in target.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or id(tensor) in made:
            continue
        values = filled(by_name[name], source, tensor.detach())
        made[id(tensor)] = _like(tensor, values)
    ties = _tied(target)
    result = copy.deepcopy(target, dict(made))
    if _tied(result) != ties:
        raise MapError("tied weights came apart while the target was copied.")
    return result


def _like(tensor: Tensor, values: Tensor) -> Tensor:
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(values, requires_grad=tensor.requires_grad)
    return values


def _tied(module: nn.Module) -> list[tuple[str, ...]]:
    names: dict[int, list[str]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    return sorted(tuple(sorted(group)) for group in names.values() if len(group) > 1)


def filled(entry: Entry, source: Source, own: Tensor) -> Tensor:
    """One tensor of the target, in its dtype and on its device."""
    if not entry.moves:
        if own.is_meta:
            raise MapError(
                f"{entry.target} has no numbers of its own (it is on the meta device) and gets "
                "none from the source: target.to_empty(device='cpu') and initialise it first."
            )
        return own.clone()
    whole = entry.initialised == 0 and not any(move.added for move in entry.moves)
    device = torch.device("cpu") if own.is_meta else own.device
    if own.is_meta and not whole:
        raise MapError(
            f"{entry.initialised} numbers of {entry.target} are to stay as they are, but it is on "
            "the meta device and has none: target.to_empty(device='cpu') and initialise it first."
        )
    result = torch.empty_like(own, device=device) if whole else own.clone()
    result = result.contiguous()
    for move in entry.moves:
        _put(move, source, result, entry.target)
    _check_finite(result, entry.target)
    return result


def _put(move: Move, source: Source, result: Tensor, name: str) -> None:
    current = move.put.of(result)
    if not move.source:
        for rule in move.rules:
            current.copy_(rule.apply(current, current))
        return
    values = move.taken.of(source.read(move.source))
    if values.is_complex() and not current.is_complex():
        raise MapError(f"{move.source} is complex and {name} is not: a part would be lost.")
    if values.is_meta:
        raise MapError(f"{move.source} is on the meta device: the source has no numbers.")
    with torch.no_grad():
        for rule in move.rules:
            values = rule.apply(values, current)
        if values.shape != current.shape:
            raise MapError(
                f"the rules bring {move.source} to {tuple(values.shape)}, {name} has "
                f"{tuple(current.shape)} there."
            )
        values = values + current if move.added else values
        if current.ndim == 2 and not current.is_contiguous():
            # torch transposes fast into memory that is written in order, and slowly the other way
            current, values = current.t(), values.t()
        current.copy_(values)


def _check_finite(tensor: Tensor, name: str) -> None:
    """Half precision may overflow where single precision did not."""
    if not tensor.is_floating_point() or not tensor.numel():
        return
    low, high = torch.aminmax(tensor)
    if not (math.isfinite(float(low)) and math.isfinite(float(high))):
        raise MapError(f"{name} would hold numbers that are not finite.")
