"""From a plan to tensors: read from the source one by one, written once into the target's copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.core.given import checked_path
from bequest.core.wording import counted, listed
from bequest.errors import MapError
from bequest.frameworks.checkpoint_tensors import DEEPEST, SEEN, flat
from bequest.mapping.checkpoints import check_weights, network_names
from bequest.mapping.entry import Entry, Move
from bequest.mapping.sites import Shape
from bequest.mapping.source_files import opened
from bequest.mapping.trace import STATISTICS, named_tensors

__all__ = ["Source", "loaded", "tensors_of"]


@final
@dataclass(frozen=True)
class Source:
    """Where the numbers come from."""

    shapes: Mapping[str, Shape]  # in the source's order; shared tensors under each of their names
    read: Callable[[str], Tensor]  # name to tensor; not to be written into
    module: nn.Module | None = None  # the network itself, where it is one
    notes: tuple[str, ...] = ()  # sentences on what of a checkpoint was left out


def source_of(source: Any, target: Mapping[str, Shape], prefix: str | None = None) -> Source:
    """A network, a mapping of tensors or a file of them as a source.

    Of a mapping or a file only the network is kept that the shapes of the `target`, or the
    `prefix`, say is meant.
    """
    if isinstance(source, nn.Module):
        tensors = _tensors(source.state_dict(keep_vars=True).items())
        check_weights(list(tensors), target, type(source).__name__)
        return _held(tensors, type(source).__name__, source)
    if isinstance(source, Mapping):
        return _checkpoint(source, target, prefix)
    if isinstance(source, str | Path):
        file = opened(checked_path(source, "the source of a map", MapError))
        names, notes = network_names(file.shapes, target, str(source), prefix)
        return Source({name: file.shapes[name] for name in names}, file.read, notes=tuple(notes))
    raise MapError(
        f"a source is a network, a mapping of tensors or a .safetensors file, not a "
        f"{type(source).__name__}."
    )


def _checkpoint(
    content: Mapping[Any, Any], target: Mapping[str, Shape], prefix: str | None
) -> Source:
    """A mapping of tensors, or one that has such a mapping inside, as training programs save it."""
    values = [(path, value) for path, value in flat(content) if path]
    _check_keys(content)
    found = {".".join(path): path for path, value in values if isinstance(value, Tensor)}
    tensors = _tensors((".".join(path), value) for path, value in values)
    if len(found) < sum(isinstance(value, Tensor) for _, value in values):
        raise MapError("the mapping has two tensors of one name, one of them in an inner mapping.")
    others = [".".join(path) for path, value in values if not isinstance(value, Tensor)]
    if others and not tensors:
        raise MapError(
            f"the mapping holds {counted(len(others), 'value')} and no tensors: arrays become "
            "tensors by torch.from_numpy."
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names, notes = network_names(shapes, target, "the mapping", prefix)
    if others:
        notes.append(f"Left out, as no tensors: {listed(others)}.")
    depth = _shared_depth([found[name] for name in names])
    kept = {".".join(found[name][depth:]): tensors[name] for name in names}
    return replace(_held(kept, "the mapping"), notes=tuple(notes))


def _check_keys(content: Mapping[Any, Any], levels: int = DEEPEST) -> None:
    """Tensors have names; a whole number is read as one."""
    for key, value in content.items():
        if isinstance(value, Tensor) and (not isinstance(key, str | int) or isinstance(key, bool)):
            raise MapError(
                f"the mapping holds a tensor under {str(key)[:SEEN]!a}, a {type(key).__name__}: "
                "names of tensors are strings."
            )
        if isinstance(value, Mapping) and levels:
            _check_keys(value, levels - 1)


def _shared_depth(paths: Sequence[tuple[str, ...]]) -> int:
    """How many mappings around the tensors hold all of them."""
    levels = zip(*(path[:-1] for path in paths), strict=False)
    return sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))


def _tensors(values: Iterable[tuple[str, Any]]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in values if isinstance(tensor, Tensor)}


def _held(tensors: Mapping[str, Tensor], where: str, module: nn.Module | None = None) -> Source:
    for name, tensor in tensors.items():
        if tensor.is_quantized:
            raise MapError(
                f"{name} of {where} is quantised ({tensor.dtype}): map the network before it is "
                "quantised, or dequantise it."
            )
        if tensor.layout != torch.strided:
            raise MapError(f"{name} of {where} is sparse: map it as tensor.to_dense().")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Source(shapes, lambda name: tensors[name].detach(), module)


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


def lent(entry: Entry, source: Source, own: Tensor) -> Tensor:
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
    return result


def _check_bound(entry: Entry, source: Source, values: Tensor, own: Tensor) -> None:
    """Refuse what is not finite, unless it may be a bound that is so by design.

    That is a buffer with infinite numbers of the source's, or a tensor that the target itself
    holds with such numbers; running statistics are learned like weights.
    """
    bad = [name for name in entry.sources if not _is_finite(source.read(name))]
    nan, known = bool(values.isnan().any()), not own.is_meta and not _is_finite(own.detach())
    learned = isinstance(own, nn.Parameter) or entry.target.rpartition(".")[2] in STATISTICS
    if bad and (known if nan else known or not learned):
        return
    why = f": {bad[0]} of the source has NaN or infinite ones" if bad else ""
    raise MapError(f"{entry.target} would hold numbers that are not finite{why}.")


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


def _is_finite(tensor: Tensor) -> bool:
    """Half precision may overflow where single precision did not."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)
    return math.isfinite(float(low)) and math.isfinite(float(high))
