import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from bequest.core import Task, due_in
from bequest.errors import OutOfTime
from bequest.training.estimators import calibrated, linear_estimator
from bequest.training.growing import fit_in_steps

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] * X[:, 1] + 0.1 * X[:, 2]
GROWING = (
    ExtraTreesRegressor(n_estimators=50, random_state=1),
    HistGradientBoostingRegressor(max_iter=50, min_samples_leaf=3, random_state=1),
    ExtraTreesClassifier(n_estimators=50, random_state=1),
    HistGradientBoostingClassifier(max_iter=50, min_samples_leaf=3, random_state=1),
)


@pytest.mark.parametrize("estimator", GROWING, ids=lambda e: type(e).__name__)
def test_trees_that_grow_in_steps_are_those_of_one_fit(estimator):
    y = Y if "Regressor" in type(estimator).__name__ else Y > 0
    whole = clone(estimator).fit(X, y)
    stepped = fit_in_steps(clone(estimator), X, y)
    ask = "predict" if y.dtype == float else "predict_proba"
    np.testing.assert_array_equal(getattr(stepped, ask)(X), getattr(whole, ask)(X))
    assert stepped.get_params() == whole.get_params()


def test_trees_stop_growing_where_the_rest_takes_longer_than_there_is_time():
    now = iter(np.arange(0.0, 1e6, 60.0))
    trees = ExtraTreesRegressor(n_estimators=10_000, random_state=1)
    with pytest.raises(OutOfTime, match="growing trees"), due_in(30.0, clock=lambda: next(now)):
        fit_in_steps(trees, X, Y)
    assert len(trees.estimators_) == 20


def test_a_classifier_for_which_no_temperature_is_found_stays_without_one(monkeypatch, caplog):
    def fails(self, X, y, sample_weight=None):
        raise RuntimeError("NaN result encountered.")

    monkeypatch.setattr("sklearn.calibration._TemperatureScaling.fit", fails)
    X, y = np.arange(20.0)[:, None], np.repeat(["a", "b"], 10)
    task = Task.from_arrays(X, y)
    fitted = fit_in_steps(calibrated(linear_estimator(task, 1.0), task, seed=0), X, y)
    assert (fitted.predict(X) == y).mean() > 0.9
    assert "not calibrated" in caplog.text
