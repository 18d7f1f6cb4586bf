"""Which source for this task, and how sure: every score, against what the bare inputs give.

Shapes: N samples, K sources, S scores, B draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from bequest.core import Model, RankedSource, Task
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.selection.advantage import advantage
from bequest.selection.arrays import check_features
from bequest.selection.resampling import halves, subset
from bequest.selection.score import SCORES, Score
from bequest.selection.views import (
    View,
    raw_inputs,
    raw_view,
    untrained_view,
    view_of,
    with_clusters,
)

__all__ = ["Ranking", "rank", "strata_of", "targets_of"]

Array = NDArray[Any]

ROWS = 512  # rows that are looked at; more make the ranking slower and hardly surer
UNIT_DRAWS = 16  # draws that fix the unit where no interval is asked for
STRANGERS = 8  # untrained views that tell how far two sources without knowledge stand apart
LEVEL = 0.95


@final
@dataclass(frozen=True)
class Ranking:
    """The sources, best first; those that do not apply stand last, with the reason.

    Parameters
    ----------
    entries : tuple of RankedSource

    Examples
    --------
    >>> near = RankedSource("near", 3.1, 1.4, 4.8)
    >>> far = RankedSource("far", float("nan"), float("nan"), float("nan"), reason="other inputs.")
    >>> print(Ranking((near, far)))
    source  score            interval
    near    +3.10  +1.40 to     +4.80
    far         -  other inputs.
    """

    entries: tuple[RankedSource, ...]

    @property
    def best(self) -> RankedSource | None:
        """The first whose interval lies above zero; None: no source looks better than from scratch.

        Always None where no interval was asked for.
        """
        return next((entry for entry in self.entries if entry.low > 0), None)

    def __iter__(self) -> Iterator[RankedSource]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: int) -> RankedSource:
        return self.entries[place]

    def __str__(self) -> str:
        width = max([6, *(len(entry.source) for entry in self.entries)])
        lines = [f"{'source':{width}}  score            interval"]
        for entry in self.entries:
            if entry.reason:
                lines.append(f"{entry.source:{width}}      -  {entry.reason}")
            else:
                interval = f"{entry.low:+z.2f} to {entry.high:+z9.2f}"
                lines.append(f"{entry.source:{width}}  {entry.score:+z.2f}  {interval}")
        return "\n".join(lines)


def rank(
    sources: Sequence[Model],
    task: Task,
    *,
    scores: Sequence[str] | Mapping[str, Score] | None = None,
    n_boot: int = 100,
    rng: np.random.Generator,
    raw: Any = None,
) -> Ranking:
    """Rank sources by how far they stand above a source that knows nothing.

    Every score is taken of the source's features (its outputs, where it has no features) and of
    two views without knowledge on the same rows: the raw inputs, and random units of them, as an
    untrained layer gives. Where a score flatters many features, what it gives for permuted labels
    is taken off first. Differences from a view count in units of their spread over random halves of
    the rows; their mean over the scores is the combined score, of which the lesser of the two
    counts. LEEP and NCE join the mean for sources that give predictions only; clusters of the raw
    inputs then stand for source classes. All features are brought to their 64 widest directions and
    an offset. Nothing but the task's rows is looked at, so that a fold can be ranked by its
    training part.

    Parameters
    ----------
    sources : sequence of Model
    task : Task
        Of more than 512 rows a random part is looked at, with the classes' shares.
    scores : sequence of str, or mapping of str to Score, optional
        Names in `SCORES`, or scores of your own; all that apply where left out.
    n_boot : int
        Random halves of the rows, drawn class by class, or group by group where the task has
        groups; 0 gives no intervals.
    rng : numpy.random.Generator
        The only source of randomness.
    raw : array, shape (N, P), optional
        Numbers that stand for the raw inputs; standardised pixels, or the encoded table, where
        left out.

    Returns
    -------
    Ranking
        Best first. The intervals hold for all sources together with 95 % confidence; they are at
        least as wide as two untrained layers stand apart.

    Raises
    ------
    DataError
        The task's rows are of one class or value only, no score is defined for its kind, or
        `n_boot` is from 1 to 15: too few for a spread.
    UnknownName
        There is no such score.

    References
    ----------
    McCarthy, Pseudo-replication: half samples, 1969 (the draws).

    Examples
    --------
    >>> from bequest.selection import rank
    >>> task = Task.from_arrays([[0.0], [1.0], [2.0], [3.0]] * 5, ["a", "a", "b", "b"] * 5)
    >>> rank([], task, rng=np.random.default_rng(0)).best is None
    True
    """
    chosen = _chosen(scores, task.kind)
    if 0 < n_boot < UNIT_DRAWS or n_boot < 0:
        raise DataError(f"n_boot is 0, or {UNIT_DRAWS} and more: {n_boot} give no spread.")
    _check(task)
    rows = subset(strata_of(task), ROWS, rng)
    part = task if len(rows) == len(task) else task.take(rows)
    views = [_view(source, part) for source in sources]
    found = _compare(
        [view for view in views if isinstance(view, View)],
        chosen,
        part,
        raw_inputs(part.inputs) if raw is None else check_features(raw)[rows],
        n_boot,
        rng,
    )
    entries = [
        _unfit(source, view) if isinstance(view, str) else _entry(source, *next(found))
        for source, view in zip(sources, views, strict=True)
    ]
    entries.sort(key=lambda entry: np.inf if entry.reason else -entry.score)
    return Ranking(tuple(entries))


def _compare(
    views: Sequence[View],
    scores: Sequence[Score],
    task: Task,
    raw: Array,
    n_boot: int,
    rng: np.random.Generator,
) -> Iterator[tuple[float, float, dict[str, float]]]:
    """Combined score, half of its interval's width, and the scores by name, of each view."""
    if not views:
        return
    plain = raw_view(raw)
    blank, *strangers = [untrained_view(plain, rng) for _ in range(1 + STRANGERS)]
    sizes = [v.probabilities.shape[1] if v.probabilities is not None else 0 for v in views]
    known = {
        size: [with_clusters(v, size) if size else v for v in (plain, blank)] for size in set(sizes)
    }
    references = [known[size] for size in sizes]
    strata, times = strata_of(task), max(n_boot, UNIT_DRAWS)
    found = advantage(
        views,
        references,
        scores,
        targets_of(task),
        strangers=strangers if n_boot else (),
        draws=list(halves(strata, task.groups, times, rng)),
        rng=rng,
    )
    # Šidák: for all sources at once; Student: the spread is that of a few draws.
    critical = student.ppf(0.5 + 0.5 * LEVEL ** (1 / len(views)), times - 1)
    reaches = critical * found.spread if n_boot else np.full(len(views), np.nan)
    for point, reach, values in zip(found.combined, reaches, found.values, strict=True):
        named = {s.name: float(v) for s, v in zip(scores, values, strict=True) if np.isfinite(v)}
        yield float(point), float(reach), named


