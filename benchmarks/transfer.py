"""Transfer on real tasks: from scratch, each fixed method, and the automatic choice.

Stops and resumes: each run (task, labels a class, seed) is kept under benchmarks/runs/ when it is
done. The verdict is judged from the out-of-fold scores that the run keeps; the test rows only say
afterwards whether it was true.

    python -m benchmarks.transfer [--quick] [--budget 50] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import time
from functools import cache
from pathlib import Path

import numpy as np

import bequest as bq
from benchmarks.real_tasks import TASKS, missing_folders
from bequest.api import sources as of_sources
from bequest.api.arms import scratch_arms, transfer_arms
from bequest.api.transfer import HAND_OVER
from bequest.core import Source
from bequest.core.feature_cache import FeatureCache
from bequest.errors import NotApplicable
from bequest.evaluation import judge, race
from bequest.evaluation.race import RaceResult
from bequest.executors.local import LocalExecutor, single_threaded
from bequest.methods import METHODS

RUNS = Path(__file__).parent / "runs"
LABELS = (5, 20, 50)
SEEDS = (0, 1, 2)
RULES = {
    "transfer only where it helps": lambda r: r["verdict"] == "helps",
    "transfer wherever the estimate is above zero": lambda r: r["gain"] > 0,
    "transfer always": lambda r: True,
}
FIXED = ("reuse", "stack", "probe", "fine-tune")


@cache
def sources(name):
    task = TASKS[name]
    source, _, _ = task.load()
    with single_threaded():
        return tuple(bq.train(source, net=net, name=f"{source.name}, {net}") for net in task.nets)


def run_one(name, labels, seed, budget):
    """One draw of the target: the race, the two candidates refitted, and every fixed method."""
    task = TASKS[name].draw(labels, seed)
    given = tuple(Source(model) for model in sources(name))
    arms, _ = transfer_arms(given, task, "auto")
    scratch = scratch_arms(task)
    start = time.process_time()
    with FeatureCache() as cache, LocalExecutor() as executor:
        of_sources.keep(cache, given)
        of_sources.ask(cache, given, task)
        found = race(
            arms,
            scratch,
            task,
            budget=budget,
            seed=seed,
            executor=executor,
            cache=cache,
            clock=time.process_time,
        )
    with single_threaded():
        candidate = arms[found.transfer_index].fitted(task, np.random.default_rng(seed))
        baseline = scratch[found.scratch_index].fitted(task, np.random.default_rng(seed))
        scores = {
            "transfer": row_scores(candidate, task),
            "from-scratch": row_scores(baseline, task),
        }
        fixed = {method: fixed_score(method, name, task, seed) for method in FIXED}
    said = {
        "task": name,
        "labels": labels,
        "seed": seed,
        "rows": len(task),
        "test_rows": len(task.test),
        "metric": task.metric_name,
        "chosen": [arms[found.transfer_index].source, arms[found.transfer_index].method],
        "chosen_settings": dict(arms[found.transfer_index].settings),
        "scratch_settings": dict(scratch[found.scratch_index].settings),
        "arms_run": int(np.isfinite(found.transfer[:, 0, 0]).sum()),
        "repeats": found.transfer.shape[1],
        "fixed": fixed,
        "cpu_seconds": time.process_time() - start,
    }
    keep(said, found, scores)


def row_scores(model, task):
    return task.test.row_scores(model.output(task.test.inputs))


def fixed_score(method, name, task, seed):
    """Mean test score of a method at its first setting, with the first source that it takes."""
    for source in sources(name):
        for setting in METHODS[method].arms([Source(source)], task)[:1]:
            try:
                model = setting.fit([Source(source)], task, rng=np.random.default_rng(seed))
            except NotApplicable:
                continue
            return float(row_scores(model, task).mean())
    return None


def path_of(name, labels, seed):
    title = "".join(c if c.isalnum() else "-" for c in name)
    return RUNS / f"{title}_{labels}_{seed}.npz"


def keep(said, found, scores):
    RUNS.mkdir(exist_ok=True)
    path = path_of(said["task"], said["labels"], said["seed"])
    groups = found.groups if found.groups is not None else np.zeros(0)
    work = path.with_suffix(".part.npz")
    np.savez_compressed(
        work,
        said=np.frombuffer(json.dumps(said).encode(), np.uint8),
        transfer=found.transfer,
        scratch=found.scratch,
        groups=groups,
        k=found.k,
        test_transfer=scores["transfer"],
        test_scratch=scores["from-scratch"],
    )
    work.replace(path)


def judged(path):
    """The kept run with its verdict, and the truth on the test rows."""
    with np.load(path) as file:
        said = json.loads(file["said"].tobytes())
        found = RaceResult(
            transfer=file["transfer"],
            scratch=file["scratch"],
            transfer_index=0,
            scratch_index=0,
            transfer_arms=(),
            scratch_arms=(),
            metric=said["metric"],
            k=int(file["k"]),
            folds={},
            splits=(),
        )
        moved, plain = file["test_transfer"], file["test_scratch"]
    verdict = judge(found, rng=np.random.default_rng(said["seed"]))
    gain = moved - plain
    error = gain.std() / np.sqrt(len(gain))
    likely = judge(found, rng=np.random.default_rng(said["seed"]), level=HAND_OVER)
    handed = moved if likely.kind == "helps" else plain
    return {
        **said,
        "verdict": verdict.kind,
        "gain": verdict.gain,
        "low": verdict.low,
        "high": verdict.high,
        "test_from_scratch": float(plain.mean()),
        "test_transfer": float(moved.mean()),
        "test_automatic": float(handed.mean()),
        "handed_over": handed is moved,
        "true_gain": float(gain.mean()),
        "true_error": float(error),
    }


def fixed_gain(run, method):
    score = run["fixed"][method]
    return 0.0 if score is None else score - run["test_from_scratch"]


def negatives(runs, rule):
    """Runs in which `rule` hands over what is significantly below from scratch on the test rows."""
    return sum(bool(rule(r)) and r["true_gain"] < -1.96 * r["true_error"] for r in runs)


def summary(runs):
    """Means over runs of one unit; where a fixed method does not apply its gain counts as zero."""
    methods = {m: [fixed_gain(r, m) for r in runs] for m in FIXED}
    automatic = np.array([r["test_automatic"] - r["test_from_scratch"] for r in runs])
    always = np.array([r["true_gain"] for r in runs])
    kinds = [r["verdict"] for r in runs]
    helps = [r for r in runs if r["verdict"] == "helps"]
    hurts = [r for r in runs if r["verdict"] == "hurts"]
    covered = [r["low"] <= r["true_gain"] <= r["high"] for r in runs]
    return {
        "runs": len(runs),
        "mean_gain_of_fixed_methods": {m: float(np.mean(v)) for m, v in methods.items()},
        "runs_of_fixed_methods": {m: sum(r["fixed"][m] is not None for r in runs) for m in FIXED},
        "negative_transfers_of_fixed_methods": {
            m: sum(gain < -1.96 * r["true_error"] for gain, r in zip(v, runs, strict=True))
            for m, v in methods.items()
        },
        "mean_gain_of_automatic": float(automatic.mean()),
        "mean_gain_of_transfer_candidate": float(always.mean()),
        "negative_transfers_of_automatic": negatives(runs, lambda r: r["handed_over"]),
        "other_rules": {
            name: {
                "mean_gain": float(np.mean([r["true_gain"] * rule(r) for r in runs])),
                "negative_transfers": negatives(runs, rule),
            }
            for name, rule in RULES.items()
        },
        "verdicts": {kind: kinds.count(kind) for kind in ("helps", "hurts", "undecided")},
        "helps_that_truly_help": sum(r["true_gain"] > 0 for r in helps),
        "hurts_that_truly_hurt": sum(r["true_gain"] < 0 for r in hurts),
        "interval_covers_test_gain": float(np.mean(covered)),
    }


def run(quick: bool = False, budget: float = 50.0, only: str = "") -> dict:
    """Run what is not kept yet, then judge and sum up all that is."""
    missing = missing_folders()
    names = [n for n in TASKS if only in n and (not missing or n.startswith("digits"))]
    plan = [(n, labels, seed) for seed in SEEDS for labels in LABELS for n in names]
    if quick:
        plan = [(n, 5, 0) for n in names]
    for name, labels, seed in plan:
        if not path_of(name, labels, seed).exists():
            run_one(name, labels, seed, budget)
            print(f"{name}, {labels} labels, seed {seed}: done", flush=True)
    runs = [judged(path_of(*key)) for key in plan if path_of(*key).exists()]
    parts = {
        "summary": [r for r in runs if r["metric"] != "r2"],
        "summary_r2": [r for r in runs if r["metric"] == "r2"],
    }
    sums = {name: summary(part) for name, part in parts.items() if part}
    return {"left_out": missing, "cpu_seconds_per_race": budget, **sums, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--budget", type=float, default=50.0, help="CPU seconds of each race")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    print(json.dumps(run(chosen.quick, chosen.budget, chosen.only)["summary"], indent=2))


if __name__ == "__main__":
    main()
