"""Checkpoints of several networks: student and teacher, weights and their moving average."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bequest.core.wording import listed
from bequest.errors import MapError
from bequest.mapping.tracing.ops import Shape

__all__ = ["CONTAINERS", "Shapes", "meant_part", "quoted"]

Shapes = Mapping[str, Shape]
CONTAINERS = frozenset(
    {
        "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network",
        "weights", "params", "ema", "ema_model", "model_ema", "ema_state_dict", "state_dict_ema",
        "params_ema", "student", "teacher",
    }
)  # fmt: skip
# What is numbered and a network rather than a block: `members.0`, `net1`; not `model.0`, which is
# a layer of a sequence.
NETWORK = re.compile(
    r".*((model|net|network|member|estimator|learner|fold|generator|discriminator|critic|actor"
    r"|agent|student|teacher|tower)(s\.|s?_?)|ensemble[._]?)\d+",
    re.IGNORECASE,
)
LEAST = 4  # tensors of what may be a network of its own, in two layers at least
MOSTLY = 0.6  # share of a network's names that another has too
AGREES = 0.5  # share of the target's tensors that names have to explain before they decide


def meant_part(shapes: Shapes, target: Shapes, where: str) -> str:
    """The one network of several that the target is; empty where the whole checkpoint is one."""
    parts = _networks(shapes, target)
    if len(parts) < 2:
        return ""
    enough = AGREES * len(target)
    for by_shape in (True, False):  # names and shapes, then names alone
        target_pairs = [_pairs(renamed, by_shape) for renamed in _less_prefix(target)]
        found = {part: _agreement(inner, target_pairs, by_shape) for part, inner in parts.items()}
        whole, best = _agreement(shapes, target_pairs, by_shape), max(found.values())
        if best > whole and best >= enough:
            complete = [part for part in parts if found[part] == len(target)]
            if by_shape and len(complete) == 1:
                return complete[0]
            raise _several(list(parts), where)
        if whole >= enough:
            return ""
    if _is_whole(shapes, parts, target):
        return ""
    raise _several(list(parts), where)


def _several(parts: Sequence[str], where: str) -> MapError:
    names = " and ".join(map(repr, parts)) if len(parts) == 2 else quoted(parts)
    called = "blocks like the target" if _blocks(parts) else "networks"
    return MapError(
        f"{where} holds {len(parts)} {called}, {names}: prefix={parts[0]!r} takes one of them, "
        "prefix='' all as one network."
    )


def quoted(names: Iterable[str]) -> str:
    """Names in a message."""
    return listed(map(repr, names))


def _networks(shapes: Shapes, target: Shapes) -> dict[str, dict[str, Shape]]:
    """The parts, by the first words of the names, that hold mostly the same names, as copies do.

    Blocks of one network are like that too: they count only where the target is such a block.
    """
    groups = _groups(shapes)
    wanted = Counter(target.values())
    blocks = {b for b in _blocks(groups) if Counter(groups[b].values()) != wanted}
    groups = {top: inside for top, inside in groups.items() if top not in blocks}
    large = {
        top: [_patterns(inside, ""), _patterns(inside, _common(n for n in inside if "." in n))]
        for top, inside in groups.items()
        if len(inside) >= LEAST and len({inner.rpartition(".")[0] for inner in inside}) > 1
    }
    counts = Counter(pattern for raw, bare in large.values() for pattern in raw | bare)
    return {
        top: groups[top]
        for top, ways in large.items()
        if any(sum(counts[p] > 1 for p in patterns) >= MOSTLY * len(patterns) for patterns in ways)
    }


def _groups(shapes: Shapes) -> dict[str, dict[str, Shape]]:
    """The tensors by the first word in which their names differ; of `members.0` by the number."""
    common = _common(shapes)
    groups: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        top, _, inner = name.removeprefix(common).partition(".")
        number, _, inside = inner.partition(".")
        if NETWORK.fullmatch(f"{top}.{number}") and "." in inside:
            top, inner = f"{top}.{number}", inside
        groups.setdefault(f"{common}{top}", {})[inner] = shape
    return groups


def _blocks(parts: Iterable[str]) -> set[str]:
    """The parts that are called by one word and consecutive numbers: `layer1`, `conv2_x`, `2`."""
    numbered: dict[tuple[str, str], dict[int, str]] = {}
    for part in parts:
        found = re.fullmatch(r"(.*?)(\d+)(\D*)", part)
        if found and not NETWORK.fullmatch(part):
            numbered.setdefault((found[1], found[3]), {})[int(found[2])] = part
    return {
        part
        for blocks in numbered.values()
        if len(blocks) > 1 and max(blocks) - min(blocks) == len(blocks) - 1
        for part in blocks.values()
    }


def _patterns(names: Iterable[str], prefix: str) -> set[str]:
    """The names without a prefix, whatever the numbers in them."""
    return {re.sub(r"\d+", "#", name.removeprefix(prefix)) for name in names}


def _common(names: Iterable[str]) -> str:
    """The beginning that all names share, up to a dot."""
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(f"{level[0]}.")
    return "".join(common)


def _agreement(shapes: Shapes, target_pairs: Sequence[set[Any]], by_shape: bool) -> int:
    """How many of the target's tensors are there by name, where prefixes may differ."""
    common = _common(name for name in shapes if "." in name)
    without = {name.removeprefix(common): shape for name, shape in shapes.items()}
    source_pairs = _pairs(shapes, by_shape), _pairs(without, by_shape)
    return max(len(one & other) for one in target_pairs for other in source_pairs)


def _pairs(shapes: Shapes, by_shape: bool) -> set[Any]:
    return set(shapes.items()) if by_shape else set(shapes)


def _less_prefix(shapes: Shapes) -> Iterator[Shapes]:
    """The tensors as they are, and less each beginning that most of their names have."""
    while True:
        yield shapes
        tops = Counter(name.partition(".")[0] for name in shapes if "." in name)
        top, count = tops.most_common(1)[0] if tops else ("", 0)
        if count <= len(shapes) / 2:
            return
        start = f"{top}."
        shapes = {n.removeprefix(start): s for n, s in shapes.items() if n.startswith(start)}


def _is_whole(shapes: Shapes, parts: Mapping[str, Shapes], target: Shapes) -> bool:
    """Whether a target with other names is as large as all of it, rather than as one part.

    Two states of one network, such as a model and its moving average, are never both meant.
    """
    states = {part.rpartition(".")[2] for part in parts} & CONTAINERS
    if states and len({tuple(sorted(inner.items())) for inner in parts.values()}) < len(parts):
        return False
    wanted = Counter(shape for shape in target.values() if len(shape) > 1)
    found = _overlap(shapes, wanted)
    most = max(_overlap(inner, wanted) for inner in parts.values())
    if found >= AGREES * wanted.total() and found == most:
        return False
    if not target or len(_networks(target, shapes)) >= len(parts):
        return bool(target)
    off = {part: abs(math.log(len(inner) / len(target))) for part, inner in parts.items()}
    return abs(math.log(len(shapes) / len(target))) < min(off.values())


def _overlap(shapes: Shapes, wanted: Counter[Shape]) -> int:
    return (Counter(shapes.values()) & wanted).total()
