"""By which rules a correspondence's values get the target's shape."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from bequest.mapping.matching.correspondence import Correspondence
from bequest.mapping.rules import Rule
from bequest.mapping.rules.channels import Channels
from bequest.mapping.rules.kernel import CentreCropOrPad, Patch
from bequest.mapping.rules.pick import Classes, Columns, Tokens
from bequest.mapping.rules.positions import resized_positions
from bequest.mapping.rules.width import Repeat, RepeatParts, Select, SplitWeight
from bequest.mapping.tracing.names import words
from bequest.mapping.tracing.ops import WEIGHTS, Op, TensorSlice

__all__ = ["NameHints", "Resolved", "axes_of", "resolve"]

NAMED = {  # one of them, and the argument that names them
    "classes": ("class", "classes"),
    "input columns": ("column", "columns"),
    "tokens": ("token", "vocabulary"),
}


@final
@dataclass(frozen=True)
class NameHints:
    """What is known of the two networks beyond their tensors; of pairs, the source's is first."""

    classes: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None  # labels
    columns: tuple[Sequence[str], Sequence[str]] | None = None  # names of input columns
    vocabulary: tuple[Mapping[str, int], Mapping[str, int]] | None = None  # each token to its row
    image: bool = False  # they see images: positions form a grid


@final
@dataclass(frozen=True)
class Resolved:
    """A correspondence with its rules, or with the problem that forbids it."""

    taken: TensorSlice
    put: TensorSlice
    rules: tuple[Rule, ...]
    problem: str = ""
    new_head: bool = False  # of other classes, and no names to match them by: it starts afresh


def axes_of(op: Op, role: str, piece: TensorSlice, *, head: bool, fed: bool) -> tuple[str, ...]:
    """What each axis of a tensor counts.

    Examples
    --------
    >>> op = Op("linear", "fc", {}, 1, frozenset(), 0)
    >>> axes_of(op, "weight", TensorSlice("fc.weight", (3, 4)), head=True, fed=False)
    ('classes', 'inputs')
    """
    rank = len(piece.shape)
    if op.kind in WEIGHTS:
        first = "classes" if head else "output channels" if op.kind == "conv" else "outputs"
        if role != "weight":
            return (first,)
        inputs = "inputs" if op.kind == "linear" else "input channels"
        if fed:
            inputs = "input columns" if op.kind == "linear" else "image channels"
        return (first, inputs, *("kernel",) * (rank - 2))[:rank]
    if op.kind == "norm":
        return ("channels",) * rank
    said = words(piece.tensor)
    first = "positions" if "position" in said else "types" if "type" in said else "tokens"
    if op.kind == "embedding":
        return (first, "width")[:rank]
    return (*("1",) * (rank - 2), "positions", "width")[-rank:] if rank > 1 else ("width",) * rank


def resolve(link: Correspondence, known: NameHints, *, head: bool, fed: bool) -> Resolved:
    """The rules, axis by axis.

    With `head`, both operations give the networks' outputs; with `fed`, they read the inputs.
    """
    taken, put = _one_rank(link.source, link.target)
    op = link.ops[0]
    rules: list[Rule] = []
    axes = axes_of(op, link.role, put, head=head, fed=fed)
    named: list[Rule] = []
    for axis, (wanted, there) in enumerate(zip(put.shape, taken.shape, strict=False)):
        arranged = any(isinstance(r, Repeat | RepeatParts) and r.axis == axis for r in link.rules)
        if (op.kind in WEIGHTS and axis >= 2) or arranged:
            continue
        meaning = axes[axis] if axis < len(axes) else ""
        if meaning == "classes" and wanted != there and not _classes_known(known):
            return Resolved(taken, put, (), new_head=True)
        rule, problem = _rule(meaning, axis, there, wanted, link, known)
        if problem:
            return Resolved(taken, put, (), problem)
        if isinstance(rule, Classes | Columns | Tokens):
            named.append(rule)
        elif rule is not None:
            rules.append(rule)
    if op.kind in WEIGHTS and taken.shape[2:] != put.shape[2:]:
        rules.insert(0, _kernel(link, put, fed))
    return Resolved(taken, put, (*rules, *named))


def _classes_known(known: NameHints) -> bool:
    return known.classes is not None or known.vocabulary is not None


