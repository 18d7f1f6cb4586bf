"""Whatever somebody's model raises becomes one line that names it, and its arms leave the race."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import bequest as bq
from bequest.core import output_of
from bequest.errors import BequestError, ModelError

X = np.random.default_rng(0).normal(size=(40, 3))
Y = X[:, 0] > 0
TASK = bq.Task.from_arrays(X, Y, name="signs")


class Fails(ClassifierMixin, BaseEstimator):
    """An estimator whose predictions raise."""

    def __init__(self, error=None):
        self.error = error

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        raise self.error

    predict_proba = predict


ERRORS = [
    KeyError("age"),
    AttributeError("no such part"),
    RuntimeError("no connection"),
    ZeroDivisionError("by zero"),
    OSError(5, "the disk is gone"),
    NotImplementedError("later"),
    ValueError("bad value"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_an_estimator_raises_is_one_line_that_names_it(error):
    model = bq.wrap(Fails(error).fit(X, Y), name="theirs")
    with pytest.raises(BequestError) as told:
        output_of(model, X)
    assert "theirs" in str(told.value) or "Fails" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", ERRORS[:3], ids=lambda error: type(error).__name__)
def test_a_source_whose_estimator_raises_leaves_and_the_others_stay(error):
    bad = bq.wrap(Fails(error).fit(X, Y), name="theirs")
    good = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    result = bq.transfer(TASK, [bad, good], methods=["reuse"], budget=None)
    assert result.outcome.source == "knows"
    [reason] = {arm.reason for arm in result.arms if arm.source == "theirs"}
    assert type(error).__name__ in reason or str(error) in reason


def test_want_of_memory_is_said_in_a_word():
    model = bq.wrap(Fails(MemoryError()).fit(X, Y), name="theirs")
    with pytest.raises(ModelError, match=r"^theirs ran out of memory\.$"):
        output_of(model, X)
