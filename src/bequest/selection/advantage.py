"""How far sources stand above views that know nothing, score by score and together.

Shapes: K sources, M views (the sources', then the references'), R references of each source, S
scores, B draws of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError, NotApplicable
from bequest.selection.score import Score
from bequest.selection.views import View

__all__ = ["Advantage", "advantage"]

Array = NDArray[Any]

PERMUTATIONS = 24  # of the labels


@final
@dataclass(frozen=True)
class Advantage:
    """What came of the comparison of K sources by S scores.

    `combined` (K,) is the mean over the scores of the difference from a reference, in units of its
    spread; of the references the one that leaves least. `spread` (K,) is the standard deviation of
    `combined` over the draws of rows, or between two strangers on the same rows, whichever is
    larger. `values` (K, S) are the scores; NaN where a source does not offer what a score needs.
    """

    combined: Array
    spread: Array
    values: Array


def advantage(
    views: Sequence[View],
    references: Sequence[Sequence[View]],
    scores: Sequence[Score],
    targets: Array,
    *,
    strangers: Sequence[View] = (),
    draws: Iterable[Array],
    rng: np.random.Generator,
) -> Advantage:
    """Compare each view with its references on all rows, and on every draw of rows.

    `strangers` are more views without knowledge, all made alike: what one of them happens to stand
    above another is no knowledge either. `rng` permutes the labels.
    """
    counted = np.array([[_counts(view, score, scores) for score in scores] for view in views])
    known = list({id(v): v for own in references for v in own}.values())
    place = {id(view): len(views) + at for at, view in enumerate(known)}
    mine = [[place[id(view)] for view in own] for own in references]
    prepared = [_prepared(view, scores, targets) for view in (*views, *known)]
    others = [_prepared(view, scores, targets) for view in strangers]
    chance = _chance(prepared, scores, targets, rng)
    whole = _values(prepared, scores, targets)
    halves = [_values(prepared, scores, targets, rows) - chance for rows in draws]
    points = _differences(whole - chance, mine, counted)
    drawn = np.array([_differences(half, mine, counted) for half in halves])
    units = np.sqrt(_mean(drawn.var(axis=0, ddof=1), axis=(0, 1)))
    units = np.where(units > 1e-12, units, np.inf)  # what never varies tells nothing
    combined = _mean(points / units, axis=2).min(axis=1)
    spread = _mean(drawn / units, axis=3).min(axis=2).std(axis=0, ddof=1)
    if others:
        apart = _values(others, scores, targets) - _chance(others, scores, targets, rng)
        spread = np.maximum(spread, np.sqrt(2) * _mean(apart / units, axis=1).std(ddof=1))
    return Advantage(combined, spread, whole[: len(views)])


def _prepared(view: View, scores: Sequence[Score], targets: Array) -> list[Array | None]:
    ready: list[Array | None] = []
    for score in scores:
        offered = view.offers(score.needs)
        try:
            ready.append(None if offered is None else score.prepare(offered, targets))
        except (DataError, NotApplicable):
            ready.append(None)
    return ready


def _values(
    prepared: Sequence[Sequence[Array | None]],
    scores: Sequence[Score],
    targets: Array,
    rows: Array | slice = slice(None),
) -> Array:
    """Every score of every view on some rows, shape (M, S)."""
    return np.array(
        [
            [_value(s, ready, rows, targets[rows]) for s, ready in zip(scores, view, strict=True)]
            for view in prepared
        ]
    )


def _value(score: Score, ready: Array | None, rows: Any, targets: Array) -> float:
    if ready is None:
        return float("nan")
    try:
        return float(score.function(ready[rows], targets))
    except (DataError, NotApplicable):  # these rows do not carry it: a draw of one value, say
        return float("nan")


def _chance(
    prepared: Sequence[Sequence[Array | None]],
    scores: Sequence[Score],
    targets: Array,
    rng: np.random.Generator,
) -> Array:
    """Mean over permuted labels of the scores that flatter many features, else 0, shape (M, S)."""
    flattering = [at for at, score in enumerate(scores) if score.optimistic]
    chance = np.zeros((len(prepared), len(scores)))
    if flattering:
        views = [[view[at] for at in flattering] for view in prepared]
        own = [scores[at] for at in flattering]
        orders = [rng.permutation(len(targets)) for _ in range(PERMUTATIONS)]
        permuted = [_values(views, own, targets[order]) for order in orders]
        chance[:, flattering] = np.mean(permuted, axis=0)
    return chance


def _counts(view: View, score: Score, scores: Sequence[Score]) -> bool:
    """Outputs count where they are all that a source offers, or all that is asked about."""
    by_features = any(other.needs == "features" for other in scores)
    return score.needs == "features" or not (view.own and by_features)


def _differences(values: Array, references: Sequence[Sequence[int]], counted: Array) -> Array:
    """Each source's scores less those of each of its references, shape (K, R, S)."""
    gaps = np.array([values[k] - values[places] for k, places in enumerate(references)])
    return np.where(counted[:, None], gaps, np.nan)


def _mean(values: Array, axis: int | tuple[int, int]) -> Array:
    """Mean of the numbers that are there; NaN where there is none, without a warning."""
    there = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis))