def _entry(source: Model, point: float, reach: float, values: dict[str, float]) -> RankedSource:
    if not np.isfinite(point):
        return _unfit(source, "none of the scores can be taken of what it offers.")
    return RankedSource(source.name, point, point - reach, point + reach, values)


def _unfit(source: Model, reason: str) -> RankedSource:
    return RankedSource(source.name, np.nan, np.nan, np.nan, reason=reason)


def _view(source: Model, task: Task) -> View | str:
    """What the source shows, or why it shows nothing."""
    refused = source.applies(task)
    if refused is not None:
        return refused.reason
    try:
        return view_of(source, task.inputs)
    except NotApplicable as error:
        return error.reason
    except (DataError, ModelError) as error:
        return str(error)


def _chosen(scores: Sequence[str] | Mapping[str, Score] | None, kind: str) -> list[Score]:
    if isinstance(scores, Mapping):
        asked = list(scores.values())
    else:
        asked = [SCORES[name] for name in (SCORES if scores is None else scores)]
    chosen = [score for score in asked if score.applies(kind) is None]
    if not chosen:
        raise DataError(f"none of {', '.join(s.name for s in asked) or 'no scores'} is for {kind}.")
    return chosen


def _check(task: Task) -> None:
    present = np.unique(task.targets)
    if len(present) < 2:
        what = "class" if task.kind == "classification" else "value"
        raise DataError(f"the {len(task)} rows of {task.name!r} are of one {what}: two are needed.")


def strata_of(task: Task) -> Array:
    """Classes as they are; values in one stratum."""
    if task.kind == "classification":
        return task.targets
    return np.zeros(len(task), dtype=np.int64)


def targets_of(task: Task) -> Array:
    """Class indices, or standardised values: a score's unit must not depend on the label's."""
    if task.kind == "classification":
        return task.targets.astype(np.int64)
    values = task.targets.astype(np.float64)
    return np.asarray((values - values.mean()) / values.std())
