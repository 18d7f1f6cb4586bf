"""Learning curves: averages of arms on nested parts of each fold's training rows.

F fractions of the training rows, K folds, N rows, C classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Executor, Task
from bequest.core.executor import in_full
from bequest.core.feature_cache import FeatureCache
from bequest.core.timeout import SHORTEST
from bequest.data.splits import Split
from bequest.errors import NotApplicable
from bequest.evaluation.jobs import Arm, Entrants, FitJob, Keys

__all__ = ["NEVER", "Until", "curve", "in_rows", "nested"]

Array = NDArray[Any]
SIZES = 3  # of a curve, at least


@final
@dataclass(frozen=True)
class Until:
    """A time on a clock, from which on no job begins; never by default.

    Parameters
    ----------
    at : float
    clock : callable
        Seconds.
    cache : FeatureCache, optional
        Keeps what the arms' frozen sources give for each row.
    """

    at: float = math.inf
    clock: Callable[[], float] = time.perf_counter
    cache: FeatureCache | None = None

    @property
    def left(self) -> float:
        """Seconds."""
        return self.at - self.clock()


NEVER = Until()


def nested(task: Task, splits: Sequence[Split], rng: np.random.Generator) -> list[Split]:
    """The splits, whose training rows stand in an order of which every beginning is like all."""
    return [(_in_strata(task, train, rng), test) for train, test in splits]


def curve(
    arms: Sequence[Arm],
    task: Task,
    ordered: Sequence[Split],
    fractions: Sequence[float],
    executor: Executor,
    rng: np.random.Generator,
    until: Until,
    least: int = SIZES,
) -> tuple[Array, list[list[Array]]]:
    """Sizes (F,), and for each the average output on each fold's test rows.

    Fractions that could not be trained by all arms are left out.

    Raises
    ------
    NotApplicable
        Fewer than `least` sizes are left; with the arms' own reason.
    """
    parts = [
        (rows[: max(1, round(fraction * len(rows)))], test)
        for fraction in fractions
        for rows, test in ordered
    ]
    entropy = int(rng.integers(2**63))
    keys = Keys.share(executor, task, Entrants(tuple(arms), until.cache, until.clock), parts)
    found: dict[tuple[int, int], Array] = {}
    reasons: list[str] = []
    late = False
    drawn: list[FitJob] = []

    def jobs() -> Iterator[FitJob]:
        for place in range(len(parts)):
            for arm in range(len(arms)):
                if until.left <= 0:
                    return
                drawn.append(FitJob(arm, place, (entropy, place), keys, None, until.left))
                yield drawn[-1]

    end = time.monotonic() + max(SHORTEST, until.left)
    for done in in_full(executor, jobs(), until=end):
        job = drawn[done.job]
        if done.failure or done.value.output is None:
            reasons.append(done.failure or done.value.reason)
            late = late or done.late or bool(done.value and done.value.late)
        else:
            found[job.arm, job.fold] = done.value.output
    k = len(ordered)
    sizes, outputs = [], []
    rows = np.mean([len(train) for train, _ in ordered])
    for place, fraction in enumerate(fractions):
        of_size = [(a, place * k + f) for f in range(k) for a in range(len(arms))]
        if all(pair in found for pair in of_size):
            sizes.append(max(1, round(fraction * rows)))
            outputs.append(
                [
                    np.mean([found[arm, place * k + fold] for arm in range(len(arms))], axis=0)
                    for fold in range(k)
                ]
            )
    if len(set(sizes)) < least:
        if late or len(drawn) < len(parts) * len(arms):
            raise NotApplicable(
                f"it needs models trained on {least} parts of the rows, and there was time for "
                f"{len(sizes)}."
            )
        why = f": {reasons[0]}" if reasons else "."
        raise NotApplicable(
            f"a learning curve needs {least} sizes, {len(sizes)} of {len(fractions)} could be "
            f"trained on parts of {rows:.0f} rows{why}"
        )
    return np.array(sizes), outputs


def in_rows(
    task: Task,
    outputs: Sequence[Array],
    ordered: Sequence[Split],
    scores: Callable[[Array, Array], Array],
) -> Array:
    """What `scores` gives for each row, (N,), from the outputs on each fold's test rows."""
    found = np.full(len(task), np.nan)
    for output, (_, test) in zip(outputs, ordered, strict=True):
        found[test] = scores(output, test)
    return found


def _in_strata(task: Task, rows: Array, rng: np.random.Generator) -> Array:
    """The rows in an order whose every beginning has about the classes of the whole.

    Rows of a group stay together: a new label of a known patient is no new patient.
    """
    shuffled = rng.permutation(rows)
    if task.groups is not None:
        return _together(shuffled, task.groups[shuffled])
    if task.kind == "regression":
        return shuffled
    labels = task.targets[shuffled]
    place = np.empty(len(rows))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return np.asarray(shuffled[np.argsort(place, kind="stable")])


def _together(rows: Array, groups: Iterable[Any]) -> Array:
    first: dict[Any, int] = {}
    order = [first.setdefault(group, place) for place, group in enumerate(groups)]
    return np.asarray(rows[np.argsort(order, kind="stable")])
