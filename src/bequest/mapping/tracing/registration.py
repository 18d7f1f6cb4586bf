"""Operations without a run: as classes, names and shapes of the tensors suggest, in their order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from bequest.mapping.tracing.names import natural, projection, words
from bequest.mapping.tracing.ops import Op, Shape, TensorSlice
from bequest.mapping.tracing.torch_calls import NORM_ROLES

__all__ = ["is_in_order", "named_ops", "registered_ops"]

ROLES = NORM_ROLES | {"gamma": "weight", "beta": "bias"}
TURNED = ("Conv1D",)  # Hugging Face's linear layer that stores (in, out)
FIRST = frozenset(
    {"embed", "embedding", "embeddings", "emb", "wte", "wpe", "stem", "patch", "tok", "input"}
)
LAST = frozenset({"head", "heads", "classifier", "fc", "logits", "score", "pooler", "final", "lm"})
RECURRENT = re.compile(r"(weight|bias)_(ih|hh)(_l\d+)?(_reverse)?")


def registered_ops(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[Op]:
    """The operations of a network in the order in which its parts were registered."""
    classes = {name: type(part) for name, part in module.named_modules()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return _ops(shapes, classes, list(shapes))


def named_ops(shapes: Mapping[str, Shape]) -> list[Op]:
    """The operations that names and shapes suggest, in the order in which they are given.

    A file that is sorted by name, or shuffled, holds no order: there what is called a stem comes
    first, what is called a head comes last, and blocks are sorted by their numbers.
    """
    given = list(shapes)
    kept = _as_registered(given) and given != sorted(given, key=natural)
    return _ops(shapes, {}, given if kept else sorted(given, key=_place))


def is_in_order(names: Sequence[str]) -> bool:
    """Whether the order of registration is known: names are in it, or have numbers.

    Examples
    --------
    >>> is_in_order(["b.0", "b.1", "a.0"]), is_in_order(["2.w", "0.w"]), is_in_order(["a.0", "b.0"])
    (True, True, False)
    """
    return _as_registered(names) or all(
        len({child.rstrip("0123456789") for child in children}) == 1
        for children in _children(names).values()
    )


def _as_registered(names: Sequence[str]) -> bool:
    """Whether a network may have given its names in this order.

    It gives each part's together, and the parts of a list by their numbers. Other parts that are
    told apart by a number, as `up3` and `up2`, run one way or the other.
    """
    if list(names) == sorted(names):
        return len(names) < 2
    for children in _children(names).values():
        if len(set(children)) < len(children):
            return False  # something is between two tensors of one part
        alike: dict[str, list[int]] = {}
        for child in children:
            word = child.rstrip("0123456789")
            if word != child:
                alike.setdefault(word, []).append(int(child.removeprefix(word)))
        for word, numbers in alike.items():
            up = sorted(numbers)
            if numbers != up and (not word or numbers != up[::-1]):
                return False
    return True


def _children(names: Sequence[str]) -> dict[str, list[str]]:
    """By each part of a network that has several, the parts in it as they follow each other."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        parts = parts if parts[-1].isdigit() else parts[:-1]
        for n, child in enumerate(parts):
            children = found.setdefault(".".join(parts[:n]), [])
            if children[-1:] != [child]:
                children.append(child)
    return {part: children for part, children in found.items() if len(children) > 1}


def _place(name: str) -> tuple[tuple[int, tuple[tuple[int, int | str], ...]], ...]:
    """A sorting key: component by component, first stems, then by natural order, then heads."""
    found = []
    for part in name.lower().split("."):
        named = set(part.strip("_").split("_"))
        rank = -1 if named & FIRST else 1 if named & LAST else 0
        found.append((rank, natural(part)))
    return tuple(found)


