"""Each arm alone and the averages of arms, on draws whose test rows chose nothing else.

What stands in `arms()` was chosen on seeds 100 to 109; the tables of results use seeds 0 to 2.
Each draw (task, labels a class, seed) is kept under benchmarks/runs/arms/ when it is done.

    python -m benchmarks.arms [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path

import numpy as np

import bequest as bq
from benchmarks.real_tasks import TASKS, missing_folders
from bequest.core import Source
from bequest.errors import NotApplicable
from bequest.executors.local import single_threaded
from bequest.methods.families import averaged, candidates
from bequest.methods.from_scratch import FromScratch
from bequest.methods.pooled import Pooled
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack

RUNS = Path(__file__).parent / "runs" / "arms"
LABELS = (5, 20, 50)
SEEDS = range(100, 110)
MOST_TEST_ROWS = 1000


@cache
def sources(name):
    source, _, _ = TASKS[name].load()
    with single_threaded():
        models = {net: bq.train(source, net=net, name=net) for net in TASKS[name].nets}
    return {**{net: Source(model) for net, model in models.items()}, "data": Source(data=source)}


def outputs(task, name, networks):
    """Of every arm on the test rows: from scratch those of the average and of the grid, by source
    those of each method."""
    made = {}
    kept = [FromScratch(**settings) for settings in averaged(task)]
    grid = [FromScratch(**settings) for settings in candidates(task)]
    for arm in dict.fromkeys((*kept, *grid)):
        if networks or arm.net != "resnet":
            made["scratch", title(arm), arm in kept] = fitted(arm, (), task)
    for net, source in sources(name).items():
        for method in (Pooled,) if net == "data" else (Reuse, Stack, Probe):
            for arm in method.arms([source], task):
                made[net, title(arm), True] = fitted(arm, [source], task)
    return {key: output for key, output in made.items() if output is not None}


def title(arm):
    plain = type(arm)().settings()
    changed = (f"{k}={v}" for k, v in arm.settings().items() if plain[k] != v)
    return f"{arm.name} {' '.join(changed)}".strip()


def fitted(arm, given, task):
    rng = np.random.default_rng(0)
    try:
        model = arm.fit(task, rng=rng) if not given else arm.fit(given, task, rng=rng)
    except NotApplicable:
        return None
    return model.output(task.test.inputs)


def run_one(name, labels, seed, networks):
    task = TASKS[name].draw(labels, seed)
    rows = np.random.default_rng(seed).permutation(len(task.test))[:MOST_TEST_ROWS]
    task = task.with_test(task.test.take(rows))
    with single_threaded():
        made = outputs(task, name, networks)
    score = {}
    for (side, arm, _), output in made.items():
        score[f"{side}: {arm}"] = mean_score(task.test, output)
    for side in dict.fromkeys(side for side, _, _ in made):
        members = [output for (own, _, kept), output in made.items() if own == side and kept]
        score[f"{side}: average of {len(members)}"] = mean_score(
            task.test, np.mean(members, axis=0)
        )
    return score


def mean_score(test, output):
    return float(test.row_scores(output).mean())


def path_of(name, labels, seed):
    plain = "".join(c if c.isalnum() else "-" for c in name)
    return RUNS / f"{plain}_{labels}_{seed}.json"


def run(quick: bool = False, only: str = "") -> dict:
    """Run what is not kept yet, then give the means over the seeds with their standard errors."""
    missing = missing_folders()
    names = [n for n in TASKS if only in n and (not missing or n.startswith("digits"))]
    RUNS.mkdir(parents=True, exist_ok=True)
    found: dict = {}
    for name in names:
        for labels in (5,) if quick else LABELS:
            draws = [drawn(name, labels, seed) for seed in list(SEEDS)[: 2 if quick else None]]
            arms = dict.fromkeys(arm for draw in draws for arm in draw)
            found.setdefault(name, {})[labels] = {
                arm: summed([draw[arm] for draw in draws if arm in draw]) for arm in arms
            }
            print(f"{name}, {labels} labels: done", flush=True)
    return {"left_out": missing, "seeds": list(SEEDS), "means": found}


def drawn(name, labels, seed):
    path = path_of(name, labels, seed)
    if not path.exists():
        made = run_one(name, labels, seed, networks=name.startswith("digits"))
        path.write_text(json.dumps(made))
    return json.loads(path.read_text())


def summed(scores):
    error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else float("nan")
    return {"mean": float(np.mean(scores)), "standard_error": float(error), "draws": len(scores)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    print(json.dumps(run(chosen.quick, chosen.only)["means"], indent=1))


if __name__ == "__main__":
    main()
