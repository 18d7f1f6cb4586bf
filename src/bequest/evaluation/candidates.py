"""What the race compares: averages of arms, or single arms, on rows they did not train on.

M members, R repeats of K folds, N rows that are judged, C classes, T temperatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.evaluation.runs import Runs
from bequest.evaluation.score import score_rows
from bequest.frameworks.combined.ensemble import sharpened

__all__ = ["Candidate", "candidate", "temperature"]

Array = NDArray[Any]
TEMPERATURES = np.geomspace(0.25, 2.0, 31)
DOUBT = 2.0  # rows' worth of doubt that a temperature differs from one by a factor e


@final
@dataclass(frozen=True, eq=False)
class Candidate:
    """An average of arms, as good as it was on the rows that they did not train on.

    Parameters
    ----------
    name : str
        The source's; empty for from scratch.
    members : tuple of int
        Places of the arms that are averaged, with equal weights.
    temperature : float
        What the average's log-probabilities are divided by; 1 for regression.
    score, metric : array, shape (R, N)
        What each row contributes to the judged score and to the task's metric.
    folds : tuple of float
        The metric per fold.
    repeated : float
        Share of the members that ran every repeat. A network runs one, whose predictions stand for
        it in all: what it varies by from repeat to repeat is then not seen.
    """

    name: str
    members: tuple[int, ...]
    temperature: float
    score: Array
    metric: Array
    folds: tuple[float, ...]
    repeated: float = 1.0


def candidate(
    runs: Runs,
    name: str,
    members: Sequence[int],
    rounds: int,
    judged: Array,
    *,
    calibrate: bool = True,
) -> Candidate | None:
    """The average of these arms; None where a fold has none of them.

    Parameters
    ----------
    runs : Runs
    name : str
    members : sequence of int
        Each ran `rounds` folds, or all of the first repeat.
    rounds : int
        Folds, a whole number of repeats or fewer than one.
    judged : int array, shape (N,)
        The rows that these folds test, sorted.
    calibrate : bool
        Whether a classification's probabilities get a temperature.
    """
    task, k = runs.task, runs.k
    outputs = []
    for fold in range(rounds):
        test = runs.splits[fold][1]
        given = [_of_rows(runs, arm, fold, rounds, test) for arm in members]
        known = [output for output in given if output is not None]
        if not known:
            return None
        outputs.append(np.mean(known, axis=0))
    warmed = calibrate and task.kind == "classification"
    heat = _by_fold(outputs, runs, rounds) if warmed else [1.0] * rounds
    whole = max(1, rounds // k)
    score, metric = (np.full((whole, len(judged)), np.nan) for _ in range(2))
    folds = []
    for fold, (output, warm) in enumerate(zip(outputs, heat, strict=True)):
        test = runs.splits[fold][1]
        if warmed:
            output = sharpened(output, warm)
        place = np.searchsorted(judged, test)
        score[fold // k, place] = score_rows(task, output, test)
        metric[fold // k, place] = task.row_scores(output, test)
        folds.append(float(metric[fold // k, place].mean()))
    return Candidate(
        name,
        tuple(members),
        _overall(outputs, runs, rounds) if warmed else 1.0,
        score,
        metric,
        tuple(folds),
        float(np.mean([runs.through(arm) >= rounds for arm in members])),
    )


def temperature(losses_TN: Array) -> float:
    """The temperature with the least sum of losses and doubt, one of `TEMPERATURES`."""
    doubt = DOUBT * np.log(TEMPERATURES) ** 2
    return float(TEMPERATURES[int((losses_TN.sum(axis=1) + doubt).argmin())])


def _of_rows(runs: Runs, arm: int, fold: int, rounds: int, test: Array) -> Array | None:
    """An arm's output on a fold's test rows; of one that ran one repeat, from that repeat."""
    if runs.through(arm) >= rounds:
        return runs.outputs.get((arm, fold))
    parts = [(runs.splits[f][1], runs.outputs.get((arm, f))) for f in range(min(runs.k, rounds))]
    known = [(rows, output) for rows, output in parts if output is not None]
    if len(known) < len(parts):
        return None
    rows = np.concatenate([rows for rows, _ in known])
    order = np.argsort(rows)
    place = order[np.searchsorted(rows[order], test)]
    return np.asarray(np.concatenate([output for _, output in known])[place])


def _losses(output: Array, y: Array) -> Array:
    """Log loss of each row at each temperature, shape (T, n)."""
    top = output.max(axis=1, keepdims=True)
    logs = np.log(np.maximum(output / top, 1e-12))
    scaled = logs[None] / TEMPERATURES[:, None, None]
    return np.asarray(np.log(np.exp(scaled).sum(axis=2)) - scaled[:, np.arange(len(y)), y])


def _by_fold(outputs: Sequence[Array], runs: Runs, rounds: int) -> list[float]:
    """For each fold the temperature that the other folds of its repeat ask for."""
    sums = _fold_sums(outputs, runs)
    heat = []
    for fold in range(rounds):
        first = fold // runs.k * runs.k
        others = [sums[f] for f in range(first, min(first + runs.k, rounds)) if f != fold]
        heat.append(temperature(np.stack(others, axis=1)) if others else 1.0)
    return heat


def _overall(outputs: Sequence[Array], runs: Runs, rounds: int) -> float:
    """The temperature that all rows ask for, each once."""
    sums = np.stack(_fold_sums(outputs, runs), axis=1)
    return temperature(sums / max(1, rounds // runs.k))


def _fold_sums(outputs: Sequence[Array], runs: Runs) -> list[Array]:
    """Sum of the losses of each fold at each temperature, (T,)."""
    targets = runs.task.targets
    return [
        _losses(output, targets[runs.splits[fold][1]]).sum(axis=1)
        for fold, output in enumerate(outputs)
    ]