def _ops(
    shapes: Mapping[str, Shape], classes: Mapping[str, type], order: Sequence[str]
) -> list[Op]:
    groups: dict[str, dict[str, str]] = {}
    for name in order:
        holder, _, last = name.rpartition(".")
        match = RECURRENT.fullmatch(last) if last else None
        if match:  # two products a layer and direction
            kind, way, layer, reverse = match.groups()
            key = f"{holder}.{way}{layer or ''}{reverse or ''}"
            groups.setdefault(key, {})[kind] = name
        elif last.startswith("in_proj_"):
            groups.setdefault(f"{holder}.in_proj", {})[last.removeprefix("in_proj_")] = name
        elif last in ROLES:
            groups.setdefault(holder, {})[ROLES[last]] = name
        else:
            groups.setdefault(name, {})["weight"] = name
    ops: list[Op] = []
    for holder, roles in groups.items():
        ops += _op(holder, roles, shapes, classes, len(ops))
    return _depths(ops)


def _op(
    holder: str,
    roles: Mapping[str, str],
    shapes: Mapping[str, Shape],
    classes: Mapping[str, type],
    order: int,
) -> list[Op]:
    cls = classes.get(holder)
    first = next((roles[r] for r in ("weight", "bias", "mean", "variance") if r in roles), "")
    if not first:
        return []
    shape = shapes[first]
    kind = _kind(holder, shape, roles, cls)
    called = "" if cls is None else cls.__name__
    turned = (called in TURNED and len(shape) == 2) or called.startswith("ConvTranspose")
    pieces = {}
    for role in ("weight", "bias", "mean", "variance"):
        if role in roles:
            size = shapes[roles[role]]
            if role == "weight" and turned:
                size = (size[1], size[0], *size[2:])
            if kind == "norm" and len(size) != 1:
                size = (max(size, default=1),)
            pieces[role] = TensorSlice(roles[role], size, transposed=turned and role == "weight")
    recurrent = holder.rpartition(".")[2].startswith("hh")
    whole = Op(kind, holder, pieces, 0, frozenset(), order, recurrent)
    return _thirds(whole) if holder.endswith(".in_proj") and len(shape) == 2 else [whole]


def _thirds(op: Op) -> list[Op]:
    """torch's fused attention: three products."""
    found = []
    for n, name in enumerate("qkv"):
        pieces = {}
        for role, piece in op.pieces.items():
            rows = piece.shape[0] // 3
            pieces[role] = replace(piece, shape=(rows, *piece.shape[1:]), start=n * rows)
        found.append(replace(op, name=f"{op.name}.{name}", pieces=pieces, order=op.order + n))
    return found


def _kind(holder: str, shape: Shape, roles: Mapping[str, str], cls: type | None) -> str:
    named = words(holder)
    if cls is not None and issubclass(cls, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    if "mean" in roles or (len(shape) == 1 and ("weight" in roles or "bias" in roles)):
        return "norm"
    if len(shape) == 2:
        looked_up = {"embedding", "position", "type"} & named and "bias" not in roles
        return "embedding" if cls is None and looked_up and "patch" not in named else "linear"
    if len(shape) in (3, 4, 5) and shape[0] > 1:
        return "conv"
    if (len(shape) == 3 and shape[0] == 1) or max(shape, default=1) == 1:
        return "table"
    vector = sum(size > 1 for size in shape) == 1
    return "norm" if vector and not {"class", "position"} & named else "table"


def _depths(ops: Sequence[Op]) -> list[Op]:
    """One after the other; products with names of one attention or gate are parallel."""
    found: list[Op] = []
    depth = 0
    for order, op in enumerate(ops):
        before = found[-1] if found else None
        parallel = (
            before is not None
            and before.kind == op.kind == "linear"
            and ((bool(projection(op.name)) and bool(projection(before.name))) or op.recurrent)
            and (op.recurrent or before.shape[1:] == op.shape[1:])
            and before.name.rpartition(".")[0] == op.name.rpartition(".")[0]
        )
        main = op.kind in ("linear", "conv", "norm", "embedding")
        depth += main and not parallel
        found.append(replace(op, depth=depth, order=order))
    return found
