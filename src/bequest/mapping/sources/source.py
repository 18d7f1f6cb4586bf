"""Where the parameters come from: a network, a mapping of tensors, or a file of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.core.validation import validate_path
from bequest.core.wording import listed, pluralise
from bequest.errors import MapError
from bequest.frameworks.files.checkpoint_tensors import DEEPEST, SEEN, flat
from bequest.mapping.sources.checkpoints import check_weights, network_names
from bequest.mapping.sources.files import opened
from bequest.mapping.tracing.ops import Shape

__all__ = ["Source", "source_of"]


@final
@dataclass(frozen=True)
class Source:
    """Where the parameters come from: names, shapes, and how to read a tensor."""

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
        file = opened(validate_path(source, "the source of a map", MapError))
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
            f"the mapping holds {pluralise(len(others), 'value')} and no tensors: arrays become "
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
