import numpy as np

import bequest as bq
from bequest.api.arms import transfer_arms
from bequest.core import Task
from bequest.methods.pooled import Pooled


def fitted(data, task, **settings):
    return Pooled(**settings).fit([bq.Source(data=data)], task, rng=np.random.default_rng(0))


def table(a, b, y, name="table"):
    columns = {"a": a, "b": b, "y": y}
    return Task.from_table(columns, "y", kind="regression", name=name)


def test_the_slope_comes_from_the_source_and_the_level_from_the_target():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    known = table(a, b, 3 * a - 2 * b)
    few = table(a[:3], b[:3], 3 * a[:3] - 2 * b[:3] + 50)
    model = fitted(known, few)
    new = {"a": [0.0, 1.0, 0.0], "b": [0.0, 0.0, 1.0]}
    np.testing.assert_allclose(model.predict(new), [50, 53, 48], atol=1.0)


def test_a_source_that_contradicts_the_target_is_given_the_least_weight():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 300))
    against = table(a, b, -3 * a)
    task = table(a[:40], b[:40], 3 * a[:40])
    [moved] = fitted(against, task).card.transferred
    assert moved["rule"] == "weight 0.03"


def test_classes_are_matched_by_word_and_rows_of_others_are_left_out():
    X = np.arange(12.0)[:, None]
    known = Task.from_arrays(X, ["Low"] * 4 + ["High"] * 4 + ["other"] * 4, name="last year")
    task = Task.from_arrays(X[2:6], ["low", "low", "high", "high"])
    model = fitted(known, task, weight=1.0, strength=10.0)
    assert model.predict([[0.0], [7.0]]).tolist() == ["low", "high"]
    [moved] = model.card.transferred
    assert moved["numbers"] == 8


def test_data_without_the_columns_or_the_classes_are_refused_with_the_reason():
    X = np.arange(4.0)[:, None]
    task = Task.from_arrays(X, ["a", "a", "b", "b"])
    other = Task.from_arrays(X, ["a", "a", "c", "c"])
    wider = Task.from_arrays(np.ones((4, 2)), ["a", "a", "b", "b"])
    assert "lack the target's classes b" in Pooled().applies([bq.Source(data=other)], task).reason
    assert "do not fit" in Pooled().applies([bq.Source(data=wider)], task).reason


def test_methods_that_read_the_rows_come_first_where_not_all_have_a_place():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.2, size=(120, 300)).astype(np.float32)
    labels = np.where(counts[:, 0] > 0, "yes", "no")
    known = Task.from_arrays(counts[:80], labels[:80], name="known")
    task = Task.from_arrays(counts[80:], labels[80:], name="few")
    source = bq.Source(bq.train(known, net="linear"), known)
    arms, left, _ = transfer_arms([source], task, "auto", most=3)
    assert [arm.method for arm in arms if not arm.trains_network][:2] == ["pooled", "pooled"]
    assert sum(not arm.trains_network for arm in arms) == 3
    assert any("an average from scratch holds 3" in one.reason for one in left)
