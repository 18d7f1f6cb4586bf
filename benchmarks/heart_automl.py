"""Hearts of another hospital: what is handed over, beside AutoML on the rows of both hospitals.

The draws are those of `benchmarks.transfer`, whose stored runs give the other columns. FLAML gets
the few rows of the target, the source's rows and a column that says which is which, thirty seconds
and log loss; it chooses among boosted trees, forests, extra trees and logistic regression.
AutoGluon gets the same rows, as many seconds and the task's own metric, with its defaults. Neither
is a dependency; AutoGluon stands in an environment of its own:

    pip install --no-deps --target FOLDER flaml==2.8.0
    python -m venv OWN && OWN/bin/pip install autogluon.tabular[lightgbm]
    PYTHONPATH=FOLDER AUTOGLUON=OWN/bin/python python -m benchmarks.heart_automl

N rows.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

import bequest as bq
from benchmarks.real_tasks import TASKS
from benchmarks.transfer import LABELS, SEEDS, interval, path_of

SECONDS = 30


def frame(task: bq.Task, own: int) -> pd.DataFrame:
    """The columns, and whether the rows are the target's own."""
    table = task.inputs
    columns = {name: np.asarray(table.columns[name]) for name in table.columns}
    return pd.DataFrame(columns).assign(of_the_target=own)


def flaml_on_both(source: bq.Task, task: bq.Task, seed: int) -> float:
    from flaml import AutoML

    logging.getLogger("flaml").setLevel(logging.ERROR)
    rows = pd.concat([frame(source, 0), frame(task, 1)], ignore_index=True)
    labels = np.concatenate([source.labels, task.labels])
    learner = AutoML()
    learner.fit(
        rows,
        labels,
        task="classification",
        metric="log_loss",
        time_budget=SECONDS,
        seed=seed,
        n_jobs=1,
        verbose=0,
        estimator_list=["lgbm", "xgboost", "rf", "extra_tree", "lrl1"],
    )
    predicted = learner.predict(frame(task.test, 1))
    return float(balanced_accuracy_score(task.test.labels, predicted))


def autogluon_on_both(source: bq.Task, task: bq.Task, python: str) -> float:
    rows = pd.concat([frame(source, 0), frame(task, 1)], ignore_index=True)
    rows["label"] = np.concatenate([source.labels, task.labels])
    child = Path(__file__).with_name("autogluon_child.py")
    with tempfile.TemporaryDirectory() as folder:
        train, test = Path(folder, "train.csv"), Path(folder, "test.csv")
        rows.to_csv(train, index=False)
        frame(task.test, 1).to_csv(test, index=False)
        told = subprocess.run(
            [python, child, train, test, "label", str(SECONDS), Path(folder, "models")],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
    predicted = json.loads(told.stdout.splitlines()[-1])
    return float(balanced_accuracy_score(task.test.labels, predicted))


def run(quick: bool = False) -> dict:
    """Every draw of the hearts."""
    if importlib.util.find_spec("flaml") is None:
        return {"left_out": ["flaml is not installed"]}
    python = os.environ.get("AUTOGLUON", "")
    runs = []
    names = [name for name in TASKS if name.startswith("heart")]
    plan = [(n, c, s) for n in names for c in LABELS for s in (SEEDS[:1] if quick else SEEDS)]
    for name, labels, seed in plan:
        source, task = TASKS[name].load()[0], TASKS[name].draw(labels, seed)
        found = {"task": name, "labels": labels, "seed": seed}
        found["flaml"] = flaml_on_both(source, task, seed)
        if python:
            found["autogluon"] = autogluon_on_both(source, task, python)
        for title, data in (("bequest", False), ("bequest_with_data", True)):
            path = path_of(name, labels, seed, data)
            if path.exists():
                known = json.loads(path.read_text())
                found[title] = known["bequest"]
                found["ten_lines"] = max(known["ten_lines"].values())
        runs.append(found)
        print(found, flush=True)
    columns = ("flaml", "autogluon", "bequest", "bequest_with_data", "ten_lines")
    means = {c: [run[c] for run in runs if c in run] for c in columns}
    return {
        "left_out": [] if python else ["AutoGluon: AUTOGLUON names no interpreter that has it"],
        "seconds": SECONDS,
        "means": {name: float(np.mean(values)) for name, values in means.items() if values},
        "bequest_over_flaml": interval(
            [r["bequest"] - r["flaml"] for r in runs if "bequest" in r],
            [r["task"] for r in runs if "bequest" in r],
        ),
        "runs": runs,
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
