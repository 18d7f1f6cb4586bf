"""The order of many sources in milliseconds each, for where it is needed again and again.

N samples, K sources, S scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from bequest.core import Model, Task
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.selection.ranking import ROWS, strata_of, targets_of
from bequest.selection.resampling import subset
from bequest.selection.score import SCORES, Score
from bequest.selection.views import View, view_of

__all__ = ["quick_order"]


def quick_order(sources: Sequence[Model], task: Task, *, rng: np.random.Generator) -> list[int]:
    """Places of sources, the most promising first: by the mean of their ranks in a few scores.

    Each score is taken once of every source, without the references, draws and permuted labels of
    `rank`: so only scores count that do not flatter many features (LogME, nearest neighbours and
    the probe).

    Parameters
    ----------
    sources : sequence of Model
    task : Task
        Of more than 512 rows a random part is looked at, with the classes' shares.
    rng : numpy.random.Generator

    Returns
    -------
    list of int
        Without those that cannot be scored on these rows.

    Examples
    --------
    >>> quick_order([], Task.from_arrays([[0.0], [1.0]], [0, 1]), rng=np.random.default_rng(0))
    []
    """
    rows = subset(strata_of(task), ROWS, rng)
    part = task if len(rows) == len(task) else task.take(rows)
    if len(np.unique(part.targets)) < 2:
        return []
    chosen = [score for score in SCORES.values() if _counts(score, task)]
    values_KS = np.array([_values(source, part, chosen) for source in sources])
    if not len(values_KS):
        return []
    told = np.isfinite(values_KS)
    ranks = rankdata(np.where(told, values_KS, -np.inf), axis=0)
    places = np.argsort(-ranks.mean(axis=1), kind="stable")
    return [int(place) for place in places if told[place].any()]


def _counts(score: Score, task: Task) -> bool:
    features = score.needs == "features"
    return features and not score.optimistic and score.applies(task.kind) is None


def _values(source: Model, task: Task, scores: Sequence[Score]) -> list[float]:
    view = _view(source, task)
    targets = targets_of(task)
    found = []
    for score in scores:
        try:
            found.append(np.nan if view is None else score(view.features, targets))
        except (DataError, NotApplicable):  # these rows do not carry it
            found.append(np.nan)
    return found


def _view(source: Model, task: Task) -> View | None:
    if source.applies(task) is not None:
        return None
    try:
        return view_of(source, task.inputs)
    except (DataError, ModelError, NotApplicable):
        return None
