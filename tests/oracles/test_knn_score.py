"""kNN against scikit-learn, one row left out at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from bequest.errors import DataError
from bequest.selection import knn_score
from bequest.selection.scores import knn


def sample(seed, rows=60, columns=4):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    return rng.normal(size=(rows, columns)) + labels[:, None], labels


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_accuracy_is_scikit_learns_leave_one_out(neighbours):
    features, labels = sample(0)
    model = KNeighborsClassifier(neighbours)
    predicted = cross_val_predict(model, features, labels, cv=LeaveOneOut())
    found = knn_score(features, labels, neighbours=neighbours)
    assert found == pytest.approx((predicted == labels).mean(), abs=1e-12)


def test_r2_is_scikit_learns_leave_one_out():
    features, _ = sample(1)
    values = features[:, 0] + 0.1 * features[:, 1]
    predicted = cross_val_predict(KNeighborsRegressor(5), features, values, cv=LeaveOneOut())
    expected = 1 - ((values - predicted) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    assert knn_score(features, values) == pytest.approx(expected, abs=1e-12)


def test_blocks_of_rows_change_nothing(monkeypatch):
    features, labels = sample(2)
    whole = knn_score(features, labels)
    monkeypatch.setattr(knn, "BLOCK", 7)
    assert knn_score(features, labels) == whole


def test_ties_count_for_their_share():
    assert knn_score(np.ones((4, 2)), [0, 0, 1, 1], neighbours=1) == 0.0  # two of three differ
    assert knn_score([[0.0], [1.0], [2.0]], ["a", "b", "c"], neighbours=2) == 0.0
    assert knn_score([[0.0], [1.0], [2.0], [9.0]], [0, 0, 1, 1], neighbours=2) == 0.375


def test_one_row_per_class_is_never_hit_and_two_rows_suffice():
    rng = np.random.default_rng(3)
    assert knn_score(rng.normal(size=(5, 9)), np.arange(5)) == 0.0
    assert knn_score([[0.0], [1.0]], [0.2, 0.7], classification=False) == -3.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 70), st.booleans())
def test_knn_stays_under_permuted_rows_new_names_copied_rows_and_shift(
    seed, columns, neighbours, rounded
):
    features, labels = sample(seed, columns=columns)
    features = np.round(features) if rounded else features  # many ties
    found = knn_score(features, labels, neighbours=neighbours)
    order = np.random.default_rng(seed).permutation(60)
    renamed = np.array(["z", "a"])[labels]
    again = knn_score(features[order] + 100, renamed[order], neighbours=neighbours)
    assert again == pytest.approx(found, abs=1e-12)
    assert 0 <= found <= 1


def test_no_neighbours_are_refused():
    with pytest.raises(DataError, match="1 or more, not 0"):
        knn_score(*sample(4), neighbours=0)
