"""Every method against every check of the contract."""

import sys
import tempfile
from functools import cache
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

import bequest as bq
from bequest.core import Card, Source, Task
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.frameworks.combined.entities import EntityFeatures
from bequest.methods import BASELINES, METHODS
from bequest.methods.continued_boosting import ContinuedBoosting
from bequest.methods.features import Features
from bequest.methods.fine_tune import FineTune
from bequest.methods.from_scratch import FromScratch
from bequest.methods.lora import LoRA
from bequest.methods.parameters import Parameters
from bequest.methods.pooled import Pooled
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack
from bequest.testing import METHOD_CHECKS, MethodCase

sys.path.insert(0, str(Path(__file__).parents[1] / "frameworks"))
import hub_folders


@cache
def images(labels: str = "abc", side: int = 8) -> Task:
    rng = np.random.default_rng(3)
    y = np.arange(36) % len(labels)
    X = rng.normal(size=(36, 1, side, side)) + y[:, None, None, None]
    return Task.from_arrays(X, [labels[i] for i in y], name=f"images {labels}")


@cache
def vectors(labels: str) -> Task:
    rows = images(labels)
    flat = rows.inputs.reshape(len(rows), -1)[:, :5]
    return Task.from_arrays(flat, rows.labels, name=f"vectors {labels}")


@cache
def table(kind: str) -> Task:
    rng = np.random.default_rng(4)
    age, ward = rng.normal(60, 10, 40), rng.choice(["a", "b"], 40)
    risk = (age > 60) if kind == "classification" else age / 10 + rng.normal(size=40)
    age = np.where(rng.random(40) < 0.1, np.nan, age)
    columns = {"age": age, "ward": ward, "y": risk}
    return Task.from_table(columns, "y", kind=kind, name=f"table {kind}")


@cache
def mended() -> Task:
    """The table of a classification again, with all of its ages known."""
    rows = table("classification")
    age = np.nan_to_num(rows.inputs.columns["age"], nan=60.0)
    columns = {"age": age, "ward": rows.inputs.columns["ward"], "y": rows.labels}
    return Task.from_table(columns, "y", name="table mended")


@cache
def texts(labels: str = "abc") -> Task:
    words = ["good film", "bad film", "a few words", "the very"]
    y = [labels[row % len(labels)] for row in range(24)]
    rows = [f"{words[labels.index(label) % 4]} {row}" for row, label in enumerate(y)]
    return Task.from_text(rows, y, name=f"texts {labels}")


@cache
def pretrained(kind: str, head: str) -> tuple[Source, ...]:
    """A tiny network of transformers, as it comes from a folder of the Hub."""
    with tempfile.TemporaryDirectory() as place:
        labels = ("a", "b", "x", "y")
        network = hub_folders.network(kind, head, labels=labels)
        return (Source(bq.load(hub_folders.write(Path(place) / kind, network))),)


@cache
def wards() -> tuple[Source, ...]:
    """What a graph knows of the wards of the tables."""
    vectors = np.array([[0.5, 1.0], [-1.0, 0.25]])
    graph = EntityFeatures(
        ["a", "b"], vectors, ["near"], vectors, scoring="complex", card=Card(name="wards")
    )
    return (Source(graph.on("ward")),)


@cache
def network(task: Task, net: str) -> tuple[Source, ...]:
    return (Source(bq.train(task, net=net)),)


@cache
def boosted(library: str, kind: str) -> tuple[Source, ...]:
    """Trees of a library, fitted to the rows of a table."""
    rows = table(kind)
    columns = pd.DataFrame(rows.inputs.columns).astype({"ward": "category"})
    labels = rows.targets.astype(int) if kind == "classification" else rows.labels
    regressor = kind == "regression"
    if library == "lightgbm":
        made = lightgbm.LGBMRegressor if regressor else lightgbm.LGBMClassifier
        trees = made(n_estimators=5, verbosity=-1, n_jobs=1)
    elif library == "xgboost":
        made = xgboost.XGBRegressor if regressor else xgboost.XGBClassifier
        trees = made(n_estimators=5, enable_categorical=True, n_jobs=1)
    else:
        made = catboost.CatBoostRegressor if regressor else catboost.CatBoostClassifier
        quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
        trees = made(iterations=5, cat_features=["ward"], **quiet)
        columns["ward"] = columns["ward"].astype(str)
    named = None if regressor else dict(enumerate(rows.classes))
    return (Source(bq.wrap(trees.fit(columns, labels), labels=named, name=library)),)


@cache
def averaged(task: Task, net: str) -> tuple[Source, ...]:
    """An ensemble of two models that stand on one network."""
    below = network(task, net)
    arms = (Probe(), Stack(inputs=False))
    members = [arm.fit(below, task, rng=np.random.default_rng(0)) for arm in arms]
    return (Source(Ensemble(tuple(members), card=Card(name="averaged"))),)


