"""scikit-learn's learners as small models."""

import numpy as np
import pytest

from bequest.core import Task
from bequest.methods.from_scratch import FromScratch


@pytest.mark.parametrize("target", ["kind", "size"])
def test_a_linear_model_reads_a_table_that_has_categories_only(target):
    wards = ["a", "b"] * 10
    labels = {"kind": wards, "size": [1.5 if ward == "a" else 7.25 for ward in wards]}
    kind = "regression" if target == "size" else "classification"
    task = Task.from_table({"ward": wards, target: labels[target]}, target, kind=kind)
    model = FromScratch(net="linear", strength=10.0).fit(task, rng=np.random.default_rng(0))
    predicted = model.predict({"ward": ["b", "a"]})
    if target == "kind":
        assert predicted.tolist() == ["b", "a"]
    else:
        assert np.allclose(predicted, [7.25, 1.5], atol=0.1)


@pytest.mark.parametrize("net", ["linear", "svm", "extra-trees", "naive-bayes"])
@pytest.mark.parametrize("labels", ["aabb", "aaab", "aaaa"])
def test_every_family_learns_from_four_rows_of_which_one_class_may_have_one_or_none(net, labels):
    counts = np.array([[3.0, 0.0], [2.0, 1.0], [1.0, 2.0], [0.0, 3.0]])
    two = Task.from_arrays(np.concatenate([counts, counts]), [*labels, "a", "a", "b", "b"])
    task = two.take(np.arange(4))
    model = FromScratch(net=net, calibrated=True).fit(task, rng=np.random.default_rng(0))
    said = model.predict_proba(counts)
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    assert np.isfinite(said).all()
    if labels == "aaaa":
        assert (said[:, 0] == 1.0).all()


def test_a_temperature_makes_a_strongly_regularised_model_as_sure_as_it_may_be():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 2)) + 2.0 * y[:, None]
    task = Task.from_arrays(X, y)
    even = FromScratch(net="linear", strength=1e-4).fit(task, rng=rng).predict_proba(X)
    sure = FromScratch(net="linear", strength=1e-4, calibrated=True).fit(task, rng=rng)
    right = (even.argmax(axis=1) == y).mean()
    assert right > 0.9
    assert even.max(axis=1).mean() < 0.55
    assert abs(sure.predict_proba(X).max(axis=1).mean() - right) < 0.03


def test_a_support_vector_machine_refuses_more_rows_than_its_kernel_is_worth():
    task = Task.from_arrays(np.zeros((4001, 1)), np.arange(4001) % 2)
    assert "4001 are more than 4000" in FromScratch(net="svm").applies(task).reason


def test_naive_bayes_refuses_numbers_below_zero():
    task = Task.from_arrays(np.array([[-1.0], [1.0]]), ["a", "b"])
    assert "no number below zero" in FromScratch(net="naive-bayes").applies(task).reason


def test_rows_of_length_one_are_alike_whatever_their_size():
    task = Task.from_arrays(np.array([[1.0, 3.0], [3.0, 1.0]]), ["a", "b"])
    model = FromScratch(net="linear", scaling="l2").fit(task, rng=np.random.default_rng(0))
    rows = np.array([[1.0, 3.0], [100.0, 300.0]])
    few, many = model.predict_proba(rows)
    np.testing.assert_allclose(few, many, atol=1e-6)
