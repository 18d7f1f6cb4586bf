"""H-score against its definition with inverses written out, and scikit-learn's shrinkage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from bequest.errors import DataError
from bequest.selection import Moments, h_score, h_score_from_moments


def by_definition(features, labels, covariance=None, share=0.0):
    centred = features - features.mean(axis=0)
    means = np.array([centred[labels == label].mean(axis=0) for label in labels])
    if covariance is None:
        covariance = centred.T @ centred / len(labels)
    between = (1 - share) * means.T @ means / len(labels)
    return np.trace(np.linalg.solve(covariance, between))


def sample(seed, rows=40, columns=5, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    means = rng.normal(size=(classes, columns))
    return means[labels] + rng.normal(size=(rows, columns)), labels


@pytest.mark.parametrize("classes", [2, 5, 10])
@pytest.mark.parametrize("rows", [50, 20_000])
def test_h_score_of_one_hot_labels_is_classes_minus_one(classes, rows):
    labels = np.arange(rows) % classes
    assert h_score(np.eye(classes)[labels], labels) == pytest.approx(classes - 1, abs=1e-9)


def test_h_score_is_the_trace_of_its_definition():
    features, labels = sample(0)
    assert h_score(features, labels) == pytest.approx(by_definition(features, labels), abs=1e-9)


@pytest.mark.parametrize("shape", [(40, 5), (15, 30)])
def test_regularised_h_score_is_its_definition_with_scikit_learns_shrinkage(shape):
    features, labels = sample(1, *shape)
    covariance, share = ledoit_wolf(features)
    expected = by_definition(features, labels, covariance, share)
    assert h_score(features, labels, shrinkage="ledoit-wolf") == pytest.approx(expected, abs=1e-9)
    assert h_score(features, labels, shrinkage=share) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shrinkage", [None, "ledoit-wolf", 0.2])
def test_copied_and_constant_columns_change_the_plain_score_in_nothing(shrinkage):
    features, labels = sample(2)
    constant = np.full((40, 1), 0.1)
    if shrinkage is None:
        wide = np.hstack([features, features[:, :2], constant])
        assert h_score(wide, labels) == pytest.approx(h_score(features, labels), abs=1e-9)
    assert h_score(np.hstack([constant, constant]), labels, shrinkage=shrinkage) == 0.0


@pytest.mark.parametrize(("rows", "columns"), [(3, 8), (4, 2), (2, 1)])
def test_one_row_per_class_gives_the_rank_of_the_features(rows, columns):
    features = np.random.default_rng(3).normal(size=(rows, columns))
    assert h_score(features, np.arange(rows)) == pytest.approx(min(rows - 1, columns), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([None, "ledoit-wolf", 0.5]))
def test_h_score_keeps_its_range_and_stays_under_permuted_rows_and_new_names(
    seed, columns, shrinkage
):
    features, labels = sample(seed, rows=24, columns=columns)
    found = h_score(features, labels, shrinkage=shrinkage)
    assert -1e-9 <= found <= min(2, columns) + 1e-9
    order = np.random.default_rng(seed).permutation(24)
    renamed = np.array(["z", "a", "m"])[labels]
    again = h_score(features[order], renamed[order], shrinkage=shrinkage)
    assert again == pytest.approx(found, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([None, "ledoit-wolf", 0.5]))
def test_h_score_from_chunked_moments_is_h_score(seed, columns, shrinkage):
    features, labels = sample(seed, rows=60, columns=columns)
    features = features + 10
    cuts = np.sort(np.random.default_rng(seed).integers(1, 59, size=2))
    moments = Moments()
    for x, y in zip(np.split(features, cuts), np.split(labels, cuts), strict=True):
        moments = moments.merge(Moments().update(x, y)) if len(x) else moments
    found = h_score_from_moments(moments, shrinkage=shrinkage)
    assert found == pytest.approx(h_score(features, labels, shrinkage=shrinkage), abs=1e-9)


@pytest.mark.parametrize("shrinkage", ["oas", -0.1, 1.5])
def test_a_shrinkage_that_is_none_is_refused(shrinkage):
    features, labels = sample(4)
    with pytest.raises(DataError, match="shrinkage"):
        h_score(features, labels, shrinkage=shrinkage)
