"""LogME against the exact evidence: a Cholesky decomposition of the labels' covariance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from bequest.selection import Moments, logme, logme_from_moments, spectrum

RNG = np.random.default_rng


def log_density(y, features, alpha, beta):
    covariance = np.eye(len(y)) / beta + features @ features.T / alpha
    return multivariate_normal.logpdf(y, np.zeros(len(y)), covariance, allow_singular=False)


def exact_evidence(features, y):
    """Largest log density over a grid of both precisions, then Nelder and Mead from its best."""
    energy, width = y @ y / len(y), (features**2).sum() / len(y)

    def negative(logs):
        with np.errstate(all="ignore"):
            try:
                return -log_density(y, features, *np.exp(logs))
            except (np.linalg.LinAlgError, ValueError):
                return np.inf

    grid = np.linspace(-12, 12, 13)
    starts = [(a + np.log(width / energy), b - np.log(energy)) for a in grid for b in grid]
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    starts = sorted(starts, key=negative)[:6:5]  # there may be more optima than one
    return -min(minimize(negative, x, method="Nelder-Mead", options=options).fun for x in starts)


def evidence_on_a_fine_grid(features, y):
    """The largest evidence over the precisions' ratio, beta in closed form; a lower bound."""
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    s, along = values**2, (left.T @ y) ** 2
    rest = ((y - left @ (left.T @ y)) ** 2).sum() if len(s) < len(y) else 0.0
    t = np.logspace(-14, 14, 14001)[:, None]
    quadratic = (along / (1 + t * s)).sum(axis=1) + rest
    rows = len(y)
    curve = -0.5 * rows * (np.log(2 * np.pi * quadratic / rows) + 1)
    return (curve - 0.5 * np.log1p(t * s).sum(axis=1)).max()


def exact_logme(features, labels):
    values = [exact_evidence(features, (labels == c).astype(float)) for c in np.unique(labels)]
    return np.mean(values) / len(labels)


def labelled(rows, columns, classes, noise, seed=0):
    rng = RNG(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    signal = np.eye(classes)[labels] @ rng.normal(size=(classes, columns))
    return signal + noise * rng.normal(size=(rows, columns)), labels


@pytest.mark.parametrize(
    ("rows", "columns", "classes"),
    [(30, 4, 2), (24, 60, 3), (20, 20, 2), (5, 3, 5), (5, 30, 5), (2, 5, 2), (31, 30, 2)],
)
@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_logme_is_the_exact_evidence_at_its_optimum(rows, columns, classes, noise):
    features, labels = labelled(rows, columns, classes, noise)
    assert logme(features, labels) == pytest.approx(exact_logme(features, labels), abs=1e-6)


@pytest.mark.parametrize("shape", [(30, 4), (24, 60)])
def test_logme_of_values_is_the_exact_evidence(shape):
    rng = RNG(1)
    features = rng.normal(size=shape)
    values = features[:, 0] + 0.5 * rng.normal(size=shape[0]) + 2
    assert logme(features, values) == pytest.approx(
        exact_evidence(features, values) / len(values), abs=1e-6
    )


@pytest.mark.parametrize("columns", [10, 60])
def test_logme_of_rank_deficient_features_is_the_exact_evidence(columns):
    rng = RNG(2)
    features = rng.normal(size=(30, 3)) @ rng.normal(size=(3, columns))
    labels = (features[:, 0] + rng.normal(size=30) > 0).astype(int)
    assert logme(features, labels) == pytest.approx(exact_logme(features, labels), abs=1e-6)


def test_logme_of_constant_and_dead_columns_is_the_exact_evidence():
    features, labels = labelled(30, 6, 2, 1.0)
    features[:, 1], features[:, 4] = 0.0, 1.0
    assert logme(features, labels) == pytest.approx(exact_logme(features, labels), abs=1e-6)


def test_logme_of_badly_scaled_columns_is_the_exact_evidence():
    rng = RNG(3)
    features = rng.normal(size=(40, 2)) * [1e5, 1e-3]  # an income beside a ratio
    values = features[:, 1] * 1e3 + 0.3 * rng.normal(size=40)
    found = logme(features, values)
    assert found == pytest.approx(evidence_on_a_fine_grid(features, values) / 40, abs=1e-6)
    assert found > logme(features[:, :1], values) + 0.3


def test_logme_of_features_that_say_nothing_is_the_density_of_noise_alone():
    labels = np.arange(20) % 2
    alternating = np.repeat([1.0, -1.0], 10)[:, None] * np.array([[1.0, -1.0] * 3])
    balanced = alternating - alternating.mean(axis=0)
    variance = 0.5
    assert logme(balanced, labels) == pytest.approx(
        -0.5 * (np.log(2 * np.pi * variance) + 1), abs=1e-12
    )


def test_logme_without_noise_is_its_finite_limit():
    rng = RNG(4)
    features = rng.normal(size=(12, 12))
    y = features @ rng.normal(size=12)  # noise can only cost
    kernel = features @ features.T
    alpha = 12 / (y @ np.linalg.solve(kernel, y))
    limit = multivariate_normal.logpdf(y, np.zeros(12), kernel / alpha)
    assert logme(features, y) >= limit / 12 - 1e-9
    orthogonal = 3 * np.linalg.qr(features)[0]  # here the evidence is flat in the noise
    alpha = 12 * 9 / (y @ y)
    limit = multivariate_normal.logpdf(y, np.zeros(12), 9 * np.eye(12) / alpha)
    assert logme(orthogonal, y) == pytest.approx(limit / 12, abs=1e-9)


def test_logme_is_finite_where_the_density_has_no_bound():
    labels = np.arange(30) % 3
    one_hot = np.eye(3)[labels]
    noisy = one_hot + 1e-3 * RNG(0).normal(size=(30, 3))
    assert logme(noisy, labels) < logme(one_hot, labels) < 16


def test_logme_of_fifty_rows_and_two_thousand_features_is_no_positive_number():
    """The reference implementation says +171.4 of a case like this."""
    rng = RNG(5)
    features, labels = rng.normal(size=(50, 2048)), np.arange(50) % 2
    found = logme(features, labels)
    curve = [evidence_on_a_fine_grid(features, (labels == c).astype(float)) for c in (0, 1)]
    assert found == pytest.approx(np.mean(curve) / 50, abs=1e-6)
    assert -1.2 < found < 0


def test_logme_finds_the_higher_of_two_optima():
    s = np.array([1e8] * 6 + [1e-4] * 6)
    y = np.concatenate([np.full(6, 1.0), np.full(6, 1.2)])
    features = np.diag(np.sqrt(s))
    assert logme(features, y) * 12 >= evidence_on_a_fine_grid(features, y) - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 40), st.floats(-3, 3))
