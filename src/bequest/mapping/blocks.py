"""Networks that repeat a block more or less often: which of the source's blocks each block gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from bequest.mapping.levels import Level, align

__all__ = ["Depth", "by_blocks"]

Depth = Literal["even", "first", "last"]
Run = tuple[int, int, int]  # first level, levels in a block, blocks
NUMBERS = (1, 2, 3)  # of a name, that tell blocks apart: layer.3, stages.0.blocks.3, ...


def by_blocks(
    target: Sequence[Level], source: Sequence[Level], depth: Depth
) -> list[tuple[int, int]]:
    """Align one block of each repetition, then spread the source's blocks over the target's.

    Parameters
    ----------
    target, source : sequence of Level
    depth : {"even", "first", "last"}

    Returns
    -------
    list of (int, int)
        A source's level may stand in several pairs; empty where nothing repeats.
    """
    found: list[list[tuple[int, int]]] = []
    for numbers in NUMBERS:
        ours, theirs = _named_runs(target, numbers), _named_runs(source, numbers)
        pairs = _spread(target, source, ours, theirs, depth)
        if pairs and depth == "even":
            pairs = _filled(target, source, pairs, numbers)
        found.append(pairs)
    found.append(_spread(target, source, _shape_runs(target), _shape_runs(source), depth))
    return max(found, key=len)


def _spread(
    target: Sequence[Level],
    source: Sequence[Level],
    ours: Sequence[Run],
    theirs: Sequence[Run],
    depth: Depth,
) -> list[tuple[int, int]]:
    if not ours and not theirs:
        return []
    kept_t, kept_s = _once(len(target), ours), _once(len(source), theirs)
    aligned = align([target[n] for n in kept_t], [source[n] for n in kept_s])
    partner = {kept_t[i]: kept_s[j] for i, j in aligned}
    pairs = []
    for level in range(len(target)):
        first, period, count = _run_of(level, ours)
        other = partner.get(first + (level - first) % period)
        if other is None:
            continue
        start, length, there = _run_of(other, theirs)
        chosen = _block((level - first) // period, count, there, depth)
        if chosen is not None:
            pairs.append((level, start + (other - start) % length + chosen * length))
    return pairs


def _filled(
    target: Sequence[Level], source: Sequence[Level], pairs: list[tuple[int, int]], numbers: int
) -> list[tuple[int, int]]:
    """A block that has no like in the source takes what fits of the block before it."""
    partner = dict(pairs)
    before: list[int] = []
    for block in _named_blocks(target, numbers):
        there = sorted({partner[n] for n in block if n in partner})
        if not there and before:
            aligned = align([target[n] for n in block], [source[n] for n in before])
            partner |= {block[i]: before[j] for i, j in aligned}
        before = there or before
    return sorted(partner.items())


def _run_of(level: int, runs: Sequence[Run]) -> Run:
    """The repetition that a level is in; it alone, where it is in none."""
    inside = (run for run in runs if run[0] <= level < run[0] + run[1] * run[2])
    return next(inside, (level, 1, 1))


def _once(count: int, runs: Sequence[Run]) -> list[int]:
    """All levels but the second and later blocks of each repetition."""
    dropped = {
        n for first, period, times in runs for n in range(first + period, first + period * times)
    }
    return [n for n in range(count) if n not in dropped]


def _block(place: int, wanted: int, there: int, depth: Depth) -> int | None:
    """Which of the source's blocks the target's block at `place` gets.

    Even: Gong et al., Efficient training of BERT by progressively stacking, ICML 2019, repeats
    them; shrinking takes every second one, as Sanh et al. do for DistilBERT, 2019.
    """
    if depth == "first":
        return place if place < there else None
    if depth == "last":
        moved = place + there - wanted
        return moved if 0 <= moved < there else None
    if wanted == 1:
        return 0
    if wanted >= there:
        return place * there // wanted
    return round(place * (there - 1) / (wanted - 1))


def _named_blocks(order: Sequence[Level], numbers: int) -> list[list[int]]:
    """Neighbouring levels with the same first numbers in the names of their layers."""

    def named(place: int) -> tuple[str, ...]:
        return tuple(re.findall(r"\d+", order[place][0].name)[:numbers])

    groups = groupby(range(len(order)), key=named)
    return [list(group) for key, group in groups if key]


def _named_runs(order: Sequence[Level], numbers: int) -> list[Run]:
    """Neighbouring blocks of equal shapes."""
    keys = _shape_keys(order)
    runs: list[Run] = []
    for block in _named_blocks(order, numbers):
        first, period, count = runs[-1] if runs else (0, 0, 0)
        follows = first + period * count == block[0] and period == len(block)
        if follows and [keys[first + n] for n in range(period)] == [keys[n] for n in block]:
            runs[-1] = (first, period, count + 1)
        else:
            runs.append((block[0], len(block), 1))
    return [run for run in runs if run[2] > 1]


def _shape_keys(order: Sequence[Level]) -> list[int]:
    seen: dict[Any, int] = {}
    return [
        seen.setdefault(tuple((site.kind, site.shape) for site in level), len(seen))
        for level in order
    ]


def _shape_runs(order: Sequence[Level]) -> list[Run]:
    """Where names tell nothing: shapes that repeat, the longest repetition from each start on."""
    keys = _shape_keys(order)
    found: list[Run] = []
    start = 0
    while start < len(keys):
        run = max(_repeats(keys, start), key=lambda r: r[1] * r[2], default=None)
        if run is None:
            start += 1
            continue
        found.append(run)
        start += run[1] * run[2]
    return found


def _repeats(keys: Sequence[int], start: int) -> list[Run]:
    found = []
    for period in range(1, (len(keys) - start) // 2 + 1):
        block = keys[start : start + period]
        count = 1
        while keys[start + count * period : start + (count + 1) * period] == block:
            count += 1
        if count > 1:
            found.append((start, period, count))
    return found
