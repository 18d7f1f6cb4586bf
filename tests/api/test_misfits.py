"""Sources that fit by their shapes and are likely to be misread are named."""

import numpy as np
import pytest
import xgboost
from torch import nn

import bequest as bq
from bequest.api.misfits import misfits
from bequest.errors import ModelError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
MALIGNANT = X[:, 0] > 0
TASK = bq.Task.from_arrays(X, np.where(MALIGNANT, "malignant", "benign"))


def trees():
    return xgboost.XGBClassifier(n_estimators=3).fit(X, MALIGNANT.astype(int))


def notes(model, task=TASK):
    return misfits([bq.Source(model)], task)


def test_codes_in_place_of_the_tasks_classes_are_named_with_the_way_on():
    [note] = notes(bq.wrap(trees(), name="ward"))
    assert note == (
        "None of ward's classes (0, 1) is one of the task's (benign, malignant). Where they mean "
        "the same, say which is which: bequest.wrap(model, labels={0: 'benign', ...})."
    )
    assert notes(bq.wrap(trees(), labels={0: "Benign", 1: "malignant "})) == ()


def test_a_misspelt_label_is_named_with_the_one_that_it_is_like():
    [note] = notes(bq.wrap(trees(), labels={0: "benign", 1: "malignent"}, name="ward"))
    assert "the class malignent, none of the task's (benign, malignant)" in note
    assert "labels={'malignent': 'malignant', ...}" in note


def test_a_source_of_other_classes_and_a_regression_are_no_news():
    assert notes(bq.wrap(lambda A: A, classes=["a", "b", "c"])) == ()
    assert notes(bq.wrap(lambda A: A[:, 0])) == ()
    task = bq.Task.from_arrays(X, X[:, 0], kind="regression")
    assert notes(bq.wrap(trees()), task) == ()


def test_the_outcome_of_a_transfer_says_it():
    result = bq.transfer(TASK, [bq.wrap(trees(), name="ward")], methods=["stack"], budget=30)
    assert any("None of ward's classes" in note for note in result.outcome.notes)


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


LEVELS = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}


@pytest.mark.parametrize("settings", [LEVELS, {"std": 255}, {"mean": LEVELS["mean"], "std": 1.0}])
def test_a_mean_of_levels_from_0_to_255_is_refused_with_what_to_give(settings):
    with pytest.raises(ModelError, match=r"pixels run from 0 to 1 here.*divide both by 255") as no:
        bq.wrap(network(), **settings)
    if settings is LEVELS:
        assert "mean=(0.4851, 0.4561, 0.4059), std=(0.229, 0.2239, 0.2251)" in str(no.value)


def test_a_mean_of_other_numbers_is_taken_where_the_example_has_such():
    counts = RNG.random((2, 3, 8, 8)).astype(np.float32) * 400
    assert bq.wrap(network(), example=counts, **LEVELS).encoder.mean[0] == 123.7


def test_levels_in_place_of_pixels_are_named():
    model = bq.wrap(network(), mean=0.5, std=0.5, classes=["a", "b"], name="net")
    pixels = RNG.random((10, 3, 8, 8)).astype(np.float32)
    labels = ["a", "b"] * 5
    assert notes(model, bq.Task.from_arrays(pixels, labels)) == ()
    [note] = notes(model, bq.Task.from_arrays(np.round(pixels * 255), labels))
    assert note.startswith("net reads pixels from 0 to 1, the task's go up to 25")
