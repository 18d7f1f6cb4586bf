"""One clear line for features and labels that cannot be scored; tensors and lists are welcome."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import DataError
from bequest.selection import (
    SCORES,
    gbc,
    h_score,
    knn_score,
    leep,
    logme,
    nce,
    nleep,
    probe_score,
)

OF_FEATURES = [logme, h_score, nleep, gbc, knn_score, probe_score]
LABELS = np.arange(12) % 2


def features(seed=0, columns=3):
    return np.random.default_rng(seed).normal(size=(12, columns))


@pytest.mark.parametrize("score", OF_FEATURES, ids=lambda s: s.__name__)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_refused_with_its_place(score, bad):
    broken = features()
    broken[4, 1] = bad
    with pytest.raises(DataError, match="the first in row 4, column 1") as raised:
        score(broken, LABELS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("score", [*OF_FEATURES, leep, nce], ids=lambda s: s.__name__)
def test_labels_that_do_not_fit_are_refused(score):
    values = {leep: np.full((12, 2), 0.5), nce: LABELS}.get(score, features())
    with pytest.raises(DataError, match="12 rows of features, but 11 labels"):
        score(values, LABELS[:11])
    with pytest.raises(DataError, match="two classes"):
        score(values, np.zeros(12, dtype=int))
    with pytest.raises(DataError, match="not finite"):
        score(values, np.where(LABELS, np.nan, 1.0))
    with pytest.raises(DataError, match="missing"):
        score(values, np.array(["a", None] * 6, dtype=object))


@pytest.mark.parametrize("score", [logme, knn_score, probe_score], ids=lambda s: s.__name__)
def test_values_that_are_all_the_same_are_refused(score):
    with pytest.raises(DataError, match=r"all 12 values to predict are 0\.5"):
        score(features(), np.full(12, 0.5))


@pytest.mark.parametrize("score", OF_FEATURES, ids=lambda s: s.__name__)
@pytest.mark.parametrize("shape", [(0, 3), (12, 0), (12,), (12, 3, 1)])
def test_features_without_rows_or_columns_are_refused(score, shape):
    with pytest.raises(DataError, match=r"features"):
        score(np.ones(shape), np.zeros(shape[0], dtype=int))


@pytest.mark.parametrize("score", OF_FEATURES, ids=lambda s: s.__name__)
def test_tensors_lists_and_names_give_the_same_float(score):
    matrix = features()
    found = score(matrix, LABELS)
    assert isinstance(found, float)
    tensor = torch.tensor(matrix, requires_grad=True)
    assert score(tensor, torch.tensor(LABELS)) == found
    assert score(matrix.tolist(), LABELS.tolist()) == found
    assert score(matrix, np.array(["no", "yes"])[LABELS]) == found
    assert score(matrix.astype(np.float32), LABELS) == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("score", OF_FEATURES, ids=lambda s: s.__name__)
def test_inputs_are_left_as_they_were(score):
    matrix = features()
    score(matrix, LABELS)
    np.testing.assert_array_equal(matrix, features())


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(OF_FEATURES),
    st.integers(2, 12),
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e-8, 1e8, 0.1]), min_size=24, max_size=24),
)
def test_every_score_of_awkward_features_is_finite(score, rows, numbers):
    matrix = np.array(numbers).reshape(12, 2)[:rows]
    assert np.isfinite(score(matrix, np.arange(rows) % 2))


def test_every_registered_score_has_a_citation_and_says_where_it_applies():
    assert set(SCORES) == {"logme", "h-score", "leep", "nleep", "nce", "gbc", "knn", "probe"}
    for name, score in SCORES.items():
        assert score.name == name
        assert score.citation.startswith("@")
        assert score.applies("classification") is None
    assert "not regression" in SCORES["gbc"].applies("regression").reason
