"""The probe against ridge regressions that are refitted without each row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from bequest.errors import DataError
from bequest.selection import probe_score
from bequest.selection.scores.probe import PENALTIES


def sample(seed, rows=24, columns=5, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    means = rng.normal(size=(classes, columns))
    return means[labels] + rng.normal(size=(rows, columns)), labels


def refitted(features, targets):
    largest = np.linalg.eigvalsh(np.cov(features.T, ddof=0) * len(features)).max()
    best = None
    for penalty in PENALTIES[:-1]:
        model = Ridge(alpha=penalty * largest, solver="svd")
        left_out = cross_val_predict(model, features, targets, cv=LeaveOneOut())
        left_out = left_out.reshape(targets.shape)
        if best is None or ((targets - left_out) ** 2).sum() < ((targets - best) ** 2).sum():
            best = left_out
    others = (targets.sum(axis=0) - targets) / (len(targets) - 1)
    return best, 1 - ((targets - best) ** 2).sum() / ((targets - others) ** 2).sum()


@pytest.mark.parametrize("shape", [(24, 5), (15, 30)])
def test_skill_and_accuracy_are_those_of_refitting_without_each_row(shape):
    features, labels = sample(0, *shape)
    predicted, skill = refitted(features, np.eye(3)[labels])
    assert probe_score(features, labels) == pytest.approx(skill, abs=1e-6)
    hits = (predicted.argmax(axis=1) == labels).mean()
    assert probe_score(features, labels, measure="accuracy") == hits


def test_skill_of_values_is_that_of_refitting_without_each_row():
    features, _ = sample(1)
    values = features[:, :1] + 0.5 * np.random.default_rng(0).normal(size=(24, 1))
    skill = refitted(features, values)[1]
    assert probe_score(features, values[:, 0]) == pytest.approx(skill, abs=1e-6)


def test_features_that_say_nothing_have_no_skill():
    labels = np.arange(40) % 2
    assert probe_score(np.ones((40, 3)), labels) == 0.0
    assert probe_score(np.random.default_rng(2).normal(size=(40, 3)), labels) < 0.15


def test_one_row_per_class_has_no_skill():
    features = np.random.default_rng(3).normal(size=(6, 4))
    assert probe_score(features, np.arange(6)) == pytest.approx(0.0, abs=0.05)
    assert probe_score([[0.0], [1.0]], [0, 1]) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("columns", [3, 40])
def test_copied_and_constant_columns_change_nothing(columns):
    features, labels = sample(4, columns=columns)
    wide = np.hstack([features, features, np.full((24, 1), 0.1)])
    assert probe_score(wide, labels) == pytest.approx(probe_score(features, labels), abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(["skill", "accuracy"]))
def test_the_probe_stays_under_permuted_rows_new_names_rotation_and_scale(seed, columns, measure):
    features, labels = sample(seed, columns=columns)
    found = probe_score(features, labels, measure=measure)
    rng = np.random.default_rng(seed)
    order, rotation = rng.permutation(24), np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    renamed = np.array(["z", "a", "m"])[labels]
    again = probe_score(50 * (features @ rotation)[order] + 7, renamed[order], measure=measure)
    assert again == pytest.approx(found, abs=1e-6)
    assert 0 <= found <= 1


def test_accuracy_is_not_asked_of_values():
    with pytest.raises(DataError, match="accuracy is for classes"):
        probe_score([[0.0], [1.0], [2.0]], [0.1, 0.2, 0.7], measure="accuracy")
