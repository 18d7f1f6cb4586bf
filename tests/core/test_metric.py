import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bequest.core import METRICS, Metric, PerGroup, metric_named
from bequest.errors import DataError, NotApplicable


def hard(function, **options):
    return lambda y, p, w: function(y, p.argmax(axis=1), sample_weight=w, **options)


def ovr(y, p, w):
    areas = [metrics.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in np.unique(y)]
    return float(np.mean(areas))


CLASSIFICATION = {
    "accuracy": hard(metrics.accuracy_score),
    "balanced_accuracy": hard(metrics.balanced_accuracy_score),
    "neg_log_loss": lambda y, p, w: (
        -metrics.log_loss(y, p, labels=np.arange(p.shape[1]), sample_weight=w)
    ),
    "neg_brier_score": lambda y, p, w: (
        -metrics.brier_score_loss(y, p, labels=np.arange(p.shape[1]), sample_weight=w)
    ),
    "roc_auc": lambda y, p, w: metrics.roc_auc_score(y, p[:, 1], sample_weight=w),
    "roc_auc_ovr": ovr,
    "average_precision": lambda y, p, w: metrics.average_precision_score(
        y, p[:, 1], sample_weight=w
    ),
    "f1": hard(metrics.f1_score, zero_division=0),
    "f1_macro": hard(metrics.f1_score, average="macro", zero_division=0),
    "matthews_corrcoef": hard(metrics.matthews_corrcoef),
}
REGRESSION = {
    "r2": lambda y, p, w: metrics.r2_score(y, p, sample_weight=w),
    "neg_mean_squared_error": lambda y, p, w: -metrics.mean_squared_error(y, p, sample_weight=w),
    "neg_root_mean_squared_error": lambda y, p, w: (
        -metrics.root_mean_squared_error(y, p, sample_weight=w)
    ),
    "neg_mean_absolute_error": lambda y, p, w: -metrics.mean_absolute_error(y, p, sample_weight=w),
}
ORACLES = CLASSIFICATION | REGRESSION
PER_GROUP = {"per_group_accuracy", "per_group_neg_mean_absolute_error"}
TWO_CLASSES = {"roc_auc", "average_precision", "f1"}
NEEDS_BOTH = {"roc_auc", "roc_auc_ovr", "matthews_corrcoef"}
JACKKNIFE = sorted(
    {"roc_auc", "roc_auc_ovr", "average_precision", "f1", "f1_macro", "matthews_corrcoef"}
    | {"neg_root_mean_squared_error"}
)
MEANS = sorted(set(ORACLES) - set(JACKKNIFE))


