"""Worlds as `transfer` meets them: averages of ridge models, a choice among three sources.

The rows are split as the race splits them, by groups and time too; the probabilities get the race's
temperature. The truth of every average, fitted on all rows, is known: in closed form for squared
errors, from many fresh rows for classes.

N rows, D features, A arms of an average, S sources, K folds, R repeats, T temperatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri

from bequest.core import Task
from bequest.data.splits import Split, folds, folds_for, judged_rows, resampling_units
from bequest.evaluation.candidates import TEMPERATURES, temperature

LEVELS = {"none": 0.0, "small": 0.4, "large": 1.0, "harm": -0.6}
FEATURES, INFORMATIVE = 20, 7
PENALTIES = np.array([15.0, 5.0, 45.0, 15.0])  # ridge, in rows; the arms of an average
TESTS = 2000  # fresh rows that give the truth for classes
LOSS_FLOOR = np.log(1e-7)
SHARED = 0.5  # of a row's variance that its group has in common


@dataclass(frozen=True)
class Race:
    """One cell of the simulation."""

    kind: str = "classification"
    rows: int = 30
    gain: str = "none"  # a key of LEVELS, or "any": a level from -1 to 1 in each run
    sources: int = 3
    target: str = "normal"  # noise of the values: "t 3", "t 2.5", "log-normal"
    columns: str = "normal"  # the same for the inputs
    group: int = 0  # rows of a group; 0 for none
    persistence: float = 0.0  # of the rows in time: correlation of neighbours; 0 for no time
    share: float = 0.5  # of the first class
    temperature: bool = True


class Drawn(NamedTuple):
    """What one score says of each candidate in a run, and what is true."""

    transfer: np.ndarray  # (S, R, N)
    scratch: np.ndarray  # (1, R, N)
    truth: np.ndarray  # (S + 1,), from scratch last


class Run(NamedTuple):
    """One run of a world."""

    scores: dict[str, Drawn]
    folds: int
    groups: np.ndarray | None


def draw(world: Race, rng: np.random.Generator) -> Run:
    """Train every average on each fold and on all rows."""
    beta = _direction(rng)
    see = _seen(world, rng)
    task = _task(world, beta, rng)
    k = folds_for(task)
    splits = folds(task, k, 2 if k >= 10 else 3, rng=rng)
    judged = judged_rows(splits[0])
    make = _classify if world.kind == "classification" else _regress
    units = resampling_units(task, k)
    scores = make(world, beta, see, task, splits, rng)
    drawn = {
        metric: Drawn(rows[:-1, :, judged], rows[-1:, :, judged], truth)
        for metric, (rows, truth) in scores.items()
    }
    return Run(drawn, k, None if units is None else units[judged])


def _regress(world, beta, see, task, splits: list[list[Split]], rng) -> dict:
    X, y = task.inputs, task.targets
    scores = np.full((len(see), len(splits), len(task)), np.nan)

    def fit(rows: np.ndarray) -> np.ndarray:
        return _ridge(X[rows], y[rows, None], see)[..., 0].mean(axis=1)

    for repeat, pairs in enumerate(splits):
        for train, test in pairs:
            scores[:, repeat, test] = -((y[test] - fit(train) @ X[test].T) ** 2)
    return {"neg_mean_squared_error": (scores, -((fit(np.arange(len(y))) - beta) ** 2).sum(axis=1))}


def _classify(world, beta, see, task, splits: list[list[Split]], rng) -> dict:
    X, y = task.inputs, task.targets
    scores = {m: np.full((len(see), len(splits), len(task)), np.nan) for m in SCORED}
    totals = 0.0

    def fit(rows: np.ndarray) -> tuple:
        share = y[rows].mean()
        weights = _ridge(X[rows], (y[rows] - share)[:, None], see)[..., 0]
        return 8 * weights, 8 * (share - 0.5)  # of a normal class on either side of zero

    for repeat, pairs in enumerate(splits):
        outputs = [_averages(*fit(train), X[test]) for train, test in pairs]
        losses = [_losses(out, y[test]) for out, (_, test) in zip(outputs, pairs, strict=True)]
        total = np.sum(losses, axis=0)
        totals = totals + total / len(splits)
        for output, loss, (_, test) in zip(outputs, losses, pairs, strict=True):
            for metric, rows in _scored(_warmed(world, output, total - loss), y[test]).items():
                scores[metric][:, repeat, test] = rows
    fresh = _fresh(world, beta, rng)
    output = _averages(*fit(np.arange(len(y))), fresh[0])
    truth = _scored(_warmed(world, output, totals), fresh[1])
    return {metric: (scores[metric], truth[metric].mean(axis=1)) for metric in SCORED}


SCORED = ("neg_brier_score", "accuracy", "neg_log_loss")


def _averages(weights: np.ndarray, bias: float, X: np.ndarray) -> np.ndarray:
    """Log odds of the mean probability of each candidate's arms, (S + 1, n)."""
    logits = weights.reshape(-1, FEATURES) @ X.T + bias
    return logit(expit(logits).reshape(len(weights), -1, len(X)).mean(axis=1))


