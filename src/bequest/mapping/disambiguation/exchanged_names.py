"""Exchanged names: tensors of one shape whose weights fit each other's places better.

Each is compared with what is expected in its place, see `coupling`. Two roles are also compared
by size, mean, signs and tails of their values.

Shapes in the comments: N tensors of one shape, D units on an axis.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from bequest.mapping.disambiguation.coupling import Expected, Place, clipped, expectations
from bequest.mapping.disambiguation.shared_axes import Axis, shared_axes
from bequest.mapping.disambiguation.unit_statistics import ERRORS, Array, Measured, of_the_others
from bequest.mapping.plans.entry import Entry
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.ops import Op, Shape, Trace

__all__ = ["exchanged", "with_exchanged"]

Pair = tuple[str, str]

NUMBER = re.compile(r"\d+")
# How much better an exchange fits, in standard errors, from which it is reported: calibrated on
# trained and random networks (benchmarks/results/map_name_swaps.json).
REPORTED = 2.75
MOST = 8  # exchanges that are looked for
LARGEST = 10**9  # parameters of a source that is looked at
CROWD = 500  # tensors of one shape that are compared, each with each
FEWEST = 8  # units on an axis that say something
UNSURE = 0.5  # added to the squared weights: what is predicted badly cannot add up to certainty
CLIPPED = 20.0  # the most that one property counts, in standard errors
STATISTICS = 5.0  # the most that statistics of values say


def with_exchanged(
    entries: Sequence[Entry], source: Source, trace: Trace, most: float
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """The entries, those that seem exchanged with a confidence of at most `most`; and a note each.

    Only tensors that are taken whole and as they are are compared.
    """
    taken = {e.target: e for e in entries if e.target in trace.shapes and _is_whole(e, source)}
    if sum(entry.size for entry in taken.values()) > LARGEST:
        note = f"With more than {LARGEST:.0e} parameters, exchanged names were not looked for."
        return tuple(entries), (note,)
    alike = Counter(entry.shape for entry in taken.values())
    crowds = {shape for shape, count in alike.items() if count > CROWD}
    taken = {name: entry for name, entry in taken.items() if entry.shape not in crowds}

    def read(name: str) -> Tensor:
        move = taken[name].moves[0]
        values = source.read(move.source)
        return values.transpose(0, 1) if move.taken.transposed != move.put.transposed else values

    pairs = exchanged(taken, read, trace)
    sources = [tuple(taken[name].sources[0] for name in pair) for pair in pairs]
    notes = tuple(
        f"By their weights {one} and {other} seem to be exchanged: each fits the other's place "
        "better."
        for one, other in sources
    ) + tuple(
        f"Of {alike[shape]} tensors of shape {shape} exchanged names were not looked for."
        for shape in crowds
    )
    unsure = {name for pair in pairs for name in pair}
    unsure |= {name for name, first in trace.same.items() if first in unsure}
    return tuple(
        replace(e, confidence=min(e.confidence, most)) if e.target in unsure else e for e in entries
    ), notes


def _is_whole(entry: Entry, source: Source) -> bool:
    if len(entry.moves) != 1 or entry.moves[0].rules or entry.moves[0].added:
        return False
    move = entry.moves[0]
    there = source.shapes.get(move.source, ())
    if move.taken.transposed != move.put.transposed:
        there = (*there[1::-1], *there[2:])
    return there == entry.shape and math.prod(move.put.shape) == entry.size > 1


def exchanged(names: Iterable[str], read: Callable[[str], Tensor], trace: Trace) -> list[Pair]:
    """Pairs of tensors of one shape that fit each other's places better than their own.

    Parameters
    ----------
    names : iterable of str
        Tensors of the network that are looked at.
    read : callable
        From a name to the tensor that is to be there; called once for each.
    trace : Trace
        Of the network.

    Returns
    -------
    list of pairs of str
        The surest first, at most `MOST`. Empty for weights that were not trained, which are not
        correlated, and for what has no like in the network to learn from.
    """
    places = _places(set(names), trace)
    groups = [
        [axis for axis in group if axis.tensor in places]
        for group in shared_axes(trace)
        if group[0].size >= FEWEST
    ]
    measured = Measured(read, _axes(places, groups, trace.shapes))
    places = {name: place for name, place in places.items() if name in measured}
    groups = [[axis for axis in group if axis.tensor in places] for group in groups]
    classes = [those for those in _classes(places, trace.shapes) if len(those) > 1]
    held = {name: name for name in places}
    found: list[Pair] = []
    while classes and len(found) < MOST:
        pair = _surest(places, classes, [group for group in groups if group], measured, held)
        if pair is None or pair in found:
            break
        found.append(pair)
        held[pair[0]], held[pair[1]] = held[pair[1]], held[pair[0]]
    return found


def _places(names: set[str], trace: Trace) -> dict[str, Place]:
    """Where they are used first."""
    found: dict[str, Place] = {}
    for op in trace.ops:
        for role, piece in op.pieces.items():
            if piece.tensor in names:
                called = _role(op, role, piece.tensor)
                found.setdefault(piece.tensor, Place(op.depth, called))
    return found


def _role(op: Op, role: str, tensor: str) -> str:
    """What all blocks call it: its name without numbers, and what it is used for."""
    return " ".join((op.kind, role, NUMBER.sub("#", tensor)))


def _classes(places: Iterable[str], shapes: Mapping[str, Shape]) -> list[list[str]]:
    """Names by shape."""
    found: dict[Shape, list[str]] = defaultdict(list)
    for name in places:
        found[shapes[name]].append(name)
    return list(found.values())


def _axes(
    places: Iterable[str], groups: Sequence[Sequence[Axis]], shapes: Mapping[str, Shape]
) -> dict[str, list[Axis]]:
    """Along which axes each is measured: those of all tensors of its shape."""
    own: dict[str, list[Axis]] = defaultdict(list)
    for axis in (axis for group in groups for axis in group):
        own[axis.tensor].append(axis)
    return {
        name: [axis for other in names for axis in own[other]]
        for names in _classes(places, shapes)
        for name in names
    }


def _surest(
    places: Mapping[str, Place], classes: Sequence[Sequence[str]],
    groups: Sequence[Sequence[Axis]], measured: Measured, held: Mapping[str, str],
) -> Pair | None:  # fmt: skip
    """The exchange that the weights speak for most, if they do."""
    expected = expectations(groups, places, measured, held)
    best: tuple[float, Pair | None] = -REPORTED, None
    for names in classes:
        kept = _fit(names, expected, measured, held) + _usual(names, places, measured, held)
        one, other = divmod(int(kept.argmin()), len(names))
        if kept[one, other] < best[0]:
            best = float(kept[one, other]), (names[min(one, other)], names[max(one, other)])
    return best[1]


def _fit(
    names: Sequence[str], expected: Mapping[str, Sequence[Expected]], measured: Measured,
    held: Mapping[str, str],
) -> Array:  # fmt: skip
    """How much better each pair fits as it is than exchanged, in standard errors: (N, N)."""
    better, squares = np.zeros((len(names), len(names))), np.zeros(len(names))
    there: dict[Axis, Array] = {}
    places = {name: place for place, name in enumerate(names)}
    for name, own in places.items():
        for row in expected.get(name, ()):
            alike = replace(row.axis, tensor="")
            if alike not in there:
                several = [measured.along(held[other], row.axis) for other in names]
                there[alike] = np.stack(several, axis=1)  # (2, N, D)
            better[own] += row.weight * _better(row, places, there[alike][row.kind], own)
            squares[own] += row.weight**2
    both: Array = (better + better.T) / np.sqrt(2 * (squares[:, None] + squares + UNSURE))
    return both


def _better(row: Expected, names: Mapping[str, int], values: Array, own: int) -> Array:
    """How much better than each other tensor the own one fits what is expected: (N,).

    What the other one contributes is left out of the prediction: where names are exchanged, it is
    elsewhere.
    """
    whole = row.parts.sum(axis=0)
    found = _alike(values, whole)
    better = found[own] - found
    for name, rows in row.window.of.items():
        other = names.get(name, own)
        if other != own:
            rest = whole - row.parts[rows].sum(axis=0)
            own_fit, other_fit = _alike(values[[own, other]], rest)
            better[other] = own_fit - other_fit
    scale = math.sqrt(max(len(whole) - 3, 1))  # one over the standard error of Fisher's z
    most: Array = np.clip(better * scale, -CLIPPED, CLIPPED)
    return most


def _alike(values: Array, predicted: Array) -> Array:
    """Fisher's z of the correlations with a prediction; 0 where there is none."""
    length = np.linalg.norm(predicted)
    if length < 1e-6:
        return np.zeros(len(values))
    found: Array = np.arctanh(clipped(values @ predicted / length))
    return found