STRANGER = Task.from_arrays(np.eye(4), [0, 1, 0, 1], name="stranger")
SAMPLES = {
    "from-scratch": [
        MethodCase(FromScratch(steps=3), (), images(), STRANGER),
        MethodCase(FromScratch(net="linear"), (), images(), STRANGER),
        MethodCase(FromScratch(net="boosting"), (), table("classification"), STRANGER),
        MethodCase(FromScratch(net="mlp", steps=3), (), table("regression"), STRANGER),
        MethodCase(FromScratch(), (), texts(), STRANGER),
        MethodCase(FromScratch(net="naive-bayes"), (), texts(), STRANGER),
        MethodCase(FromScratch(net="svm", scaling="l2"), (), images(), STRANGER),
        MethodCase(FromScratch(net="svm"), (), table("regression"), STRANGER),
        MethodCase(FromScratch(net="extra-trees"), (), table("classification"), STRANGER),
        MethodCase(FromScratch(net="linear", calibrated=True), (), texts(), STRANGER),
    ],
    "reuse": [
        MethodCase(Reuse(), network(images("abcd"), "linear"), images("bda"), STRANGER),
        MethodCase(Reuse(), averaged(images("abcd"), "resnet"), images("bda"), STRANGER),
        MethodCase(Reuse(), pretrained("bert", "SEQUENCE_CLASSIFICATION"), texts("ab"), STRANGER),
        MethodCase(
            Reuse(correct_prior=False),
            network(table("regression"), "boosting"),
            table("regression"),
            STRANGER,
        ),
    ],
    "stack": [
        MethodCase(Stack(), network(images("xyz"), "linear"), images(), STRANGER),
        MethodCase(Stack(), averaged(images("xyz"), "resnet"), images(), STRANGER),
        MethodCase(Stack(), network(texts("xyz"), "linear"), texts(), STRANGER),
        MethodCase(Stack(offset=True), network(texts("abcd"), "linear"), texts(), STRANGER),
        MethodCase(Stack(offset=True), network(images("abcd"), "linear"), images(), STRANGER),
        MethodCase(Stack(scaling="l2"), network(images("xyz"), "linear"), images(), STRANGER),
        MethodCase(
            Stack(learner="extra-trees"),
            network(table("regression"), "linear"),
            table("classification"),
            STRANGER,
        ),
        MethodCase(
            Stack(learner="boosting"),
            network(table("classification"), "linear"),
            table("regression"),
            STRANGER,
        ),
        MethodCase(
            Stack(offset=True),
            network(table("regression"), "linear"),
            table("regression"),
            STRANGER,
        ),
    ],
    "probe": [
        MethodCase(Probe(), network(images("xyz"), "resnet"), images(), STRANGER),
        MethodCase(Probe(), averaged(images("xyz"), "resnet"), images(), STRANGER),
        MethodCase(Probe(), averaged(table("regression"), "mlp"), table("regression"), STRANGER),
        MethodCase(Probe(), pretrained("gpt2", "SEQUENCE_CLASSIFICATION"), texts(), STRANGER),
        MethodCase(Probe(), network(table("classification"), "mlp"), table("regression"), STRANGER),
        MethodCase(
            Probe(head="svm", scaling="l2"), network(images("xyz"), "resnet"), images(), STRANGER
        ),
        MethodCase(
            Probe(scaling="standard", calibrated=True),
            network(images("xyz"), "resnet"),
            images(),
            STRANGER,
        ),
    ],
    "continued-boosting": [
        *(
            MethodCase(ContinuedBoosting(rounds=5), boosted(library, kind), table(kind), STRANGER)
            for library in ("lightgbm", "xgboost", "catboost")
            for kind in ("classification", "regression")
        ),
        MethodCase(
            ContinuedBoosting(rounds=5, leaf=2),
            network(vectors("abc"), "boosting"),
            vectors("bca"),
            STRANGER,
        ),
    ],
    "pooled": [
        MethodCase(Pooled(), (Source(data=table("regression")),), table("regression"), STRANGER),
        MethodCase(Pooled(), (Source(data=table("classification")),), mended(), STRANGER),
        MethodCase(Pooled(scaling="l2"), (Source(data=images("abcd")),), images(), STRANGER),
        MethodCase(Pooled(weight=0.3), (Source(data=texts("abcd")),), texts(), STRANGER),
    ],
    "parameters": [
        MethodCase(
            Parameters(width=64, steps=3),
            network(images("abcd"), "resnet"),
            images("bda"),
            STRANGER,
        ),
        MethodCase(
            Parameters(width=8, layers=3, steps=3),
            network(table("regression"), "mlp"),
            table("regression"),
            STRANGER,
        ),
        MethodCase(
            Parameters(width=16, steps=3),
            network(images("abcd", 16), "resnet"),
            images("bda"),
            STRANGER,
        ),
    ],
    "fine-tune": [
        MethodCase(
            FineTune(steps=3, probe_first=True, augment="shift"),
            network(images("xyz"), "resnet"),
            images(),
            STRANGER,
        ),
        MethodCase(
            FineTune(steps=3, pull=0.1, decay=0.5, freeze=0.3),
            network(images("abcd"), "resnet"),
            images("abx"),
            STRANGER,
        ),
        MethodCase(
            FineTune(steps=3), network(table("regression"), "mlp"), table("regression"), STRANGER
        ),
        MethodCase(
            FineTune(steps=3), pretrained("bert", "SEQUENCE_CLASSIFICATION"), texts(), STRANGER
        ),
    ],
    "lora": [
        MethodCase(
            LoRA(rank=2, steps=3, augment="shift"),
            network(images("xyz"), "resnet"),
            images(),
            STRANGER,
        ),
        MethodCase(
            LoRA(steps=3, targets=["body.0"]),
            network(table("regression"), "mlp"),
            table("regression"),
            STRANGER,
        ),
    ],
    "features": [
        MethodCase(Features(), wards(), table("classification"), STRANGER),
        MethodCase(Features(learner="boosting"), wards(), table("regression"), STRANGER),
    ],
}
CASES = [
    pytest.param(case, id=f"{name}-{place}")
    for name, cases in SAMPLES.items()
    for place, case in enumerate(cases)
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.__name__)
def test_every_method_keeps_the_contract(check, case):
    check(case)


def test_every_method_has_a_sample():
    assert set(SAMPLES) == {*BASELINES, *METHODS}