def drawn(name, seed, n, c=3):
    """Labels, predictions with ties, and weights."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.25, 1.0, 3.0], size=n) if seed % 3 else rng.exponential(size=n) + 0.01
    if METRICS[name].kind == "regression":
        return *rng.normal(3.0, 2.0, size=(2, n)).round(1), weights
    c = 2 if name in TWO_CLASSES else c
    coarse = rng.dirichlet(np.ones(c), size=n).round(1) + 0.01
    return rng.integers(c, size=n), coarse / coarse.sum(axis=1, keepdims=True), weights


def defined(name, y):
    if name in NEEDS_BOTH:
        return len(set(y.tolist())) > 1
    return name not in TWO_CLASSES or 1 in y


def test_every_metric_has_an_oracle():
    assert set(METRICS) == set(ORACLES) | PER_GROUP


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ORACLES)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 40), c=st.integers(2, 5))
def test_a_metric_equals_scikit_learns(name, weighted, seed, n, c):
    y, prediction, weights = drawn(name, seed, n, c)
    weights = weights if weighted else None
    assume(defined(name, y) and (name != "r2" or len(set(y.tolist())) > 1))
    expected = ORACLES[name](y, prediction, weights)
    value = METRICS[name].value(y, prediction, weights=weights)
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ORACLES)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40))
def test_the_mean_of_the_contributions_is_the_value(name, weighted, seed, n):
    y, prediction, weights = drawn(name, seed, n)
    weights = weights if weighted else None
    assume(defined(name, y) and (name != "r2" or len(set(y.tolist())) > 1))
    units = METRICS[name].linearise(y, prediction, weights=weights)
    assert units.shape == (n,)
    assert units.dtype == np.float64
    value = METRICS[name].value(y, prediction, weights=weights)
    assert units.mean() == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", MEANS)
def test_parts_of_the_rows_average_to_the_whole(name):
    metric = METRICS[name]
    y, prediction, _ = drawn(name, 0, 30)
    parts = [
        metric.linearise(y[part], prediction[part], reference=y)
        for part in (slice(0, 7), slice(7, 30))
    ]
    assert np.concatenate(parts).mean() == pytest.approx(metric.value(y, prediction), abs=1e-12)


@pytest.mark.parametrize("name", MEANS)
def test_a_row_contributes_its_distance_from_the_mean_times_its_weight(name):
    y, prediction, weights = drawn(name, 1, 30)
    metric = METRICS[name]
    scaled = weights / weights.mean()
    shift = metric.linearise(y, prediction, weights=weights) - metric.value(
        y, prediction, weights=weights
    )
    alone = np.ones(30, dtype=bool)
    alone[4] = False
    if name in ("balanced_accuracy", "r2"):  # a row also moves what they divide by
        assert shift.sum() == pytest.approx(0, abs=1e-9)
        return
    rest = metric.value(y[alone], prediction[alone], weights=weights[alone])
    whole = metric.value(y, prediction, weights=weights)
    assert (30 - scaled[4]) * (whole - rest) == pytest.approx(shift[4], abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", JACKKNIFE)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 30))
def test_pseudo_values_are_those_of_leaving_out_each_row(name, weighted, seed, n):
    y, prediction, weights = drawn(name, seed, n)
    weights = weights if weighted else np.ones(n)
    counts = np.bincount(y) if METRICS[name].kind == "classification" else [n]
    assume(defined(name, y) and (name != "roc_auc_ovr" or 1 not in counts))
    whole, pseudo = ORACLES[name](y, prediction, weights), np.empty(n)
    for row in range(n):
        rest = np.arange(n) != row
        without = whole
        if defined(name, y[rest]):
            without = ORACLES[name](y[rest], prediction[rest], weights[rest])
        pseudo[row] = n * whole - (n - 1) * without
    pseudo += whole - pseudo.mean()
    found = METRICS[name].linearise(y, prediction, weights=weights if weighted else None)
    np.testing.assert_allclose(found, pseudo, rtol=1e-7, atol=1e-8)


def test_a_row_whose_absence_leaves_one_class_contributes_the_value_itself():
    y, scores = np.array([1, 0, 0, 0]), np.array([0.6, 0.7, 0.2, 0.1])
    units = METRICS["roc_auc"].linearise(y, np.column_stack([1 - scores, scores]))
    # Without the positive row: 2/3 itself. Without a negative one: 1, 1/2, 1/2.
    pseudo = np.array([2 / 3, 4 * 2 / 3 - 3, 4 * 2 / 3 - 1.5, 4 * 2 / 3 - 1.5])
    np.testing.assert_allclose(units, pseudo + 2 / 3 - pseudo.mean())


@pytest.mark.parametrize("name", JACKKNIFE)
def test_the_spread_of_the_contributions_is_the_standard_error(name):
    """Of 1,000 samples with one truth, the mean estimated variance is that of the values."""
    rng = np.random.default_rng(0)
    values, estimates = [], []
    for _ in range(1000):
        if METRICS[name].kind == "regression":
            y, prediction = rng.normal(size=(2, 80))
        else:
            y = rng.integers(2 if name in TWO_CLASSES else 3, size=80)
            logits = 0.8 * np.eye(3)[y][:, : 2 if name in TWO_CLASSES else 3]
            logits = logits + rng.normal(size=logits.shape)
            prediction = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        units = METRICS[name].linearise(y, prediction)
        values.append(units.mean())
        estimates.append(units.var(ddof=1) / len(units))
    assert np.mean(estimates) == pytest.approx(np.var(values), rel=0.15)


def test_the_interval_of_an_auc_covers_the_truth():
    """Scores of N(1, 1) against N(0, 1): the truth is the normal distribution at 1 / sqrt(2)."""
    truth = 0.5 * (1 + math.erf(0.5))
    rng, covered = np.random.default_rng(1), 0
    for _ in range(1000):
        y = (np.arange(60) < 20).astype(int)
        scores = rng.normal(size=60) + y
        units = METRICS["roc_auc"].linearise(y, np.column_stack([-scores, scores]))
        covered += abs(units.mean() - truth) < 1.96 * units.std(ddof=1) / math.sqrt(60)
    assert 920 <= covered <= 970  # of 1,000; 950 is the aim, and its own error is 7


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "f1", "matthews_corrcoef"])
def test_rows_of_one_class_have_no_value_and_the_missing_class_is_named(name):
    y, prediction = np.zeros(7, dtype=int), np.full((7, 2), 0.5)
    with pytest.raises(NotApplicable, match=f"^{name} is undefined on 7 rows: class 1 .*has none"):
        METRICS[name].value(y, prediction)
    with pytest.raises(NotApplicable, match="7 rows"):
        METRICS[name].linearise(y, prediction)


def test_a_correlation_of_one_predicted_class_is_zero():
    y, prediction = np.array([0, 1, 1, 0]), np.tile([0.9, 0.1], (4, 1))
    assert METRICS["matthews_corrcoef"].linearise(y, prediction).tolist() == [0, 0, 0, 0]


def test_a_metric_per_user_weighs_users_equally():
    users = np.repeat(["ann", "bob", "cy"], [8, 1, 1])
    y = np.zeros(10, dtype=int)
    prediction = np.where(users == "ann", 0.9, 0.1)[:, None] * [1, 0] + [0, 0.5]
    assert METRICS["accuracy"].value(y, prediction) == 0.8
    metric = METRICS["per_group_accuracy"]
    assert metric.units == "group"
    assert metric.linearise(y, prediction, groups=users).tolist() == [1.0, 0.0, 0.0]
    assert metric.value(y, prediction, groups=users) == pytest.approx(1 / 3)
    weights = np.arange(1.0, 11.0)  # within a user, rows have their weights
    assert metric.value(y, prediction, groups=users, weights=weights) == pytest.approx(1 / 3)


def test_a_metric_per_user_without_users_is_refused():
    with pytest.raises(DataError, match=r"per_group_accuracy is a mean over groups.*groups="):
        METRICS["per_group_accuracy"].value(np.zeros(2, dtype=int), np.eye(2))


def test_a_user_without_a_value_is_named():
    metric = PerGroup("per_user_auc", METRICS["roc_auc"])
    y, prediction = np.array([0, 1, 1]), np.full((3, 2), 0.5)
    with pytest.raises(NotApplicable, match="per_user_auc in group bob: roc_auc is undefined"):
        metric.value(y, prediction, groups=np.array(["ann", "ann", "bob"]))


def test_a_certain_and_wrong_prediction_has_a_finite_log_loss():
    value = METRICS["neg_log_loss"].value(np.array([1]), np.array([[1.0, 0.0]]))
    assert value == pytest.approx(np.log(1e-7))


def test_the_defaults_are_accuracy_and_r2():
    assert metric_named(None, "classification").name == "accuracy"
    assert metric_named(None, "regression").name == "r2"


@pytest.mark.parametrize("name", ["r2", "acuracy", ["accuracy"]])
def test_a_metric_of_another_kind_or_none_is_refused_with_those_that_fit(name):
    with pytest.raises(DataError, match="Known: accuracy, balanced_accuracy, neg_log_loss"):
        metric_named(name, "classification")


@pytest.mark.parametrize("name", sorted(TWO_CLASSES))
def test_a_metric_of_two_classes_is_refused_for_more(name):
    with pytest.raises(DataError, match=f"^{name} judges two classes, the task has 5. .*f1_macro"):
        metric_named(name, "classification", 5)


def test_a_metric_that_lacks_a_method_cannot_be_made():
    class Half(Metric):
        def value(self, y, prediction, *, weights=None, groups=None):
            return 0.5

    with pytest.raises(TypeError, match="linearise"):
        Half()
