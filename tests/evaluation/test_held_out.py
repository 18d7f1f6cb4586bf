"""Both candidates on the held-out rows."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from bequest.core import Card, InputSpec, Model, Task
from bequest.errors import NotApplicable
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


def test_weights_count_in_both_metrics():
    rows = held_out(50)
    weighted = replace(rows, weights=np.repeat([1.0, 3.0], 25))
    doubled = rows.take(np.concatenate([np.arange(50), *[np.arange(25, 50)] * 2]))
    one, other = (
        compare_on_test(task, Says(0), Says(1), rng=np.random.default_rng(1))
        for task in (weighted, doubled)
    )
    assert (one.transfer, one.scratch) == pytest.approx((other.transfer, other.scratch))
    assert one.low < one.gain < one.high


def test_rows_of_one_block_of_time_are_resampled_together():
    rows = held_out(12)
    timed = replace(rows, time=np.repeat([1, 2], 6))
    grouped = replace(rows, groups=np.repeat([1, 2], 6))
    one, other = (
        compare_on_test(task, Says(0), Says(1), rng=np.random.default_rng(1))
        for task in (timed, grouped)
    )
    assert one == other


def test_users_weigh_equally_where_the_metric_is_per_user():
    users = np.repeat([0, 1, 2], [20, 2, 2])
    y = np.zeros(24, dtype=int)
    X = np.stack([np.where(users == 0, 1.0, 0.0), np.ones(24)], axis=1).astype(np.float32)

    class Sure(Says):
        def output(self, X):
            right = np.asarray(X)[:, self.column]
            return np.stack([right, 1 - right], axis=1)

    test = Task(X, y, "classification", ("a", "b"), "per_group_accuracy", groups=users)
    result = compare_on_test(test, Sure(1), Sure(0), rng=np.random.default_rng(1))
    assert (result.transfer, result.scratch) == pytest.approx((1, 1 / 3))
    assert result.gain == pytest.approx(2 / 3)


def test_an_auc_on_rows_of_one_class_is_one_line():
    test = Task(np.zeros((5, 2)), np.zeros(5, dtype=int), "classification", (0, 1), "roc_auc")

    class Half(Says):
        def output(self, X):
            return np.full((len(X), 2), 0.5)

    with pytest.raises(NotApplicable, match="roc_auc is undefined on 5 rows: class 1"):
        compare_on_test(test, Half(0), Half(1), rng=np.random.default_rng(1))
