"""Moments against the rows they summarise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import DataError
from bequest.selection import Moments, logme_from_moments


def sample(seed, rows=50, columns=4, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)) + offset, rng.permutation(np.arange(rows) % 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.lists(st.integers(0, 50), max_size=5))
def test_chunks_in_any_order_give_the_moments_of_the_whole(seed, columns, cuts):
    features, labels = sample(seed, columns=columns, offset=1e3)
    rows = np.arange(50)
    chunks = [chunk for chunk in np.split(rows, sorted(cuts)) if len(chunk)]
    np.random.default_rng(seed).shuffle(chunks)
    moments = Moments()
    for chunk in chunks:
        moments.merge(Moments().update(features[chunk], labels[chunk]))
    centred = features - features.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    assert moments.rows == 50
    np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.scatter, centred.T @ centred, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.third, squares @ centred, rtol=1e-9, atol=1e-8)
    assert moments.fourth == pytest.approx(squares @ squares, rel=1e-10)
    for label, mean, left in zip(
        moments.classes, moments.class_means, moments.class_squares, strict=True
    ):
        members = features[labels == label]
        np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-12)
        expected = ((members - members.mean(axis=0)) ** 2).sum(axis=0)
        np.testing.assert_allclose(left, expected, rtol=1e-9, atol=1e-9)


def test_target_sums_are_the_products_with_raw_features():
    features, labels = sample(0, offset=5)
    sums, totals = Moments().update(features, labels).target_sums()
    np.testing.assert_allclose(sums, np.eye(3)[labels].T @ features, rtol=1e-12)
    assert totals.tolist() == np.bincount(labels).tolist()
    values = features[:, 0] + 7
    moments = Moments(classification=False)
    moments.update(features[:9], values[:9]).update(features[9:], values[9:])
    sums, totals = moments.target_sums()
    np.testing.assert_allclose(sums[0], values @ features, rtol=1e-12)
    assert totals[0] == pytest.approx(values @ values, rel=1e-12)


def test_blocks_of_float32_are_summed_in_float64(monkeypatch):
    features, labels = sample(1, rows=300, offset=100)
    single = features.astype(np.float32)
    monkeypatch.setattr("bequest.selection.moments.BLOCK", 64)
    found = Moments().update(single, labels)
    expected = Moments().update(single.astype(np.float64), labels)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-12)


def test_merging_leaves_the_other_as_it_was():
    one = Moments().update(*sample(2))
    other = Moments().update(*sample(3))
    before = other.scatter.copy(), other.rows, other.class_means.copy()
    one.merge(other).update(*sample(4))
    np.testing.assert_array_equal(other.scatter, before[0])
    assert other.rows == before[1]
    np.testing.assert_array_equal(other.class_means, before[2])


def test_an_empty_start_takes_over_the_other_and_keeps_its_own():
    other = Moments().update(*sample(5))
    taken = Moments().merge(other).update(*sample(6))
    assert (taken.rows, other.rows) == (100, 50)
    assert taken.merge(Moments()).rows == 100


def test_moments_refuse_what_does_not_add_up():
    moments = Moments().update(*sample(7))
    with pytest.raises(DataError, match="3 features, not 4"):
        moments.update(*sample(7, columns=3))
    with pytest.raises(DataError, match="do not add up"):
        moments.merge(Moments(classification=False))
    with pytest.raises(DataError, match="seen no rows"):
        logme_from_moments(Moments())
    with pytest.raises(DataError, match="all 2 rows are of class 1"):
        logme_from_moments(Moments().update(np.eye(2), [1, 1]))
    with pytest.raises(DataError, match="values to predict are"):
        logme_from_moments(Moments(classification=False).update(np.eye(3), [0.1] * 3))
    with pytest.raises(DataError, match="labels of shape"):
        moments.update(np.ones((2, 4)), [1])
