"""GBC against its definition, pair by pair, and against the coefficient as an integral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from bequest.errors import DataError
from bequest.selection import Moments, gbc, gbc_axes, gbc_from_moments


def sample(seed, rows=60, columns=4, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    return rng.normal(size=(classes, columns))[labels] + rng.normal(size=(rows, columns)), labels


def by_pairs(features, labels, covariance):
    total = 0.0
    for i in np.unique(labels):
        for j in np.unique(labels):
            if i == j:
                continue
            a, b = features[labels == i], features[labels == j]
            va, vb = a.var(axis=0), b.var(axis=0)
            if covariance == "spherical":
                va, vb = np.full_like(va, va.mean()), np.full_like(vb, vb.mean())
            middle = np.diag(va + vb) / 2
            gap = a.mean(axis=0) - b.mean(axis=0)
            distance = gap @ np.linalg.solve(middle, gap) / 8
            ratio = np.linalg.det(middle) / np.sqrt(np.prod(va) * np.prod(vb))
            total += np.exp(-distance - 0.5 * np.log(ratio))
    return -total


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_gbc_is_its_definition_pair_by_pair(covariance):
    features, labels = sample(0)
    values, axes = np.linalg.eigh(np.cov(features.T))
    rotated = features @ axes
    found = gbc(features, labels, covariance=covariance, prior_rows=0.0)
    assert found == pytest.approx(by_pairs(rotated, labels, covariance), abs=1e-9)
    assert len(values) == 4


def test_gbc_of_one_feature_is_the_integral_of_the_root_of_both_densities():
    features, labels = sample(1, columns=1, classes=2)
    densities = [norm(features[labels == c].mean(), features[labels == c].std()) for c in (0, 1)]
    overlap = quad(lambda x: np.sqrt(densities[0].pdf(x) * densities[1].pdf(x)), -20, 20)[0]
    assert gbc(features, labels, prior_rows=0.0) == pytest.approx(-2 * overlap, abs=1e-8)


def test_gbc_looks_at_the_widest_directions_only():
    features, labels = sample(2, columns=3)
    faint = 1e-3 * labels[:, None] + 1e-5 * np.random.default_rng(0).normal(size=(60, 1))
    wide = np.hstack([features, faint])
    assert gbc(wide, labels, dimensions=3) == pytest.approx(gbc(features, labels), abs=1e-2)
    with_faint = gbc(wide, labels, dimensions=4, covariance="diagonal")
    assert with_faint > gbc(wide, labels, dimensions=3, covariance="diagonal")


def test_one_row_per_class_constant_columns_and_copies_give_a_number():
    rng = np.random.default_rng(3)
    assert -2 <= gbc(rng.normal(size=(2, 3)), [0, 1]) < 0
    assert gbc(np.ones((6, 2)), [0, 1, 2, 0, 1, 2]) == -6.0
    features, labels = sample(4)
    constant = np.hstack([features, np.full((60, 1), 0.1)])
    assert gbc(constant, labels) == pytest.approx(gbc(features, labels), abs=1e-9)
    with pytest.raises(DataError, match="prior_rows"):
        gbc(rng.normal(size=(3, 2)), [0, 1, 2], prior_rows=0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(["spherical", "diagonal"]))
def test_gbc_keeps_its_range_and_stays_under_permuted_rows_new_names_and_rotation(
    seed, columns, covariance
):
    features, labels = sample(seed, rows=24, columns=columns)
    found = gbc(features, labels, covariance=covariance)
    assert -6.0 <= found <= 0.0
    rng = np.random.default_rng(seed)
    order, rotation = rng.permutation(24), np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    renamed = np.array(["z", "a", "m"])[labels]
    again = gbc((features @ rotation)[order] + 7, renamed[order], covariance=covariance)
    assert again == pytest.approx(found, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 8))
def test_two_passes_of_chunked_moments_give_the_whole(seed, columns, dimensions):
    features, labels = sample(seed, columns=columns)
    chunks = list(zip(np.split(features, [10, 35]), np.split(labels, [10, 35]), strict=True))
    first, second = Moments(), Moments()
    for x, y in chunks:
        first.update(x, y)
    axes = gbc_axes(first, dimensions=dimensions)
    for x, y in chunks:
        second.merge(Moments().update(x @ axes, y))
    whole = gbc(features, labels, dimensions=dimensions)
    assert gbc_from_moments(second) == pytest.approx(whole, abs=1e-9)
