"""Which source for a task that is new: predicted gains against history alone, one task left out.

Run: python -m benchmarks.suggest
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr, weightedtau

from benchmarks.published.model_zoo import ACCURACY, NETWORKS, SCORES
from bequest.hub.gains import GainModel
from bequest.hub.history import Outcomes, Target

SHARED = Path(__file__).parents[2] / "shared" / "data"
PUBLISHED = {"history": 0.758, "LogME": 0.676, "Model Spider": 0.800, "history and scores": 0.801}
Judge = Callable[[np.ndarray, np.ndarray], float]
Table = tuple[np.ndarray, np.ndarray]  # results (T, M), NaN where missing; training tasks (M,)


def tau(truth: np.ndarray, said: np.ndarray) -> float:
    return float(weightedtau(truth, said, rank=None).statistic)


def pearson(truth: np.ndarray, said: np.ndarray) -> float:
    return float(pearsonr(truth, said).statistic)


def standard(table: np.ndarray) -> np.ndarray:
    """Every task with mean 0 and deviation 1."""
    return (table - np.nanmean(table, 1, keepdims=True)) / np.nanstd(table, 1, keepdims=True)


def left_out(table: Table, judge: Judge, scores: dict[str, np.ndarray] | None = None) -> dict:
    """Each task in turn is new: nothing of it is seen but the scores."""
    values, trained_on = standard(table[0]), table[1]
    scores = scores or {}
    tasks, models = np.nonzero(np.isfinite(values))
    own = {name: given[tasks, models] for name, given in scores.items()}
    whole = Outcomes(models, tasks, values[tasks, models], trained_on, len(values), own)
    rows = [_one(whole, task, judge, values, scores) for task in range(len(values))]
    named = ("history", "ours", "covered", "width")
    return {name: float(np.mean([row[name] for row in rows])) for name in named} | {"tasks": rows}


def _one(whole: Outcomes, task: int, judge: Judge, values: np.ndarray, scores: dict) -> dict:
    past = whole.take(whole.task != task)
    there = np.isfinite(values[task])
    truth = values[task][there]
    count = np.maximum(np.bincount(past.model, minlength=past.models), 1)
    history = np.bincount(past.model, past.gain, minlength=past.models) / count
    target = Target(task, None, {name: given[task] for name, given in scores.items()})
    said = GainModel(past).predict(target)
    inside = (said.low[there] <= truth) & (truth <= said.high[there])
    return {
        "history": judge(truth, history[there]),
        "ours": judge(truth, said.mean[there]),
        "covered": float(inside.mean()),
        "width": float((said.high - said.low).mean()),
    }


def zoo() -> tuple[Table, dict[str, np.ndarray]]:
    table = np.array(list(ACCURACY.values()))
    scores = {name: standard(np.array([of[t] for t in ACCURACY])) for name, of in SCORES.items()}
    return (table, np.full(len(NETWORKS), -1)), scores


def parc(name: str) -> Table:
    with (SHARED / "parc_oracles" / f"{name}.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["Target Dataset"]]
    return _table(
        [(row["Architecture"], row["Source Dataset"]) for row in rows],
        [row["Target Dataset"] for row in rows],
        [float(row["Oracle"]) for row in rows],
    )


def taskonomy(name: str) -> Table:
    found = json.loads((SHARED / "taskonomy" / f"{name}.json").read_text())
    pairs = [(key.split("__"), value) for key, value in found.items()]
    kept = [(pair, value) for pair, value in pairs if len(pair) == 2 and pair[0] != pair[1]]
    sources, targets = [(p[0],) for p, _ in kept], [p[1] for p, _ in kept]
    return _table(sources, targets, [value for _, value in kept])


def _table(sources: list[tuple], targets: list[str], values: list[float]) -> Table:
    models, tasks = sorted(set(sources)), sorted(set(targets))
    table = np.full((len(tasks), len(models)), np.nan)
    for source, target, value in zip(sources, targets, values, strict=True):
        table[tasks.index(target), models.index(source)] = value
    return table, np.array([tasks.index(m[-1]) if m[-1] in tasks else -1 for m in models])


def speed(models: int, tasks: int, outcomes: int) -> dict[str, float]:
    """Seconds to learn from a hub of this size, and to predict for one task."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=models)
    model = np.minimum((models * rng.random(outcomes) ** 3).astype(int), models - 1)
    task = rng.integers(tasks, size=outcomes)
    gain = quality[model] + rng.normal(size=outcomes)
    seen = Outcomes(model, task, gain, rng.integers(tasks, size=models), tasks)
    start = time.process_time()
    fitted = GainModel(seen)
    learned = time.process_time() - start
    near = rng.random(tasks)
    spent = []
    for place in range(9):
        start = time.process_time()
        fitted.predict(Target(place, near))
        spent.append(time.process_time() - start)
    return {"learn_cpu_s": learned, "predict_cpu_s": float(np.median(spent))}


def run(quick: bool) -> dict[str, Any]:
    whole, scores = zoo()
    tables = {
        "zoo": left_out(whole, tau),
        "zoo, LogME": left_out(whole, tau, {"LogME": scores["LogME"]}),
        "zoo, three scores": left_out(whole, tau, scores),
    }
    if SHARED.exists():
        for name in ("all", "controlled"):
            tables[f"PARC, {name}"] = left_out(parc(name), pearson)
        for name in ("win_rate_against_from_scratch", "win_rate_against_fully_supervised"):
            tables[f"Taskonomy, {name.replace('_', ' ')}"] = left_out(taskonomy(name), pearson)
    truth = whole[0]
    alone = {
        k: float(np.mean([tau(*p) for p in zip(truth, s, strict=True)])) for k, s in scores.items()
    }
    size = (10_000, 2_000, 30_000) if quick else (100_000, 20_000, 300_000)
    return {"published": PUBLISHED, "scores_alone": alone, "tables": tables, "speed": speed(*size)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    figures = run(parser.parse_args().quick)
    for name, said in figures["tables"].items():
        print(f"{name:48}", {k: round(v, 3) for k, v in said.items() if k != "tasks"})
    print(figures["scores_alone"], figures["speed"])
