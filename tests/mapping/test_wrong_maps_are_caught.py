"""A map that was damaged is reported: with an example each one, without it none is called sure."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest
from tests.mapping.pairs.table import PAIRS

import bequest as bq
from bequest.errors import MapError
from bequest.mapping import ParameterMap

NAMES = (
    "bert",
    "gpt2-split",
    "llama-split",
    "mlp",
    "resnet-basic",
    "vit-fused",
    "lstm-cells",
    "t5",
)
KINDS = ("swapped", "missing", "prefix", "transposed")
EACH = 50  # of every kind: 200 in all


@cache
def made(name: str) -> tuple[object, ParameterMap]:
    """A pair, and its map read from text and bound again without an example."""
    pair = PAIRS[name]()
    plan = bq.map_parameters(pair.left, pair.right, example=pair.example)
    stored = ParameterMap.from_json(plan.to_json())
    bound = bq.map_parameters(pair.left, pair.right, plan=stored)
    assert bound.discrepancies == ()
    assert bound.check(pair.example) == ()
    return pair, bound


def swapped(plan, rng):
    """Two tensors of one shape get each other's numbers."""
    groups = {}
    for n, entry in enumerate(plan.entries):
        if entry.moves and entry.role != "constant":
            groups.setdefault(entry.shape, []).append(n)
    pairs = [
        (i, j)
        for group in groups.values()
        for i in group
        for j in group
        if i < j and plan.entries[i].sources != plan.entries[j].sources
    ]
    i, j = rng.choice(pairs)
    entries = list(plan.entries)
    one, other = entries[i], entries[j]
    entries[i] = replace(one, moves=_to(one.target, other.moves))
    entries[j] = replace(other, moves=_to(other.target, one.moves))
    return entries


def _to(name, moves):
    return tuple(replace(m, put=replace(m.put, tensor=name)) for m in moves)


def missing(plan, rng):
    """A tensor of the target is left without a source."""
    entries = list(plan.entries)
    n = rng.choice([n for n, e in enumerate(entries) if e.moves and e.role != "constant"])
    entries[n] = replace(entries[n], moves=(), rule="initialised")
    return entries


def prefix(plan, rng):
    """A tensor's source is looked for under another prefix."""
    entries = list(plan.entries)
    n = rng.choice([n for n, e in enumerate(entries) if e.sources])
    wrong = tuple(
        replace(m, source=f"module.{m.source}", taken=replace(m.taken, tensor=f"module.{m.source}"))
        for m in entries[n].moves
    )
    entries[n] = replace(entries[n], moves=wrong)
    return entries


def transposed(plan, rng):
    """A square matrix is laid down the other way round."""
    entries = list(plan.entries)
    square = [
        n
        for n, e in enumerate(entries)
        if e.moves and len(e.moves[0].taken.shape) == 2 and len(set(e.moves[0].taken.shape)) == 1
    ]
    n = rng.choice(square)
    first, *rest = entries[n].moves
    turned = replace(first, taken=replace(first.taken, transposed=not first.taken.transposed))
    entries[n] = replace(entries[n], moves=(turned, *rest))
    return entries


DAMAGE = {"swapped": swapped, "missing": missing, "prefix": prefix, "transposed": transposed}


def usable(kind):
    without = {"lstm-cells", "resnet-basic"} if kind == "transposed" else set()  # no square matrix
    return [name for name in NAMES if name not in without]


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_random_damages_of_each_kind_are_all_caught(kind):
    rng = random.Random(20261123)
    for round_ in range(EACH):
        names = usable(kind)
        pair, plan = made(names[round_ % len(names)])
        bad = replace(plan, entries=tuple(DAMAGE[kind](plan, rng)))
        assert bad.check(pair.example), (kind, round_)
        assert bad.confidence <= 0.5, (kind, round_)
        with pytest.raises(MapError):
            bad.apply()


@pytest.mark.parametrize("kind", KINDS)
def test_most_damages_show_in_the_outputs_alone(kind):
    """But what no output tells: a key's bias falls out of the softmax, a constant is one."""
    rng = random.Random(7)
    shown = tried = 0
    for round_ in range(16):
        names = usable(kind)
        pair, plan = made(names[round_ % len(names)])
        bad = replace(plan, entries=tuple(DAMAGE[kind](plan, rng)), expected=())
        tried += 1
        shown += bool(bad.check(pair.example))
    assert shown >= 0.85 * tried
