"""A metric from outside: this file and one entry, as a plug-in would have it."""

from dataclasses import dataclass
from typing import final

import numpy as np
import pytest

import bequest as bq
from bequest.core import METRICS, Metric
from bequest.errors import DuplicateName


@final
@dataclass(frozen=True)
class SureAccuracy(Metric):
    """Accuracy in which a hesitant prediction counts half."""

    name: str = "sure_accuracy"
    kind: str = "classification"
    unit: str = "points"

    def linearise(self, y, prediction, *, reference=None, weights=None, groups=None):
        right = prediction.argmax(axis=1) == y
        return right * np.where(prediction.max(axis=1) > 0.9, 1.0, 0.5)


@pytest.fixture
def metric(monkeypatch):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    METRICS.add("sure_accuracy", SureAccuracy())
    return METRICS["sure_accuracy"]


def test_a_metric_from_outside_judges_a_transfer(metric):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    old = bq.Task.from_arrays(X[:60], X[:60, 0] > 0, name="old")
    task = bq.Task.from_arrays(X[60:], X[60:, 0] > 0, metric="sure_accuracy", name="new")
    result = bq.transfer(task, [bq.train(old, net="linear")], methods=["reuse"], budget=None)
    assert result.verdict.metric == "sure_accuracy"
    assert "points" in result.verdict.sentence
    assert metric.value(np.array([0, 1]), np.array([[0.95, 0.05], [0.4, 0.6]])) == 0.75


def test_a_name_that_is_taken_is_one_line(metric):
    with pytest.raises(DuplicateName, match=r"^a metric named 'f1' is registered already\.$"):
        METRICS.add("f1", metric)
