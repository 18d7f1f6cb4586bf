"""Boosted trees as sources: what is saved and loaded, and what going on with them adds.

Breast cancer: 300 rows of the source, 40 of the target. Heart disease: Cleveland is the source, 20
rows a class of another hospital the target. Balanced accuracy on the other rows.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bequest as bq
from benchmarks.real_tasks import RealTask, _heart
from bequest.core import Source, Task
from bequest.errors import NotApplicable
from bequest.methods.continued_boosting import ContinuedBoosting
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack

SEEDS = 3
LABELS = 20  # of each class
AVERAGED = ("reuse", "stack", "probe", "continued, 30 rounds")
METHODS = {
    "reuse": Reuse(),
    "stack": Stack(),
    "probe": Probe(),
    "continued, 30 rounds": ContinuedBoosting(),
    "continued, 100 rounds": ContinuedBoosting(rounds=100, lr=0.1),
}


@cache
def _breast_cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    order = np.random.default_rng(0).permutation(len(X))
    named = np.where(y == 1, "benign", "malignant")

    def part(rows):
        columns = {**X.iloc[rows], "lump": named[rows]}
        return Task.from_table(columns, "lump", metric="balanced_accuracy", name="breast cancer")

    return part(order[:300]), part(order[300:]), None


def tasks():
    loads = {"breast cancer": _breast_cancer}
    for name in ("hungarian", "switzerland", "va"):
        loads[f"heart, {name}"] = lambda name=name: _heart(name)
    return [RealTask(name, (), load) for name, load in loads.items()]


def estimators(columns):
    quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return {
        "LightGBM": lightgbm.LGBMClassifier(verbosity=-1, n_jobs=1),
        "XGBoost": xgboost.XGBClassifier(n_jobs=1),
        "CatBoost": catboost.CatBoostClassifier(n_estimators=200, **quiet),
        "histogram boosting": HistGradientBoostingClassifier(),
        "pipeline": make_pipeline(
            ColumnTransformer([("numbers", numbers, columns)]), LogisticRegression(max_iter=1000)
        ),
    }


def sources(known):
    import pandas as pd

    rows = pd.DataFrame(known.inputs.columns)
    for name, estimator in estimators(list(rows)).items():
        fitted = estimator.fit(rows, known.targets)
        yield bq.wrap(fitted, labels=dict(enumerate(known.classes)), name=name)


def difference_from_disk(source, task):
    """The largest difference of a probability after the way through a folder."""
    with tempfile.TemporaryDirectory() as place:
        source.save(Path(place) / "model")
        again = bq.load(Path(place) / "model")
    return float(np.abs(again.output(task.inputs) - source.output(task.inputs)).max())


def score(model, task):
    return float(balanced_accuracy_score(task.labels, model.predict(task.inputs)))


def run(quick=False):
    runs, kept = [], {}
    for real in tasks():
        known, _, _ = real.load()
        models = list(sources(known))
        for seed in range(1 if quick else SEEDS):
            target = real.draw(LABELS, seed)
            scratch = score(bq.train(target), target.test)
            for source in models:
                assert source.applies(target) is None
                kept[f"{real.name}, {source.name}"] = difference_from_disk(source, target)
                found = {"task": real.name, "source": source.name, "seed": seed}
                found["from scratch"] = scratch
                fitted = {name: _fitted(one, source, target) for name, one in METHODS.items()}
                for name, model in fitted.items():
                    found[name] = None if model is None else score(model, target.test)
                found |= averages(fitted, target.test)
                runs.append(found)
    return {"largest_difference_from_disk": kept, "runs": runs}


def averages(fitted, test):
    """The average of the other arms, and that of them and of continued boosting."""
    said = {name: one.output(test.inputs) for name, one in fitted.items() if one is not None}
    with_it = {name: said[name] for name in AVERAGED if name in said}
    without = {name: one for name, one in with_it.items() if not name.startswith("continued")}
    forms = {"average": without, "average with it": with_it}
    return {name: _average(form, test) for name, form in forms.items()}


def _average(said, test):
    labels = np.array(test.classes)[sum(said.values()).argmax(axis=1)]
    return float(balanced_accuracy_score(test.labels, labels))


def _fitted(method, source, target):
    try:
        return method.fit([Source(source)], target, rng=np.random.default_rng(0))
    except NotApplicable:
        return None
