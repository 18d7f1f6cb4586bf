import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bequest.core import METRICS, metric_named
from bequest.errors import DataError

CLASSIFICATION = {
    "accuracy": lambda y, p: metrics.accuracy_score(y, p.argmax(axis=1)),
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p.argmax(axis=1)),
    "neg_log_loss": lambda y, p: -metrics.log_loss(y, p, labels=np.arange(p.shape[1])),
}
REGRESSION = {
    "r2": metrics.r2_score,
    "neg_mean_squared_error": lambda y, p: -metrics.mean_squared_error(y, p),
    "neg_mean_absolute_error": lambda y, p: -metrics.mean_absolute_error(y, p),
}


def test_every_metric_has_an_oracle():
    assert set(METRICS) == set(CLASSIFICATION) | set(REGRESSION)


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
@pytest.mark.parametrize("name", CLASSIFICATION)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), c=st.integers(2, 5))
def test_a_classification_metric_equals_scikit_learns(name, seed, n, c):
    rng = np.random.default_rng(seed)
    y = rng.integers(c, size=n)
    probabilities = rng.dirichlet(np.ones(c), size=n)
    expected = CLASSIFICATION[name](y, probabilities)
    assert METRICS[name].mean(y, probabilities) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", REGRESSION)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 40))
def test_a_regression_metric_equals_scikit_learns(name, seed, n):
    rng = np.random.default_rng(seed)
    y, prediction = rng.normal(3.0, 2.0, size=(2, n))
    expected = REGRESSION[name](y, prediction)
    assert METRICS[name].mean(y, prediction) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_parts_of_the_rows_average_to_the_whole(name):
    rng = np.random.default_rng(0)
    metric = METRICS[name]
    if metric.kind == "classification":
        y, prediction = rng.integers(3, size=30), rng.dirichlet(np.ones(3), size=30)
    else:
        y, prediction = rng.normal(size=(2, 30))
    parts = [metric.rows(y[part], prediction[part], y) for part in (slice(0, 7), slice(7, 30))]
    assert np.concatenate(parts).mean() == pytest.approx(metric.mean(y, prediction), abs=1e-12)


def test_a_certain_and_wrong_prediction_has_a_finite_log_loss():
    assert METRICS["neg_log_loss"].mean(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(
        np.log(1e-7)
    )


def test_the_defaults_are_accuracy_and_r2():
    assert metric_named(None, "classification").name == "accuracy"
    assert metric_named(None, "regression").name == "r2"


@pytest.mark.parametrize("name", ["r2", "acuracy"])
def test_a_metric_of_another_kind_or_none_is_refused_with_those_that_fit(name):
    with pytest.raises(DataError, match="Known: accuracy, balanced_accuracy, neg_log_loss"):
        metric_named(name, "classification")
