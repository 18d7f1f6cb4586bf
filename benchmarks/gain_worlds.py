"""The worlds of gain_coverage.py: ridge models that are really trained, and whose truth is known.

N rows, D features, A arms of a side, K folds, R repeats, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import stats
from scipy.special import expit, softmax

GAINS = ("none", "small", "large", "harm")
# How many of ten informative features, and of twenty others, an arm of transfer sees; from scratch
# sees what "none" says, so that without gain both sides are draws of one distribution.
SEES = {"none": (5, 15), "small": (7, 12), "large": (10, 2), "harm": (2, 17)}
# Share of the truth that a source of the "prior" family knows.
KNOWS = {"none": 0.0, "small": 0.5, "large": 1.0, "harm": -1.0}
PENALTIES = np.array([15.0, 5.0, 45.0])  # ridge, in rows; arms take turns
LOSS_FLOOR = np.log(1e-7)
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(101)


@dataclass(frozen=True)
class World:
    """One cell of the simulation."""

    kind: str = "classification"
    rows: int = 50
    arms: int = 1
    gain: str = "none"
    features: int = 20
    classes: int = 2
    folds: int = 5
    repeats: int = 3
    halving: bool = False
    by: str = "features"  # what tells arms apart: the features they see, or their "prior"
    noise: float = 1.0  # against a signal of size 1
    tails: float = 0.0  # degrees of freedom of Student's t; 0 for normal
    alike: float = 0.0  # 0: arms see independent features, 1: all the same


FAMILIES: dict[str, dict] = {
    "base": {},
    "wide": {"features": 40},
    "narrow": {"features": 8},
    "prior": {"by": "prior"},
    "five classes": {"classes": 5},
    "ten folds": {"folds": 10},
    "five repeats": {"repeats": 5},
    "one repeat": {"repeats": 1},
    "halving": {"halving": True},
    "arms alike": {"alike": 0.9},
    "long tails": {"tails": 4.0},
    "noisy": {"noise": 2.0},
}


def cells(family: str) -> Iterator[World]:
    """The worlds of a family; all sizes and gains in the base, the corners elsewhere."""
    base = family == "base"
    sizes, gains = ((30, 50, 200), GAINS) if base else ((30, 200), ("none", "large"))
    for arms, rows, gain, kind in product((1, 30), sizes, gains, ("classification", "regression")):
        if kind == "regression" and family == "five classes":
            continue
        yield replace(World(kind, rows, arms, gain), **FAMILIES[family])


def draw(world: World, rng: np.random.Generator) -> dict[str, tuple]:
    """Per metric: scores (2A, R, N) and truths (2A,), transfer first; and the folds (R, N)."""
    make = _classify if world.kind == "classification" else _regress
    where = np.empty((world.repeats, world.rows), dtype=int)
    scored = make(world, where, rng)
    if world.halving:
        scored = {metric: (_halved(scores), truth) for metric, (scores, truth) in scored.items()}
    return {metric: (*both, where) for metric, both in scored.items()}


def _regress(world: World, where: np.ndarray, rng: np.random.Generator) -> dict:
    beta = _direction(world, rng)
    X = _noise(world, (world.rows, world.features), rng)
    y = X @ beta + world.noise * _noise(world, world.rows, rng)
    see, prior = _arms(world, beta[:, None], rng)
    scores = np.empty((2 * world.arms, world.repeats, world.rows))

    def fit(train: np.ndarray) -> np.ndarray:
        return _ridge(X[train], y[train, None], see, prior)[:, :, 0]

    for repeat, test in _folds(world, np.zeros(world.rows), where, rng):
        weights = fit(~test)
        scores[:, repeat, test] = -((y[test] - weights @ X[test].T) ** 2)
    weights = fit(np.ones(world.rows, dtype=bool))
    truth = -(world.noise**2 + ((weights - beta) ** 2).sum(axis=1))
    return {"neg_mean_squared_error": (scores, truth)}


def _classify(world: World, where: np.ndarray, rng: np.random.Generator) -> dict:
    classes, centres = world.classes, _centres(world, rng)
    y = _labels(world, rng)
    X = centres[y] + _noise(world, (world.rows, world.features), rng)
    see, prior = _arms(world, centres.T / (2 * classes), rng)
    scores = {m: np.empty((2 * world.arms, world.repeats, world.rows)) for m in _CLASSIFIED}

    def fit(train: np.ndarray) -> tuple:
        hot = np.eye(classes)[y[train]]
        shares = hot.mean(axis=0)
        weights = _ridge(X[train], hot - shares, see, prior)
        return 2 * classes * weights, 2 * classes * (shares - 1 / classes)

    for repeat, test in _folds(world, y, where, rng):
        rows = _rows(*fit(~test), X[test], y[test])
        for metric in _CLASSIFIED:
            scores[metric][:, repeat, test] = rows[metric]
    fitted = fit(np.ones(world.rows, dtype=bool))
    if classes == 2 and not world.tails:
        truth = _exact(*fitted, centres[1])
    else:
        fresh = rng.integers(classes, size=8000)
        samples = centres[fresh] + _noise(world, (8000, world.features), rng)
        known = _rows(*fitted, samples, fresh)
        truth = {m: rows.mean(axis=1) for m, rows in known.items()}
    return {metric: (scores[metric], truth[metric]) for metric in _CLASSIFIED}


_CLASSIFIED = ("accuracy", "neg_log_loss", "neg_brier_score")


def _rows(weights: np.ndarray, bias: np.ndarray, X: np.ndarray, y: np.ndarray) -> dict:
    logits = np.einsum("nd,adc->anc", X, weights, optimize=True) + bias
    chosen = logits[:, np.arange(len(y)), y]
    top = logits.max(axis=2)
    loss = chosen - top - np.log(np.exp(logits - top[:, :, None]).sum(axis=2))
    squares = (softmax(logits, axis=2) - np.eye(logits.shape[2])[y]) ** 2
    return {
        "accuracy": (logits.argmax(axis=2) == y).astype(float),
        "neg_log_loss": np.maximum(loss, LOSS_FLOOR),
        "neg_brier_score": -squares.sum(axis=2) / (2 if logits.shape[2] == 2 else 1),
    }


def _exact(weights: np.ndarray, bias: np.ndarray, centre: np.ndarray) -> dict:
    """Two normal classes at +-centre: the logit is normal in each, so both metrics are known."""
    slope = weights[:, :, 1] - weights[:, :, 0]
    shift, scale = bias[1] - bias[0], np.linalg.norm(slope, axis=1)
    means = [slope @ centre + shift, slope @ centre - shift]
    logits = [mean[:, None] + scale[:, None] * NODES for mean in means]
    losses = [np.maximum(-np.logaddexp(0, -logit), LOSS_FLOOR) for logit in logits]
    squares = [-((1 - expit(logit)) ** 2) for logit in logits]
    return {
        "accuracy": sum(stats.norm.cdf(mean / scale) for mean in means) / 2,
        "neg_log_loss": sum(loss @ NODE_WEIGHTS for loss in losses) / NODE_WEIGHTS.sum() / 2,
        "neg_brier_score": sum(square @ NODE_WEIGHTS for square in squares)
        / NODE_WEIGHTS.sum()
        / 2,
    }


def _ridge(X: np.ndarray, Y: np.ndarray, see: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Ridge towards each arm's prior, on the features that it sees: (2A, D, C)."""
    gram = X.T @ X
    right = X.T @ Y - gram @ prior
    left = see[:, :, None] * gram * see[:, None, :]
    diagonal = np.arange(len(gram))
    left[:, diagonal, diagonal] += np.resize(PENALTIES, len(see) // 2)[_both(len(see))][:, None]
    return prior + see[:, :, None] * np.linalg.solve(left, see[:, :, None] * right)


def _both(arms: int) -> np.ndarray:
    return np.tile(np.arange(arms // 2), 2)


def _arms(world: World, truth: np.ndarray, rng: np.random.Generator) -> tuple:
    """What each of 2A arms sees (2A, D), and the weights it starts from (2A, D, C)."""
    see = np.ones((2 * world.arms, world.features))
    prior = np.zeros((2 * world.arms, *truth.shape))
    if world.by == "prior":
        knows = np.repeat([KNOWS[world.gain], 0.0], world.arms)
        knows = knows + 0.3 * rng.standard_normal(2 * world.arms) * (world.arms > 1)
        size = 0.4 * np.linalg.norm(truth) / np.sqrt(truth.size)
        wrong = size * rng.standard_normal(prior.shape)
        return see, knows[:, None, None] * truth + wrong
    common = rng.random(world.features)
    informative = world.features // 3
    for arm in range(2 * world.arms):
        known, others = SEES[world.gain if arm < world.arms else "none"]
        wiggle = int(rng.integers(-2, 3)) if world.arms > 1 else 0
        known = int(np.clip(round(known * world.features / 30) + wiggle, 1, informative))
        others = round(others * world.features / 30) - wiggle
        others = int(np.clip(others, 0, world.features - informative))
        order = (1 - world.alike) * rng.random(world.features) + world.alike * common
        see[arm] = 0
        see[arm, np.argsort(order[:informative])[:known]] = 1
        see[arm, informative + np.argsort(order[informative:])[:others]] = 1
    return see, prior


def _direction(world: World, rng: np.random.Generator) -> np.ndarray:
    signs = rng.choice([-1.0, 1.0], world.features)
    if world.by == "features":
        signs *= np.arange(world.features) < world.features // 3
    return signs / np.linalg.norm(signs)


def _centres(world: World, rng: np.random.Generator) -> np.ndarray:
    if world.classes == 2:
        direction = _direction(world, rng) / world.noise
        return np.stack([-direction, direction])
    centres = np.stack([_direction(world, rng) for _ in range(world.classes)])
    return 1.5 * (centres - centres.mean(axis=0)) / world.noise


def _labels(world: World, rng: np.random.Generator) -> np.ndarray:
    y = rng.integers(world.classes, size=world.rows)
    y[: 2 * world.classes] = np.tile(np.arange(world.classes), 2)  # two rows of each at least
    return y


def _noise(world: World, shape: object, rng: np.random.Generator) -> np.ndarray:
    if not world.tails:
        return rng.standard_normal(shape)
    return rng.standard_t(world.tails, shape) * np.sqrt((world.tails - 2) / world.tails)


def _folds(world: World, y: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> Iterator:
    for repeat in range(world.repeats):
        order = rng.permutation(world.rows)
        order = order[np.argsort(y[order], kind="stable")]
        where[repeat, order] = np.arange(world.rows) % world.folds
        for fold in range(world.folds):
            yield repeat, where[repeat] == fold


def _halved(scores: np.ndarray) -> np.ndarray:
    """Successive halving of each side: NaN once an arm is out."""
    scores = scores.copy()
    for side in np.split(scores, 2):
        alive = np.arange(len(side))
        for repeat in range(1, scores.shape[1]):
            means = side[alive, :repeat].mean(axis=(1, 2))
            best = np.argsort(-means, kind="stable")[: (len(alive) + 1) // 2]
            alive = np.sort(alive[best])  # ties go to the arm named first
            out = np.setdiff1d(np.arange(len(side)), alive)
            side[out, repeat] = np.nan
    return scores
