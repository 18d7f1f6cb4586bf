"""Networks that repeat a block more or less often: which of the source's blocks each block gets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bequest.mapping.matching.levels import Level, align, best_path, likenesses

__all__ = ["Depth", "block_of", "by_blocks"]

Depth = Literal["even", "first", "last"]
Run = tuple[int, int, int]  # first level, levels in a block, blocks
NUMBERS = (1, 2, 3)  # of a name, that number blocks: layer.3, stages.0.blocks.3, ...


def by_blocks(
    target: Sequence[Level], source: Sequence[Level], depth: Depth
) -> list[tuple[int, int]]:
    """Align one block of each repetition, then spread the source's blocks over the target's.

    A source's level may stand in several pairs; there are none where nothing repeats.
    """
    if not target or not source:
        return []
    found: list[list[tuple[int, int]]] = []
    for numbers in NUMBERS:
        blocks = _named_blocks(target, numbers), _named_blocks(source, numbers)
        runs = _named_runs(target, blocks[0]), _named_runs(source, blocks[1])
        pairs = _spread(target, source, blocks, runs, depth)
        if pairs and depth == "even":
            pairs = _filled(target, source, pairs, blocks[0])
        found.append(pairs)
    runs = _shape_runs(target), _shape_runs(source)
    singles = [[n] for n in range(len(target))], [[n] for n in range(len(source))]
    found.append(_spread(target, source, singles, runs, depth))
    return max(found, key=len)


def _spread(
    target: Sequence[Level],
    source: Sequence[Level],
    blocks: tuple[list[list[int]], list[list[int]]],
    runs: tuple[list[Run], list[Run]],
    depth: Depth,
) -> list[tuple[int, int]]:
    if not runs[0] and not runs[1]:
        return []
    kept = _once(blocks[0], runs[0]), _once(blocks[1], runs[1])
    partner = dict(_block_pairs(likenesses(target, source), *kept))
    pairs = []
    for level in range(len(target)):
        first, period, count = _run_of(level, runs[0])
        other = partner.get(first + (level - first) % period)
        if other is None:
            continue
        start, length, there = _run_of(other, runs[1])
        chosen = block_of((level - first) // period, count, there, depth)
        if chosen is not None:
            pairs.append((level, start + (other - start) % length + chosen * length))
    return pairs


def _block_pairs(
    scores: NDArray[Any], target: list[list[int]], source: list[list[int]]
) -> Iterator[tuple[int, int]]:
    """Whole blocks aligned in order, then the levels inside each pair of them."""
    inner = [[best_path(scores[np.ix_(a, b)]) for b in source] for a in target]
    whole = np.array(
        [
            [
                sum(scores[a[i], b[j]] for i, j in path)
                for b, path in zip(source, paths, strict=True)
            ]
            for a, paths in zip(target, inner, strict=True)
        ]
    )
    for i, j in best_path(whole):
        for n, m in inner[i][j]:
            yield target[i][n], source[j][m]


def _filled(
    target: Sequence[Level],
    source: Sequence[Level],
    pairs: list[tuple[int, int]],
    blocks: list[list[int]],
) -> list[tuple[int, int]]:
    """A block that has no like in the source takes what fits of the block before it."""
    partner = dict(pairs)
    before: list[int] = []
    for block in blocks:
        there = sorted({partner[n] for n in block if n in partner})
        if len(block) > 1 and not there and before:
            aligned = align([target[n] for n in block], [source[n] for n in before])
            partner |= {block[i]: before[j] for i, j in aligned}
            there = before
        before = there or before
    return sorted(partner.items())


def _run_of(level: int, runs: Sequence[Run]) -> Run:
    """The repetition that a level is in; it alone, where it is in none."""
    inside = (run for run in runs if run[0] <= level < run[0] + run[1] * run[2])
    return next(inside, (level, 1, 1))


def _once(blocks: list[list[int]], runs: Sequence[Run]) -> list[list[int]]:
    """All blocks but the second and later ones of each repetition."""
    dropped = {
        n for first, period, times in runs for n in range(first + period, first + period * times)
    }
    return [block for block in blocks if block[0] not in dropped]


def block_of(place: int, wanted: int, there: int, depth: Depth) -> int | None:
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
    """Neighbouring levels with the same first numbers in their names; alone where there is none."""

    def named(place: int) -> Any:
        return tuple(re.findall(r"\d+", order[place][0].name)[:numbers]) or place

    return [list(group) for _, group in groupby(range(len(order)), key=named)]


def _named_runs(order: Sequence[Level], blocks: list[list[int]]) -> list[Run]:
    """Neighbouring blocks of equal shapes."""
    keys = _shape_keys(order)
    runs: list[Run] = []
    for block in blocks:
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
        seen.setdefault(tuple((op.kind, op.shape) for op in level), len(seen)) for level in order
    ]


def _shape_runs(order: Sequence[Level]) -> list[Run]:
    """For names without numbers: shapes that repeat, the longest repetition from each start."""
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
