"""Both candidates on the held-out rows."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from bequest.core import Card, InputSpec, Model, Task
from bequest.evaluation import compare_on_test


@dataclass
class Says(Model):
    """Says its first column."""

    column: int
    classes: tuple = ()
    spec: InputSpec = field(default_factory=lambda: InputSpec("vector", (2,)))
    card: Card = field(default_factory=Card)

    def output(self, X):
        return np.asarray(X)[:, self.column].astype(float)

    @property
    def structure(self):
        return {}

    def with_card(self, card):
        return self

    def save(self, folder):
        raise NotImplementedError


def held_out(rows, groups=None):
    rng = np.random.default_rng(0)
    y = rng.normal(size=rows)
    X = np.column_stack([y + 0.1 * rng.normal(size=rows), y + rng.normal(size=rows)])
    return Task(X, y, "regression", (), "neg_mean_squared_error", groups=groups)


def test_the_gain_is_the_difference_of_the_metrics():
    test = held_out(200)
    result = compare_on_test(test, Says(0), Says(1), rng=np.random.default_rng(1))
    assert result.rows == 200
    assert result.transfer == pytest.approx(-0.01, rel=0.2)
    assert result.gain == pytest.approx(result.transfer - result.scratch)
    assert 0 < result.low < result.gain < result.high


def test_one_model_against_itself_gains_nothing():
    result = compare_on_test(held_out(20), Says(0), Says(0), rng=np.random.default_rng(1))
    assert (result.gain, result.low, result.high) == (0.0, 0.0, 0.0)


def test_groups_widen_the_interval():
    rows = held_out(50)
    test = Task(np.repeat(rows.inputs, 4, axis=0), np.repeat(rows.targets, 4), "regression", (),
                "neg_mean_squared_error", groups=np.repeat(np.arange(50), 4))  # fmt: skip
    alone = Task(test.inputs, test.targets, "regression", (), "neg_mean_squared_error")
    one, other = (
        compare_on_test(task, Says(0), Says(1), rng=np.random.default_rng(1))
        for task in (test, alone)
    )
    assert one.high - one.low > 1.5 * (other.high - other.low)


def test_the_interval_covers_the_truth():
    truth = 0.99  # squared errors of 0.01 and 1
    covered = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=100)
        X = np.column_stack([y + 0.1 * rng.normal(size=100), y + rng.normal(size=100)])
        task = Task(X, y, "regression", (), "neg_mean_squared_error")
        result = compare_on_test(task, Says(0), Says(1), rng=rng, n_boot=400)
        covered.append(result.low <= truth <= result.high)
    assert 88 <= sum(covered) <= 99
