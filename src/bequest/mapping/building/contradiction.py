"""Why a map between two networks that ought to be one function does not make them one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from bequest.mapping.disambiguation.decide import Decided
from bequest.mapping.plans.entry import Entry
from bequest.mapping.rules.layout import ZerosInit
from bequest.mapping.rules.neutral import IdentityInit, OnesInit
from bequest.mapping.rules.width import Repeat, RepeatParts, SplitWeight
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.ops import Trace

__all__ = ["contradiction"]

GROWING = Repeat, RepeatParts, SplitWeight, ZerosInit, OnesInit, IdentityInit


def contradiction(
    entries: Sequence[Entry], decided: Decided, source: Source, trace: Trace, target: nn.Module
) -> str:
    """One line, empty where nothing speaks against the map; `trace` is that of the target."""
    rules = [rule for entry in entries for move in entry.moves for rule in move.rules]
    grown = bool(rules) and all(isinstance(rule, GROWING) for rule in rules)
    if grown and not decided.equal:
        found = _uneven(entries, trace) or _perhaps_fused(entries)
        if found:
            return found
    if not decided.differ or type(source.module) is not type(target):
        return ""
    called = type(target).__name__
    if grown:
        return f"a wider {called} ought to start as the source's function, and does not."
    whole = {entry.target: entry.shape for entry in entries if entry.initialised == 0}
    same_names = {*source.shapes} == {entry.target for entry in entries}
    if rules or not same_names or any(source.shapes[n] != shape for n, shape in whole.items()):
        return ""
    before = f" up to {decided.unlike!r}" if decided.unlike else ""
    return (
        f"both are {called} and every parameter{before} is the source's, but run on one input "
        "they do not give the same: the two have other settings, or the names lie."
    )


def _uneven(entries: Sequence[Entry], trace: Trace) -> str:
    """A normalisation over features of which some are repeated more often than others."""
    norms = {
        op.pieces["weight"].tensor
        for op in trace.ops
        if op.kind == "norm" and "weight" in op.pieces and "mean" not in op.pieces
    }
    for entry in entries:
        for move in entry.moves if entry.target in norms else ():
            many, few = math.prod(move.put.shape), math.prod(move.taken.shape)
            if few and many % few:
                return (
                    f"{entry.target} normalises {many} features where the source has {few}: "
                    "the network is another function, unless the width is a whole multiple."
                )
    return ""


def _perhaps_fused(entries: Sequence[Entry]) -> str:
    """A wider matrix that may hold queries, keys and values, in an unknown order."""
    for entry in entries:
        for move in entry.moves:
            wide, narrow = move.put.shape, move.taken.shape
            thrice = all(len(s) == 2 and s[0] == 3 * s[1] for s in (wide, narrow))
            in_parts = any(isinstance(rule, RepeatParts) for rule in move.rules)
            # "query_key_value" may be interleaved head by head
            known = in_parts and "query_key_value" not in entry.target
            if wide != narrow and thrice and not known:
                return (
                    f"{entry.target} may hold queries, keys and values, and no name tells in "
                    "which order: run both on an input: map_parameters(..., example=x)."
                )
    return ""
