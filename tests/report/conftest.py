"""Outcomes of every sort, the extreme ones too: what the page must bear."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bequest.core import (
    ArmResult,
    LabelsSaved,
    Outcome,
    RankedSource,
    TaskSummary,
    TestResult,
    Verdict,
)

VERSIONS = {"bequest": "0.1.0", "numpy": "2.3.1", "scikit-learn": "1.9.1", "torch": "2.13.0"}


def helps() -> Outcome:
    rng = np.random.default_rng(0)
    scratch = 0.69 + 0.05 * rng.standard_normal(25)
    transfer = scratch + 0.12 + 0.04 * rng.standard_normal(25)
    arms = (
        ArmResult("digits 0-4", "fine-tune", {"lr": 0.001, "pull": 0.0}, 0.812, (), 9.1),
        ArmResult("digits 0-4", "probe", {"strength": 1.0}, 0.794, (), 0.4),
        ArmResult("digits 0-4", "stack", {"parts": "probabilities"}, 0.731, (), 0.2),
        ArmResult("", "from-scratch", {"net": "mlp", "lr": 0.003}, 0.692, (), 8.0),
        ArmResult(
            "scrambled pixels",
            "probe",
            {"strength": 1.0},
            0.601,
            (),
            0.4,
            "stopped after 2 of 5 folds: its estimate was behind the better half.",
        ),
        ArmResult(
            "ward 3",
            "fine-tune",
            {},
            math.nan,
            (),
            0.0,
            "the source takes vectors of shape (30,), the task has (64,).",
        ),
    )
    ranking = (
        RankedSource("digits 0-4", 6.1, 5.0, 7.3, {"logme": 0.512, "h-score": 2.91, "leep": -1.02}),
        RankedSource("scrambled pixels", 0.4, -0.5, 1.3, {"logme": 0.101, "h-score": 1.2}),
        RankedSource("random labels", -0.3, -1.4, 0.7, {"logme": 0.08, "leep": -1.6}),
        RankedSource(
            "ward 3",
            math.nan,
            math.nan,
            math.nan,
            {},
            "the source takes vectors of shape (30,), the task has (64,).",
        ),
    )
    return Outcome(
        target=TaskSummary(
            name="digits 5-9",
            fingerprint="3fb2a9c11d04e7aa",
            modality="vector",
            kind="classification",
            metric="accuracy",
            rows=50,
            classes=(5, 6, 7, 8, 9),
        ),
        source="digits 0-4",
        method="fine-tune",
        settings={"lr": 0.001, "pull": 0.0},
        selected="transfer",
        verdict=Verdict(0.1204, 0.0806, 0.1613, "accuracy"),
        folds={"transfer": tuple(transfer), "from-scratch": tuple(scratch)},
        splits=tuple(f"{value:016x}" for value in rng.integers(0, 2**62, 25)),
        ranking=ranking,
        arms=arms,
        seed=0,
        cost={"seconds": 73.6, "memory_mb": 412.0, "labels": 50},
        versions=VERSIONS,
        labels_saved=LabelsSaved(
            50, 168.0, 121.0, 233.0, (25, 50, 100, 200, 400), (0.52, 0.69, 0.77, 0.83, 0.87), 0.812
        ),
        test=TestResult(647, 0.823, 0.705, 0.118, 0.091, 0.146),
        transferred=(
            {"part": "body.0.weight", "numbers": 8192, "rule": "copied, then tuned"},
            {"part": "body.0.bias", "numbers": 128, "rule": "copied, then tuned"},
            {"part": "body.3.weight", "numbers": 16384, "rule": "copied, then tuned"},
            {"part": "head.weight", "numbers": 640, "rule": "new"},
        ),
        notes=("2 rows of the target are near-duplicates of rows that a source was trained on.",),
    )


def hurts() -> Outcome:
    base = helps()
    return replace(
        base,
        source="scrambled pixels",
        method="probe",
        settings={"strength": 1.0},
        selected="from-scratch",
        verdict=Verdict(-0.051, -0.092, -0.011, "accuracy"),
        folds={
            "transfer": (0.60, 0.64, 0.66, 0.61, 0.63),
            "from-scratch": (0.66, 0.70, 0.65, 0.69, 0.72),
        },
        labels_saved=LabelsSaved(50, 38.0, 29.0, 48.0, (25, 50, 100), (0.52, 0.69, 0.77), 0.63),
        test=None,
        transferred=(),
        notes=(),
    )


def undecided() -> Outcome:
    base = helps()
    return replace(
        base,
        selected="from-scratch",
        verdict=Verdict(0.013, -0.031, 0.058, "accuracy"),
        folds={"transfer": (0.71,), "from-scratch": (0.70,)},
        labels_saved=LabelsSaved(50, math.inf, 44.0, math.inf, (25, 50), (0.52, 0.69), 0.71),
        test=None,
        notes=("The time ran out before every arm had been tried.",),
    )


def regression(metric: str = "r2") -> Outcome:
    base = helps()
    scale = {"r2": (0.41, 0.36, 0.046, 0.012, 0.081)}.get(
        metric, (-12400.0, -15100.0, 2700.0, 900.0, 4600.0)
    )
    transfer, scratch, gain, low, high = scale
    wobble = [0.9, 1.0, 1.1, 1.05, 0.95]
    return replace(
        base,
        target=replace(base.target, name="red wine quality", kind="regression", classes=()),
        source="white wine quality",
        method="stack",
        settings={"offset": True},
        verdict=Verdict(gain, low, high, metric),
        folds={
            "transfer": tuple(transfer * w for w in wobble),
            "from-scratch": tuple(scratch * w for w in wobble),
        },
        arms=(
            ArmResult("white wine quality", "stack", {"offset": True}, transfer, (), 3.0),
            ArmResult("", "from-scratch", {}, scratch, (), 2.0),
        ),
        ranking=(RankedSource("white wine quality", 2.0, 1.1, 3.0),),
        labels_saved=None,
        test=TestResult(400, transfer, scratch, gain, low, high),
        transferred=(),
        notes=(),
    )


def no_source() -> Outcome:
    base = helps()
    unfit = tuple(
        replace(entry, score=math.nan, low=math.nan, high=math.nan, scores={}, reason="the source "
                "takes images of shape (3, 64, 64), the task has vectors of shape (64,).")
        for entry in base.ranking
    )  # fmt: skip
    return replace(
        base,
        source="",
        method="",
        settings={},
        selected="from-scratch",
        verdict=Verdict(0.0, 0.0, 0.0, "accuracy"),
        folds={"transfer": (), "from-scratch": (0.66, 0.70, 0.65)},
        ranking=unfit,
        arms=(ArmResult("", "from-scratch", {"net": "mlp"}, 0.67, (), 5.0),),
        labels_saved=None,
        test=None,
        transferred=(),
        notes=(),
    )


def crowded() -> Outcome:
    base = helps()
    rng = np.random.default_rng(1)
    long = "a-team/of-people/who-like-names-that-never-end/" + "resnet_" * 14 + "v2"
    names = [long, *(f"ward {i}" for i in range(39))]
    ranking = []
    for i, name in enumerate(names):
        score = 3.0 - 0.12 * i
        low, high = score - rng.uniform(0.2, 1.0), score + rng.uniform(0.2, 1.0)
        ranking.append(RankedSource(name, score, low, high, {"logme": score / 7, "gbc": -score}))
    arms = []
    for i in range(60):
        reason = "" if i % 3 else "stopped after 2 of 5 folds: its estimate was behind."
        settings = {"lr": 10.0 ** -(i % 5), "pull": i / 7, "freeze": ["stem", "body.1"]}
        arms.append(ArmResult(names[i % 40], "fine-tune", settings, 0.8 - i / 300, (), i, reason))
    return replace(
        base,
        source=long,
        ranking=tuple(ranking),
        arms=(*arms, ArmResult("", "from-scratch", {"net": "resnet"}, 0.7, (), 3.0)),
        settings=arms[0].settings,
        transferred=tuple(
            {"part": f"block.{i}.conv.weight", "numbers": 3 * 10**i, "rule": "copied, then tuned"}
            for i in range(20)
        ),
        cost={"seconds": 93600.0, "memory_mb": 1.2e7, "labels": 5e8},
    )


def extreme() -> Outcome:
    base = regression("neg_mean_squared_error")
    return replace(
        base,
        verdict=Verdict(3.1e-9, 2.0e-9, 4.4e-9, "neg_mean_squared_error"),
        folds={"transfer": (-4e12, -5e12), "from-scratch": (-9e12, -6e12)},
        test=None,
    )


SAMPLES = {
    "helps": helps,
    "hurts": hurts,
    "undecided": undecided,
    "regression": regression,
    "squared": lambda: regression("neg_mean_squared_error"),
    "no-source": no_source,
    "crowded": crowded,
    "extreme": extreme,
}


@pytest.fixture(params=list(SAMPLES))
def sample(request) -> Outcome:
    return SAMPLES[request.param]()


@pytest.fixture
def samples():
    return SAMPLES