def _rule(
    meaning: str, axis: int, there: int, wanted: int, link: Correspondence, known: NameHints
) -> tuple[Rule | None, str]:
    if known.vocabulary is not None and meaning in ("classes", "tokens", "types"):
        return _tokens(there, wanted, *known.vocabulary), ""
    given: Any = {"classes": known.classes, "input columns": known.columns}.get(meaning)
    if given is not None:
        named = Classes.between(*given) if meaning == "classes" else Columns.between(*given)
        if len(given[0]) != there or len(named.rows) != wanted:
            return None, _unnamed(link, there, wanted, meaning, given=True)
        return None if named.rows == tuple(range(there)) else named, ""
    if there == wanted:
        return None, ""
    looked_up = meaning == "tokens" and link.ops[0].kind == "embedding"
    if looked_up or meaning == "input columns":
        return None, _unnamed(link, there, wanted, meaning, given=False)
    if meaning in ("positions", "types", "tokens"):
        return resized_positions(axis, there, wanted, image=known.image), ""
    if meaning == "image channels":
        return Channels(axis, wanted), ""
    parts = _parts(link) if meaning == "outputs" else ()
    if parts and (sum(parts[0]), sum(parts[1])) == (there, wanted):
        return RepeatParts(axis, *parts), ""
    grown = SplitWeight if meaning in ("inputs", "input channels") else Repeat
    return (grown(axis, wanted) if wanted > there else Select(axis, wanted)), ""


def _parts(link: Correspondence) -> tuple[tuple[int, ...], ...]:
    """Outputs of each layer that the source's and the target's tensor hold, where names say so."""
    said = words(link.target.tensor)
    shapes = [op.pieces.get("weight", op.main).shape for op in reversed(link.ops)]
    if len(link.ops[0].shape) != 2 or any(len(shape) != 2 for shape in shapes):
        return ()
    if "qkv" in said:  # queries as wide as what they read; grouped keys and values share the rest
        rest = [(rows - width) // 2 for rows, width in shapes]
        fit = all(
            n > 0 and (rows - width) % 2 == 0 for n, (rows, width) in zip(rest, shapes, strict=True)
        )
        return (
            tuple((width, n, n) for n, (_, width) in zip(rest, shapes, strict=True)) if fit else ()
        )
    if {"gate", "up"} <= said and all(rows % 2 == 0 for rows, _ in shapes):
        return tuple((rows // 2, rows // 2) for rows, _ in shapes)
    return ()


def _tokens(
    there: int, wanted: int, source: Mapping[str, int], target: Mapping[str, int]
) -> Rule | None:
    largest = max(source.values(), default=-1), max(target.values(), default=-1)
    if largest[0] >= there or largest[1] >= wanted:
        return None if there == wanted else Select(0, wanted)
    rule = Tokens.between(source, target, wanted)
    return None if there == wanted and rule.rows == tuple(range(there)) else rule


def _unnamed(link: Correspondence, there: int, wanted: int, what: str, *, given: bool) -> str:
    target, source = link.target, link.source
    start = f"cannot copy {source.tensor!r} {source.shape} into {target.tensor!r} {target.shape}: "
    out = f'map_parameters(..., skip="{target.tensor.rpartition(".")[0] or target.tensor}")'
    one, argument = NAMED[what]
    if given:
        return (
            f"{start}{there} {what} against {wanted}, and the names that were given are not as "
            f"many. Give {argument}=(the source's, the target's), or leave it out: {out}."
        )
    return (
        f"{start}{there} {what} against {wanted}, and no {one} names to match them by. "
        f"Give {argument}=(...), or leave it out: {out}."
    )


def _kernel(link: Correspondence, put: TensorSlice, fed: bool) -> Rule:
    patches = any(op.stride and op.stride == op.shape[2:] and max(op.stride) > 1 for op in link.ops)
    if fed and (patches or "patch" in words(link.ops[0].name)):
        return Patch(2, put.shape[2:])
    return CentreCropOrPad(2, put.shape[2:])


def _one_rank(source: TensorSlice, target: TensorSlice) -> tuple[TensorSlice, TensorSlice]:
    """Both pieces in one rank: a 1 × 1 kernel is a matrix, a table with leading ones is a table."""
    if len(source.shape) == len(target.shape):
        return source, target
    wanted, there = target.bare, source.bare
    if math.prod(target.shape) == math.prod(source.shape):
        fewer = min(source.shape, target.shape, key=len)
        return replace(source, shape=fewer), replace(target, shape=fewer)
    if len(wanted) == len(there):
        return replace(source, shape=there), replace(target, shape=wanted)
    if 2 in (len(source.shape), len(target.shape)):
        return _flat(source), _flat(target)
    return source, target


def _flat(piece: TensorSlice) -> TensorSlice:
    flat = math.prod(piece.shape[2:]) == 1
    return replace(piece, shape=piece.shape[:2]) if flat else piece
