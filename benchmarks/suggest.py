"""Which source for a task that is new: predicted gains against history alone, one task left out.

Run: python -m benchmarks.suggest [--quick] [--scale]
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr, weightedtau

from benchmarks import suggest_worlds
from benchmarks.hub_made import fill, outcome_like, task_of
from benchmarks.published import model_zoo, scorers
from bequest.hub import Hub
from bequest.hub.suggestions.gains import GainModel
from bequest.hub.suggestions.history import Outcomes, Target

SHARED = Path(__file__).parents[2] / "shared" / "data"
PUBLISHED = {"history": 0.758, "LogME": 0.676, "Model Spider": 0.800, "history and scores": 0.801}
SIZES = {True: (10_000, 2_000, 30_000), False: (100_000, 20_000, 300_000)}  # by quick
Judge = Callable[[np.ndarray, np.ndarray], float]
Table = tuple[np.ndarray, np.ndarray]  # results (T, M), NaN where missing; training tasks (M,)


def tau(truth: np.ndarray, said: np.ndarray) -> float:
    return float(weightedtau(truth, said, rank=None).statistic)


def pearson(truth: np.ndarray, said: np.ndarray) -> float:
    """Pearson's correlation; 0 where all models are said to be equal."""
    return float(pearsonr(truth, said).statistic) if np.ptp(said) > 0 else 0.0


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


def published(source: Any) -> tuple[Table, dict[str, np.ndarray]]:
    """A module of `benchmarks.published`: networks that were trained on none of the tasks."""
    table = np.array(list(source.ACCURACY.values()))
    scores = {
        name: standard(np.array([of[task] for task in source.ACCURACY]))
        for name, of in source.SCORES.items()
    }
    return (table, np.full(len(source.NETWORKS), -1)), scores


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


def pairs(path: Path) -> Table:
    """What training two tasks together gains over each alone: the log of the ratio of losses.

    Five tasks are targets, and the same five are sources (Standley et al., ICML 2020).
    """
    losses: dict[tuple[int, ...], list[float]] = {}
    for line in path.read_text().splitlines():
        cells = [*line.split("\t"), *[""] * 5][:5]
        losses[tuple(place for place in range(5) if cells[place].strip())] = [
            float(cell) if cell.strip() else np.nan for cell in cells
        ]
    table = np.full((5, 5), np.nan)
    for target, source in np.ndindex(5, 5):
        both = tuple(sorted((target, source)))
        if target != source and both in losses and (target,) in losses:
            table[target, source] = np.log(losses[target,][target] / losses[both][target])
    return table, np.arange(5)


def _table(sources: list[tuple], targets: list[str], values: list[float]) -> Table:
    models, tasks = sorted(set(sources)), sorted(set(targets))
    table = np.full((len(tasks), len(models)), np.nan)
    for source, target, value in zip(sources, targets, values, strict=True):
        table[tasks.index(target), models.index(source)] = value
    return table, np.array([tasks.index(m[-1]) if m[-1] in tasks else -1 for m in models])


def scale(quick: bool) -> dict[str, float]:
    """Seconds and memory of suggestions from a made hub, in a process of its own."""
    models, tasks, outcomes = SIZES[quick]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "hub")
        fill(place, models, tasks, outcomes, sketched=0.5)
        said: dict[str, float] = {}
        for ask in (_ask, _ask_again):  # each in a process of its own
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                said |= pool.apply(ask, (place,))
    return {"models": models, "tasks": tasks, "outcomes": outcomes, **said}


def _ask(place: Path) -> dict[str, float]:
    hub, base = Hub(place), _memory()
    asked = [task_of(number % 40, 1000 + number) for number in range(50)]
    for task in asked:
        task.describe()  # its fingerprint is the task's own work
    begun = time.process_time()
    first = _seconds(partial(hub.suggest, asked[0]))
    first_cpu = time.process_time() - begun
    begun = time.process_time()
    spent = [_seconds(partial(hub.suggest, task)) for task in asked]
    cpu = time.process_time() - begun
    hub.record(outcome_like(asked[0]))
    return {
        "first_s": first,
        "first_cpu_s": first_cpu,
        "median_ms": 1e3 * float(np.median(spent)),
        "slowest_ms": 1e3 * max(spent),
        "cpu_ms": 1e3 * cpu / len(asked),
        "after_an_outcome_s": _seconds(partial(hub.suggest, asked[1])),
        "memory_mb": _memory(),
        "memory_over_start_mb": _memory() - base,
    }


def _ask_again(place: Path) -> dict[str, float]:
    return {"next_process_s": _seconds(partial(Hub(place).suggest, task_of(1, 2000)))}


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _memory() -> float:
    """Peak memory of this process in MB; getrusage would give that of the one it came from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def tables() -> dict[str, dict]:
    """Every table, one task left out."""
    found = {}
    for label, source in (
        ("10 networks × 8 data sets", model_zoo),
        ("10 networks × 11 data sets", scorers),
    ):
        whole, scores = published(source)
        found[label] = left_out(whole, tau)
        found[f"{label}, LogME"] = left_out(whole, tau, {"LogME": scores["LogME"]})
        found[f"{label}, three scores"] = left_out(whole, tau, scores)
        found[label]["scores alone"] = {
            name: float(np.mean([tau(*pair) for pair in zip(whole[0], of, strict=True)]))
            for name, of in scores.items()
        }
    if not SHARED.exists():
        return found
    for name in ("all", "controlled"):
        found[f"PARC, {name}"] = left_out(parc(name), pearson)
    for name in ("from scratch", "fully supervised"):
        file = f"win_rate_against_{name.replace(' ', '_')}"
        found[f"Taskonomy, wins over {name}"] = left_out(taskonomy(file), pearson)
    found["Taskonomy, affinities"] = left_out(taskonomy("affinities"), pearson)
    many = [pairs(path) for path in sorted((SHARED / "taskgrouping").glob("*.txt"))]
    whole = [left_out(one, pearson) for one in many if np.isfinite(one[0]).sum() == 20]
    named = ("history", "ours", "covered", "width")
    mean = {name: float(np.mean([one[name] for one in whole])) for name in named}
    found[f"5 tasks trained in pairs, mean of {len(whole)} tables"] = mean
    return found


def run(quick: bool) -> dict[str, Any]:
    return {
        "published": PUBLISHED,
        "tables": tables(),
        "coverage": suggest_worlds.run(10 if quick else 60),
        "rankings": suggest_worlds.rankings(20 if quick else 200),
        "scale": scale(quick),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller hub and fewer worlds")
    parser.add_argument("--scale", action="store_true", help="only the hub of 100,000 models")
    chosen = parser.parse_args()
    if chosen.scale:
        print(scale(chosen.quick))
    else:
        figures = run(chosen.quick)
        for name, said in figures["tables"].items():
            print(f"{name:32}", {k: round(v, 3) for k, v in said.items() if isinstance(v, float)})
        for found in (figures["coverage"], figures["rankings"]):
            for size, kinds in found.items():
                for kind, said in kinds.items():
                    print(f"{size:42}{kind:32}", {k: round(v, 3) for k, v in said.items()})
        print(figures["scale"])