def _usual(
    names: Sequence[str], places: Mapping[str, Place], measured: Measured, held: Mapping[str, str]
) -> Array:
    """How much better the values suit their roles than exchanged, in standard errors: (N, N).

    Under heavy tails (Student's t with four degrees of freedom), so that one unusual figure does
    not decide.
    """
    called = {role: place for place, role in enumerate({places[n].role: None for n in names})}
    roles = np.array([called[places[name].role] for name in names])
    likely = np.zeros((len(names), len(names)))  # [what, where]
    several = np.stack([measured.statistics(held[name]) for name in names], axis=1)
    for values, error in zip(
        several, ERRORS / math.sqrt(measured.sampled(held[names[0]])), strict=True
    ):
        middle, spread, count = of_the_others(values, roles)
        low, high = np.percentile(values, (25, 75))
        least = max(0.05, 0.1 * (high - low))
        scale = np.sqrt(np.maximum(spread, least) ** 2 + error**2) * (1 + 1 / np.maximum(count, 1))
        out = (values[:, None] - middle) / scale
        likely += np.where(count > 1, -2.5 * np.log1p(out**2 / 4) - np.log(scale), 0)
    own = np.diag(likely)
    better = np.clip((own[:, None] + own - likely - likely.T) / 3, -STATISTICS, STATISTICS)
    return np.where(roles[:, None] == roles, 0, better)