def _losses(odds: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sum of log losses at each temperature, (S + 1, T)."""
    right = np.where(y == 1, odds, -odds)[:, None] / TEMPERATURES[:, None]
    return np.logaddexp(0.0, -right).sum(axis=2)


def _warmed(world: Race, odds: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The log odds at the temperature that these losses ask for."""
    if not world.temperature:
        return odds
    return odds / np.array([[temperature(one[:, None])] for one in losses])


def _scored(odds: np.ndarray, y: np.ndarray) -> dict:
    right = np.where(y == 1, odds, -odds)
    return {
        "neg_brier_score": -(expit(-right) ** 2),
        "accuracy": (right > 0).astype(float),
        "neg_log_loss": np.maximum(-np.logaddexp(0.0, -right), LOSS_FLOOR),
    }


def _ridge(X: np.ndarray, Y: np.ndarray, see: np.ndarray) -> np.ndarray:
    """Ridge of each arm on the features that it sees, (S + 1, A, D, 1)."""
    left = see[..., :, None] * (X.T @ X) * see[..., None, :]
    diagonal = np.arange(FEATURES)
    left[..., diagonal, diagonal] += PENALTIES[:, None]
    return see[..., None] * np.linalg.solve(left, see[..., None] * (X.T @ Y))


def _seen(world: Race, rng: np.random.Generator) -> np.ndarray:
    """Which features each arm sees, (S + 1, A, D); from scratch comes last, at level 0."""
    level = rng.uniform(-1, 1) if world.gain == "any" else LEVELS[world.gain]
    others = [level if level < 0 else part for part in (0.0, -level / 2)]
    levels = [*[level, *others][: world.sources], 0.0]
    see = np.zeros((len(levels), len(PENALTIES), FEATURES))
    for place, one in enumerate(levels):
        for arm in range(len(PENALTIES)):
            known = (5 + 5 * one) * INFORMATIVE / 10 + rng.integers(-1, 2)
            rest = (15 - 13 * one if one > 0 else 15 - 3 * one) * 0.65 + rng.integers(-1, 2)
            known = int(np.clip(round(known), 1, INFORMATIVE))
            rest = int(np.clip(round(rest), 0, FEATURES - INFORMATIVE))
            see[place, arm, rng.permutation(INFORMATIVE)[:known]] = 1
            see[place, arm, INFORMATIVE + rng.permutation(FEATURES - INFORMATIVE)[:rest]] = 1
    return see


def _direction(rng: np.random.Generator) -> np.ndarray:
    signs = rng.choice([-1.0, 1.0], FEATURES) * (np.arange(FEATURES) < INFORMATIVE)
    return signs / np.linalg.norm(signs)


def _task(world: Race, beta: np.ndarray, rng: np.random.Generator) -> Task:
    """The labelled rows."""
    groups = np.arange(world.rows) // world.group if world.group else None
    time = np.arange(world.rows) if world.persistence else None
    X = _noise(world, world.columns, FEATURES, rng)
    if world.kind == "classification":
        y = (_noise(world, "normal", 1, rng)[:, 0] > ndtri(world.share)).astype(int)
        y[:4] = 0, 1, 0, 1  # two rows of each at least
        X += (2 * y[:, None] - 1) * beta
    else:
        y = X @ beta + _noise(world, world.target, 1, rng)[:, 0]
    return Task.from_arrays(X, y, kind=world.kind, groups=groups, time=time)


def _fresh(world: Race, beta: np.ndarray, rng: np.random.Generator) -> tuple:
    y = (rng.random(TESTS) > world.share).astype(int)
    return _values(world.columns, (TESTS, FEATURES), rng) + (2 * y[:, None] - 1) * beta, y


def _noise(world: Race, law: str, width: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of variance one, (N, width): with a part that groups share, or that persists."""
    own = _values(law, (world.rows, width), rng)
    if world.group:
        common = _values(law, (-(-world.rows // world.group), width), rng)
        common = np.repeat(common, world.group, axis=0)[: world.rows]
        return np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own
    for row in range(1, world.rows if world.persistence else 0):
        own[row] = world.persistence * own[row - 1] + np.sqrt(1 - world.persistence**2) * own[row]
    return own


def _values(law: str, shape: tuple, rng: np.random.Generator) -> np.ndarray:
    """Independent values of mean zero and variance one."""
    if law == "log-normal":
        return (np.exp(rng.standard_normal(shape)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
    if law.startswith("t "):
        freedom = float(law[2:])
        return rng.standard_t(freedom, shape) * np.sqrt((freedom - 2) / freedom)
    return rng.standard_normal(shape)