def test_logme_is_above_the_density_at_any_precisions(seed, rows, columns, log_ratio):
    rng = RNG(seed)
    features, y = rng.normal(size=(rows, columns)), rng.normal(size=rows)
    beta = np.exp(rng.normal())
    density = log_density(y, features, beta * np.exp(log_ratio), beta)
    assert logme(features, y, classification=False) * rows >= density - 1e-8


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 30), st.integers(1, 40))
def test_logme_stays_under_permuted_rows_new_class_names_rotation_and_scale(seed, rows, columns):
    rng = RNG(seed)
    features, labels = rng.normal(size=(rows, columns)), np.arange(rows) % 2
    found = logme(features, labels)
    order = rng.permutation(rows)
    assert logme(features[order], labels[order]) == pytest.approx(found, abs=1e-8)
    assert logme(features, np.array(["z", "a"])[labels]) == pytest.approx(found, abs=1e-8)
    rotation = np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    assert logme(1e3 * features @ rotation, labels) == pytest.approx(found, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_logme_from_moments_is_logme(seed, columns, classes):
    rng = RNG(seed)
    features = rng.normal(size=(40, columns)) + 5
    labels = np.arange(40) % 3 if classes else rng.normal(size=40)
    moments = Moments(classification=classes)
    for start in (0, 7, 20):
        stop = {0: 7, 7: 20, 20: 40}[start]
        moments.update(features[start:stop], labels[start:stop])
    assert logme_from_moments(moments) == pytest.approx(logme(features, labels), abs=1e-9)


@pytest.mark.parametrize("shape", [(40, 6), (12, 30)])
@pytest.mark.parametrize("rank", [3, 30])
def test_gram_matrices_and_singular_values_give_the_same_score(monkeypatch, shape, rank):
    rng = RNG(6)
    width = min(rank, *shape)
    features = rng.normal(size=(shape[0], width)) @ rng.normal(size=(width, shape[1]))
    labels = np.arange(shape[0]) % 3
    near = features + 1e-3 * (labels == 0)[:, None]  # a target almost in the span
    found = [logme(features, labels), logme(near, labels)]
    monkeypatch.setattr(spectrum, "SMALL", 0)
    for affordable in (2**29, 0):
        monkeypatch.setattr(spectrum, "AFFORDABLE", affordable)
        assert [logme(features, labels), logme(near, labels)] == pytest.approx(found, abs=1e-7)
