"""From a plan to tensors: read from the source one by one, written once into the target's copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import MapError
from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.running import STATISTICS, named_tensors

__all__ = ["borrowed", "loaded", "tensors_of"]


def tensors_of(entries: Sequence[Entry], source: Source, target: nn.Module) -> dict[str, Tensor]:
    """The target's tensors by name, filled; shared ones once."""
    same = named_tensors(target)[1]
    made = {name: values for name, _, values in _filled(entries, source, target)}
    names = [name for name in target.state_dict() if name in made or name in same]
    return {name: made[same.get(name, name)] for name in names}


def loaded(entries: Sequence[Entry], source: Source, target: nn.Module) -> nn.Module:
    """A deep copy of the target whose tensors are made by the plan, none of them copied twice."""
    made: dict[int, Any] = {}
    for _, tensor, values in _filled(entries, source, target):
        learned = isinstance(tensor, nn.Parameter)
        made[id(tensor)] = nn.Parameter(values, tensor.requires_grad) if learned else values
    result = copy.deepcopy(target, made)
    if named_tensors(result)[1] != named_tensors(target)[1]:
        raise MapError("tied weights came apart while the target was copied.")
    return result


def _filled(
    entries: Sequence[Entry], source: Source, target: nn.Module
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, own tensor and filled one; of those that are shared, once."""
    by_name = {entry.target: entry for entry in entries}
    for name, tensor in named_tensors(target)[0].items():
        values = filled(by_name[name], source, tensor.detach())
        if by_name[name].moves and not _is_finite(values):
            _check_bound(by_name[name], source, values, tensor)
        yield name, tensor, values


def borrowed(entry: Entry, source: Source, own: Tensor) -> Tensor:
    """One tensor of the target to run it with, not to keep: the source's own where it is the same.

    Of large networks copying takes longer than running them on one input.
    """
    if len(entry.moves) == 1 and not entry.moves[0].rules and not entry.moves[0].added:
        move = entry.moves[0]
        values = source.read(move.source)
        alike = (values.shape, values.dtype, values.device) == (own.shape, own.dtype, own.device)
        whole = math.prod(move.put.shape) == own.numel()
        if alike and whole and move.taken.transposed == move.put.transposed:
            return values
    return filled(entry, source, own)


def filled(entry: Entry, source: Source, own: Tensor) -> Tensor:
    """One tensor of the target, in its dtype and on its device."""
    if not entry.moves:
        if own.is_meta:
            raise MapError(
                f"{entry.target} has no values of its own (it is on the meta device) and gets "
                "none from the source: target.to_empty(device='cpu') and initialise it first."
            )
        return own.clone()
    whole = entry.initialised == 0 and not any(move.added for move in entry.moves)
    device = torch.device("cpu") if own.is_meta else own.device
    if own.is_meta and not whole:
        raise MapError(
            f"{entry.initialised} values of {entry.target} are to stay as they are, but it is on "
            "the meta device and has none: target.to_empty(device='cpu') and initialise it first."
        )
    result = torch.empty_like(own, device=device) if whole else own.clone()
    result = result.contiguous()
    for move in entry.moves:
        _put(move, source, result, entry.target)
    return result


def _check_bound(entry: Entry, source: Source, values: Tensor, own: Tensor) -> None:
    """Refuse what is not finite, unless it may be a bound that is so by design.

    That is a buffer with infinite values of the source's, or a tensor that the target itself
    holds with such values; running statistics are learned like weights.
    """
    bad = [name for name in entry.sources if not _is_finite(source.read(name))]
    nan, known = bool(values.isnan().any()), not own.is_meta and not _is_finite(own.detach())
    learned = isinstance(own, nn.Parameter) or entry.target.rpartition(".")[2] in STATISTICS
    if bad and (known if nan else known or not learned):
        return
    why = f": {bad[0]} of the source has NaN or infinite ones" if bad else ""
    raise MapError(f"{entry.target} would hold values that are not finite{why}.")


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
        raise MapError(f"{move.source} is on the meta device: the source has no values.")
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


def _is_finite(tensor: Tensor) -> bool:
    """Half precision may overflow where single precision did not."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)
    return math.isfinite(float(low)) and math.isfinite(float(high))
