"""LEEP, NCE and NLEEP against their definitions, written as loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from bequest.errors import DataError
from bequest.selection import JointTable, leep, leep_from_table, nce, nce_from_table, nleep


def leep_by_loops(theta, labels):
    rows, sources = theta.shape
    total = 0.0
    for i in range(rows):
        likelihood = 0.0
        for z in range(sources):
            joint = sum(theta[j, z] for j in range(rows) if labels[j] == labels[i])
            likelihood += joint / sum(theta[:, z]) * theta[i, z]
        total += math.log(likelihood)
    return total / rows


def sample(seed, rows=20, sources=4, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    return rng.dirichlet(np.full(sources, 0.4), size=rows), labels


def entropy(labels):
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(shares * np.log(shares)).sum()


def test_leep_is_its_definition():
    theta, labels = sample(0)
    assert leep(theta, labels) == pytest.approx(leep_by_loops(theta, labels), abs=1e-12)


def test_leep_of_a_constant_source_is_minus_the_entropy_of_the_labels():
    labels = np.array([0, 0, 0, 1, 2])
    assert leep(np.tile([0.3, 0.7], (5, 1)), labels) == pytest.approx(-entropy(labels), abs=1e-12)


def test_a_source_class_that_is_never_predicted_changes_nothing():
    theta, labels = sample(1)
    padded = np.hstack([theta, np.zeros((20, 1))])
    assert leep(padded, labels) == pytest.approx(leep(theta, labels), abs=1e-12)


def test_leep_of_hard_predictions_is_nce():
    theta, labels = sample(2)
    hard = theta.argmax(axis=1)
    assert leep(np.eye(4)[hard], labels) == pytest.approx(nce(hard, labels), abs=1e-12)


def test_nce_is_mutual_information_minus_entropy():
    theta, labels = sample(3, rows=50)
    hard = theta.argmax(axis=1)
    expected = mutual_info_score(hard, labels) - entropy(labels)
    assert nce(hard, labels) == pytest.approx(expected, abs=1e-12)


def test_nce_of_one_source_class_is_minus_the_entropy_and_of_one_row_per_class_zero():
    assert nce(["only"] * 4, [0, 0, 1, 1]) == pytest.approx(-math.log(2), abs=1e-12)
    assert nce([5, 6, 7], ["a", "b", "c"]) == 0.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 5))
def test_leep_keeps_its_range_and_stays_under_permuted_rows_and_new_names(seed, sources, classes):
    theta, labels = sample(seed, sources=sources, classes=classes)
    found = leep(theta, labels)
    assert -entropy(labels) - 1e-12 <= found <= 1e-12
    order = np.random.default_rng(seed).permutation(20)
    renamed = np.array(list("zaxbm"))[labels]
    assert leep(theta[order][:, ::-1], renamed[order]) == pytest.approx(found, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 29), max_size=3))
def test_chunked_tables_give_the_scores_of_the_whole(seed, cuts):
    theta, labels = sample(seed, rows=30)
    cuts = sorted(set(cuts))
    chunks = list(zip(np.split(theta, cuts), np.split(labels, cuts), strict=True))
    table, hard = JointTable(), JointTable()
    for x, y in chunks:
        table.merge(JointTable().update(x, y))
        hard.update(np.eye(4)[x.argmax(axis=1)], y)
    parts = sum(len(y) * leep_from_table(table, x, y) for x, y in chunks) / 30
    assert parts == pytest.approx(leep(theta, labels), abs=1e-12)
    assert nce_from_table(hard) == pytest.approx(nce(theta.argmax(axis=1), labels), abs=1e-12)


def test_tables_refuse_what_does_not_add_up():
    table = JointTable().update([[1.0, 0.0], [0.0, 1.0]], ["a", "b"])
    with pytest.raises(DataError, match="do not add up"):
        table.update([[1.0, 0.0, 0.0]], ["a"])
    with pytest.raises(DataError, match="not seen"):
        leep_from_table(table, [[1.0, 0.0]], ["c"])
    with pytest.raises(DataError, match="two are needed"):
        nce_from_table(JointTable().update([[1.0, 0.0]], ["a"]))


@pytest.mark.parametrize(
    ("theta", "message"),
    [([[2.0, -1.0], [0.5, 0.5]], "negative"), ([[3.0, 1.0], [0.5, 0.5]], "not logits")],
)
def test_leep_refuses_what_is_no_probability(theta, message):
    with pytest.raises(DataError, match=message):
        leep(theta, [0, 1])


def clusters(seed, rows=60, classes=3, distance=8.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return distance * np.eye(classes, 6)[labels] + rng.normal(size=(rows, 6)), labels


def test_nleep_of_well_parted_clusters_is_zero_and_of_noise_near_minus_the_entropy():
    features, labels = clusters(0)
    assert nleep(features, labels, components=3) == pytest.approx(0.0, abs=1e-3)
    noise = np.random.default_rng(0).normal(size=(60, 6))
    assert -entropy(labels) - 1e-9 <= nleep(noise, labels, components=3) < -0.9 * entropy(labels)


def test_nleep_of_one_component_or_of_constant_features_is_minus_the_entropy():
    features, labels = clusters(1)
    assert nleep(features, labels, components=1) == pytest.approx(-entropy(labels), abs=1e-9)
    assert nleep(np.ones((60, 2)), labels) == pytest.approx(-entropy(labels), abs=1e-9)


def test_nleep_has_one_answer_per_seed_whatever_the_order_and_the_names():
    features, labels = clusters(2, distance=2.0)
    order = np.random.default_rng(0).permutation(60)
    found = nleep(features, labels, seed=3)
    assert nleep(features, labels, seed=3) == found
    again = nleep(features[order], np.array(["z", "a", "m"])[labels[order]], seed=3)
    assert again == pytest.approx(found, abs=1e-9)


def test_nleep_of_one_row_per_class_and_of_copied_columns_is_a_number():
    assert nleep(np.eye(3), [0, 1, 2]) == pytest.approx(-math.log(3), abs=1e-9)
    features, labels = clusters(3)
    assert nleep(np.hstack([features, features]), labels) <= 0.0


def test_nleep_refuses_more_components_than_rows():
    with pytest.raises(DataError, match="61 components for 60 rows"):
        nleep(*clusters(4), components=61)
