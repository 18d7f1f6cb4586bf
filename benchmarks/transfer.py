"""Transfer on real tasks: what `bequest.transfer` hands over, from scratch, and ten lines.

Few labels of a target are drawn; the sources were trained on many of another task. Beside bequest
run, on the same rows, the best single family from scratch of the kind of data (fixed beforehand)
and what a user would write in ten lines of scikit-learn: the source as it is; its features, or its
outputs beside the columns, with a logistic regression; and one on the rows of both tasks together.
The held-out rows only say afterwards how right each was. "with data" gives the source's rows too.
Stops and resumes: each draw is kept under benchmarks/runs/transfer/.

    python -m benchmarks.transfer [--quick] [--budget 60] [--only NAME] [--seeds 0 1 2]

N rows, D numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import issparse
from scipy.stats import t as student
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

import bequest as bq
from benchmarks.real_tasks import TASKS, missing_folders
from bequest.core import features_of, output_of
from bequest.errors import NotApplicable
from bequest.executors.local import single_threaded
from bequest.frameworks.encoders.encoder import fit_encoder
from bequest.methods.from_scratch import FromScratch

RUNS = Path(__file__).parent / "runs" / "transfer"
LABELS = (5, 20, 50)
SEEDS = (0, 1, 2)
WITH_DATA = ("heart", "wine", "reviews")  # kinds of tasks whose source rows fit the target's
SINGLE = {  # the family from scratch that is known to suit the kind of data
    "image": FromScratch(net="resnet", augment="shift"),
    "table": FromScratch(net="linear"),
    "vector": FromScratch(net="linear", scaling="l2", strength=10.0),
}


@cache
def sources(name: str) -> tuple[bq.Model, ...]:
    task = TASKS[name]
    source, _, _ = task.load()
    with single_threaded():
        return tuple(bq.train(source, net=net, name=f"{source.name}, {net}") for net in task.nets)


def run_one(name: str, labels: int, seed: int, data: bool, budget: float) -> dict:
    """One draw, every way."""
    task = TASKS[name].draw(labels, seed)
    source_rows = TASKS[name].load()[0]
    given = [bq.Source(model, source_rows if data else None) for model in sources(name)]
    start = time.process_time()
    result = bq.transfer(task, given, budget=budget, seed=seed, clock=time.process_time)
    cpu = time.process_time() - start
    outcome, test = result.outcome, result.outcome.test
    handed = test.transfer if outcome.selected == "transfer" else test.scratch
    with single_threaded():
        single = SINGLE[task.modality].fit(task, rng=np.random.default_rng(seed))
        lines = ten_lines(name, task, data)
    return {
        "task": name,
        "labels": labels,
        "seed": seed,
        "with_data": data,
        "rows": len(task),
        "metric": task.metric_name,
        "bequest": handed,
        "from_scratch": test.scratch,
        "transfer": test.transfer,
        "single_from_scratch": score(task, output_of(single, task.test.inputs)),
        "ten_lines": lines,
        "handed_over": outcome.selected,
        "verdict": outcome.verdict.kind,
        "gain": [outcome.verdict.gain, outcome.verdict.low, outcome.verdict.high],
        "score_gain": list(outcome.verdict.judged),
        "probability": outcome.verdict.probability,
        "test_gain": [test.gain, test.low, test.high],
        "source": outcome.source,
        "members": [arm.method for arm in outcome.arms if arm.used and arm.source],
        "notes": [note for note in outcome.notes if "time" in note],
        "cpu_seconds": cpu,
    }


def score(task: bq.Task, output: np.ndarray) -> float:
    """The metric on the held-out rows."""
    return float(task.test.row_scores(output).mean())


def ten_lines(name: str, task: bq.Task, data: bool) -> dict[str, float]:
    """The score on the held-out rows of each simple way, the best source of each by cross-fit."""
    found: dict[str, float] = {}
    image = task.modality == "image"
    for model in sources(name)[-1:] if task.modality == "table" else sources(name)[:1]:
        if model.classes == task.classes:
            found["as it is"] = score(task, output_of(model, task.test.inputs))
        try:
            few, many = (features_of(model, part.inputs) for part in (task, task.test))
        except NotApplicable:
            few, many = (beside(task, part, model) for part in (task, task.test))
        found["features" if image else "outputs"] = score(task, fitted(task, few, many))
    if data or name.startswith(WITH_DATA):
        source, _, _ = TASKS[name].load()
        if source.classes == task.classes:
            rows = [columns(task, part) for part in (task, source, task.test)]
            marked = [np.hstack([r, np.full((len(r), 1), i == 1)]) for i, r in enumerate(rows)]
            both = np.vstack(marked[:2])
            labels = np.concatenate([task.targets, source.targets])
            found["pooled"] = score(task, fitted(task, both, marked[2], labels))
    return found


def columns(task: bq.Task, part: bq.Task) -> np.ndarray:
    """The columns as numbers, (N, D)."""
    encoded = fit_encoder(task.inputs).encode(part.inputs)
    return encoded.toarray() if issparse(encoded) else encoded.reshape(len(part), -1)


def beside(task: bq.Task, part: bq.Task, model: bq.Model) -> np.ndarray:
    """The source's outputs beside the columns."""
    output = output_of(model, part.inputs)
    return np.hstack([columns(task, part), output.reshape(len(part), -1)])


