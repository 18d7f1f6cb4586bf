"""A block that the target has more than the source starts as one that changes nothing.

A deeper target whose blocks are repeated is another function than the source, and starts worse the
fewer labels there are. Where a branch is added to what goes past it, its last layer starts at zero;
where there is one square layer, it starts as the identity. All else of the block is the source's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from bequest.mapping.matching.levels import Level
from bequest.mapping.rules import Rule
from bequest.mapping.rules.layout import ZerosInit
from bequest.mapping.rules.neutral import IdentityInit, OnesInit
from bequest.mapping.tracing.ops import WEIGHTS, Op, Trace

__all__ = ["neutral_blocks", "neutral_rules", "repeated"]

Role = tuple[int, str]  # place of an operation, and the tensor's role in it
NORM: Mapping[str, Rule] = {
    "weight": OnesInit(),
    "bias": ZerosInit(),
    "mean": ZerosInit(),
    "variance": OnesInit(),
}


def neutral_blocks(
    target: Trace, order: Sequence[Level], pairs: Sequence[tuple[int, int]]
) -> dict[int, dict[str, Rule]]:
    """By place, the operations in blocks that can change nothing, with such rules by their role.

    `order` are the target's levels, `pairs` places among them and among the source's.
    """
    found: dict[int, dict[str, Rule]] = {}
    for places in repeated(pairs):
        block = [order[n] for n in places]
        rules = neutral_rules(target, block)
        if rules:
            found |= {op.order: {} for level in block for op in level}
        for (place, role), rule in rules.items():
            found[place][role] = rule
    return found


def repeated(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The target's levels whose source's level is in an earlier pair too, block by block.

    Examples
    --------
    >>> repeated([(0, 0), (1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 2), (7, 3)])
    [[3, 4], [5, 6]]
    """
    blocks: list[list[int]] = []
    seen: set[int] = set()
    before = -1, -1
    for target, source in sorted(pairs):
        if source in seen:
            if blocks and blocks[-1][-1] == before[0] == target - 1 and source > before[1]:
                blocks[-1].append(target)
            else:
                blocks.append([target])
        seen.add(source)
        before = target, source
    return blocks


def neutral_rules(trace: Trace, block: Sequence[Level]) -> dict[Role, Rule]:
    """What some tensors of a block hold while it changes nothing; empty where that cannot be.

    What reads what decides: of a trace without a run nothing is known.

    References
    ----------
    Chen, Goodfellow and Shlens, Net2Net, ICLR 2016 (identity); Wu et al., LLaMA Pro: Progressive
    LLaMA with block expansion, ACL 2024 (zero).
    """
    inside = {op.order: op for level in block for op in level}
    readers = [op for op in trace.ops if op.order not in inside]
    reads = [op.reads for op in readers if op.reads & inside.keys()]
    reads += [trace.last] if trace.last & inside.keys() else []
    left = {frozenset(read & inside.keys()) for read in reads}
    alone = not any(_tensors(op) & _tensors(other) for op in readers for other in inside.values())
    if not trace.ran or len(left) != 1 or not alone or any(s.recurrent for s in inside.values()):
        return {}
    ends = [inside[place] for place in sorted(next(iter(left)))]
    past = [read - inside.keys() for read in reads]
    if not any(past):
        return dict(_identity(list(inside.values()), ends) or _after_norm(inside, ends))
    widths = {op.shape[0] for op in ends} | {
        _width(op) for op in readers if op.reads & inside.keys()
    }
    return dict(_silent(ends)) if all(past) and len(widths) == 1 else {}


def _tensors(op: Op) -> set[str]:
    return {piece.tensor for piece in op.pieces.values()}


def _width(op: Op) -> int:
    """Channels that an operation reads."""
    return op.shape[1] if op.kind in WEIGHTS and len(op.shape) > 1 else op.shape[0]


def _silent(ends: Sequence[Op]) -> Iterator[tuple[Role, Rule]]:
    """Zeros in the layers whose results are added to what goes past.

    Two that read the same may be multiplied: both at zero, neither would ever learn.
    """
    reads = [(op.depth, op.reads) for op in ends]
    if len(set(reads)) < len(reads) or not all("weight" in op.pieces for op in ends):
        return
    for op in ends:
        for role in ("weight", "bias"):
            if role in op.pieces:
                yield (op.order, role), ZerosInit()


def _after_norm(inside: Mapping[int, Op], ends: Sequence[Op]) -> dict[Role, Rule]:
    """What goes past is what the block's first normalisation gives."""
    first, rest = ends[0], ends[1:]
    outer = first.kind == "norm" and not first.reads & inside.keys()
    same = all(op.shape[0] == first.shape[0] and op.kind in WEIGHTS for op in rest)
    return dict(_silent(rest)) if outer and rest and same else {}


def _identity(ops: Sequence[Op], ends: Sequence[Op]) -> dict[Role, Rule]:
    """One square layer, with normalisations after it or without."""
    first, rest = ops[0], ops[1:]
    square = first.kind in WEIGHTS and first.shape[:1] == first.shape[1:2]
    odd = all(size % 2 for size in first.shape[2:]) and prod(first.stride) == 1
    if not square or not odd or len(ends) > 1 or any(op.kind != "norm" for op in rest):
        return {}
    rules: dict[Role, Rule] = {
        (first.order, "weight"): IdentityInit(),
        (first.order, "bias"): ZerosInit(),
    }
    return rules | {
        (op.order, role): NORM[role] for op in rest for role in op.pieces if role in NORM
    }
