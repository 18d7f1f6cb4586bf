"""Sources that know nothing: how often does what is handed over do harm?

A source is trained on the rows of its own task with their labels shuffled, or is trained as it
should be and its outputs are shuffled among the rows. Few labels of a target are drawn; the test
rows choose nothing. A significant negative: transfer was handed over, and the 95 % interval of its
gain on the test rows lies below zero. Stops and resumes: each draw is kept under benchmarks/runs/.

    python -m benchmarks.worthless [--draws 11] [--budget 8]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

import bequest as bq
from benchmarks.real_tasks import TASKS, missing_folders
from bequest.core import output_of

RUNS = Path(__file__).parent / "runs" / "worthless"
LABELS = (5, 20)
NAMES = tuple(name for name in TASKS if name.startswith(("heart", "digits", "wine")))
KINDS = ("shuffled labels", "shuffled outputs")


@cache
def source(name: str, kind: str) -> bq.Model:
    task, net = TASKS[name].load()[0], TASKS[name].nets[0]
    if kind == "shuffled labels":
        labels = np.random.default_rng(0).permutation(task.targets)
        return bq.train(replace(task, targets=labels), net=net, name=kind)
    model = bq.train(task, net=net)

    def shuffled(inputs):
        output = output_of(model, inputs)
        return np.random.default_rng(0).permutation(output)

    return bq.wrap(shuffled, classes=model.classes or None, example=task.inputs[:2], name=kind)


def run_one(name: str, kind: str, labels: int, seed: int, budget: float) -> dict:
    task = TASKS[name].draw(labels, seed)
    given = {"budget": budget, "seed": seed, "clock": time.process_time}
    outcome = bq.transfer(task, [source(name, kind)], **given).outcome
    test, verdict = outcome.test, outcome.verdict
    return {
        "task": name,
        "source": kind,
        "labels": labels,
        "seed": seed,
        "metric": verdict.metric,
        "verdict": verdict.kind,
        "gain": [verdict.gain, verdict.low, verdict.high],
        "score_gain": list(verdict.judged),
        "handed_over": outcome.selected,
        "test_gain": None if test is None else [test.gain, test.low, test.high],
    }


def sums(runs: list[dict]) -> dict:
    handed = [run for run in runs if run["handed_over"] == "transfer" and run["test_gain"]]
    hurts = [run for run in runs if run["verdict"] == "hurts" and run["test_gain"]]
    scale = {metric: [r for r in runs if r["metric"] == metric] for metric in
             sorted({run["metric"] for run in runs})}  # fmt: skip
    return {
        "draws": len(runs),
        "handed_over_transfer": len(handed),
        "significant_negatives": sum(run["test_gain"][2] < 0 for run in handed),
        "significant_positives": sum(run["test_gain"][1] > 0 for run in handed),
        "helps": sum(run["verdict"] == "helps" for run in runs),
        "helps_truly": sum(
            run["verdict"] == "helps" and bool(run["test_gain"]) and run["test_gain"][0] > 0
            for run in runs
        ),
        "hurts": len(hurts),
        "hurts_truly": sum(run["test_gain"][0] < 0 for run in hurts),
        "mean_gain_handed_over": {
            metric: float(
                np.mean([
                    run["test_gain"][0] if run["handed_over"] == "transfer" else 0.0
                    for run in some if run["test_gain"]
                ])
            )
            for metric, some in scale.items()
        },
    }  # fmt: skip


def run(quick: bool = False, draws: int = 11, budget: float = 8.0) -> dict:
    """Every draw that is not kept yet, then the sums of all."""
    missing = missing_folders()
    names = [name for name in NAMES if not missing or name.startswith("digits")]
    seeds = range(1 if quick else draws)
    plan = [(n, k, c, s) for s in seeds for c in LABELS for k in KINDS for n in names]
    runs = []
    for name, kind, labels, seed in plan:
        path = RUNS / f"{name.replace(' ', '-').replace(':', '')}-{kind[9:]}-{labels}-{seed}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run_one(name, kind, labels, seed, budget)))
        runs.append(json.loads(path.read_text()))
        print(len(runs), "of", len(plan), runs[-1]["verdict"], flush=True)
    return {"left_out": missing, "cpu_seconds_per_run": budget, **sums(runs), "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=11)
    parser.add_argument("--budget", type=float, default=8.0, help="CPU seconds of each draw")
    chosen = parser.parse_args()
    found = run(draws=chosen.draws, budget=chosen.budget)
    del found["runs"]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