def fitted(task: bq.Task, few: np.ndarray, many: np.ndarray, labels=None) -> np.ndarray:
    """A linear model of the few rows, asked for the many."""
    labels = task.targets if labels is None else labels
    scale = Normalizer() if task.modality == "vector" else StandardScaler()
    if task.kind == "regression":
        return make_pipeline(scale, RidgeCV(np.logspace(-2, 4, 13))).fit(few, labels).predict(many)
    strength = 10.0 if task.modality == "vector" else 1.0
    head = LogisticRegression(C=strength, max_iter=5000)
    model = make_pipeline(SimpleImputer(strategy="median"), scale, head)
    return model.fit(few, labels).predict_proba(many)


def path_of(name: str, labels: int, seed: int, data: bool) -> Path:
    title = "".join(c if c.isalnum() else "-" for c in name)
    return RUNS / f"{title}_{labels}_{seed}{'_data' if data else ''}.json"


def interval(values: list[float], clusters: list[str]) -> list[float]:
    """Mean and its 95 % t interval over the tasks: draws of one task share their source."""
    means = [np.mean([v for v, c in zip(values, clusters, strict=True) if c == one])
             for one in dict.fromkeys(clusters)]  # fmt: skip
    if len(means) < 2:
        return [float(np.mean(values)), float("nan"), float("nan")]
    half = student.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means))
    return [float(np.mean(values)), float(np.mean(means) - half), float(np.mean(means) + half)]


def summary(runs: list[dict]) -> dict:
    """Means over runs of one unit, and what the verdicts were worth."""
    names = [run["task"] for run in runs]
    best = [max(run["ten_lines"].values(), default=np.nan) for run in runs]
    helps = [run for run in runs if run["verdict"] == "helps"]
    hurts = [run for run in runs if run["verdict"] == "hurts"]

    def over(key):
        return interval([run["bequest"] - run[key] for run in runs], names)

    return {
        "runs": len(runs),
        "over_from_scratch_average": over("from_scratch"),
        "over_single_from_scratch": over("single_from_scratch"),
        "over_best_of_ten_lines": interval(
            [run["bequest"] - b for run, b in zip(runs, best, strict=True)], names
        ),
        "always_transfer_over_from_scratch": interval(
            [run["transfer"] - run["from_scratch"] for run in runs], names
        ),
        "handed_over_transfer": sum(run["handed_over"] == "transfer" for run in runs),
        "significant_negatives": sum(
            run["handed_over"] == "transfer" and run["test_gain"][2] < 0 for run in runs
        ),
        "verdicts": {
            kind: sum(run["verdict"] == kind for run in runs)
            for kind in ("helps", "hurts", "undecided")
        },
        "helps_that_truly_help": sum(run["test_gain"][0] > 0 for run in helps),
        "hurts_that_truly_hurt": sum(run["test_gain"][0] < 0 for run in hurts),
        "interval_covers_test_gain": float(
            np.mean([run["gain"][1] <= run["test_gain"][0] <= run["gain"][2] for run in runs])
        ),
        "interval_covers_test_gain_within_its_noise": float(np.mean([_agrees(r) for r in runs])),
        "median_cpu_seconds": float(np.median([run["cpu_seconds"] for run in runs])),
    }


def _agrees(run: dict) -> bool:
    """Whether the two gains agree: the held-out rows are a sample too, with an interval."""
    gain, low, high = run["gain"]
    test, test_low, test_high = run["test_gain"]
    if test > gain:
        return test - gain <= np.hypot(high - gain, test - test_low)
    return gain - test <= np.hypot(gain - low, test_high - test)


def run(quick: bool = False, budget: float = 60.0, only: str = "", seeds=SEEDS) -> dict:
    """Run what is not kept yet, then sum up all that is."""
    missing = missing_folders()
    names = [n for n in TASKS if only in n and (not missing or n.startswith("digits"))]
    plan = [(n, labels, seed, False) for seed in seeds for labels in LABELS for n in names]
    plan += [(n, labels, seed, True) for n, labels, seed, _ in plan if n.startswith(WITH_DATA)]
    if quick:
        plan = [(n, 5, 0, False) for n in names]
    for key in plan:
        path = path_of(*key)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run_one(*key, budget)))
            print(key, json.loads(path.read_text())["verdict"], flush=True)
    runs = [json.loads(path_of(*key).read_text()) for key in plan if path_of(*key).exists()]
    return {"left_out": missing, "cpu_seconds_per_run": budget, **sums(runs), "runs": runs}


def sums(runs: list[dict]) -> dict[str, dict]:
    """The summary of each unit, with and without the source's rows, and of each kind of task."""
    parts = {
        "summary": [r for r in runs if r["metric"] != "r2" and not r["with_data"]],
        "summary_r2": [r for r in runs if r["metric"] == "r2" and not r["with_data"]],
        "summary_with_data": [r for r in runs if r["metric"] != "r2" and r["with_data"]],
        "summary_r2_with_data": [r for r in runs if r["metric"] == "r2" and r["with_data"]],
    }
    for kind in ("heart", "reviews", "digits", "fashion"):
        parts[kind] = [r for r in parts["summary"] if r["task"].startswith(kind)]
    return {name: summary(part) for name, part in parts.items() if part}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds of each run")
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    chosen = parser.parse_args()
    found = run(chosen.quick, chosen.budget, chosen.only, chosen.seeds)
    found.pop("runs")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
