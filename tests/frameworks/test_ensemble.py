"""An ensemble: the average of its members, a model like any other."""

import numpy as np
import pytest

import bequest as bq
from bequest.core import Card, Task
from bequest.errors import ModelError
from bequest.frameworks.ensemble import Ensemble

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def classifiers():
    labels = np.where(X[:, 0] + X[:, 1] > 0, "a", "b")
    task = Task.from_arrays(X, labels, name="sums")
    return tuple(bq.train(task, net=net) for net in ("linear", "mlp"))


def regressors():
    task = Task.from_arrays(X, X[:, 0] + 2 * X[:, 1], kind="regression", name="sums")
    return tuple(bq.train(task, net=net) for net in ("linear", "mlp"))


@pytest.mark.parametrize("members", [classifiers, regressors])
def test_it_gives_the_mean_of_what_its_members_give(members):
    one, two = members()
    found = Ensemble((one, two), card=Card()).output(X)
    np.testing.assert_array_equal(found, (one.output(X) + two.output(X)) / 2)


def test_a_single_member_is_left_as_it_is():
    one, _ = classifiers()
    np.testing.assert_array_equal(Ensemble((one,), card=Card()).output(X), one.output(X))


@pytest.mark.parametrize("members", [classifiers, regressors])
def test_it_gives_the_same_after_saving_and_loading(members, tmp_path):
    model = Ensemble(members(), card=Card(name="both"))
    model.save(tmp_path / "both")
    again = bq.load(tmp_path / "both")
    np.testing.assert_array_equal(again.output(X), model.output(X))
    assert (again.card, again.classes, again.spec) == (model.card, model.classes, model.spec)


def test_members_of_other_classes_are_refused():
    with pytest.raises(ModelError, match=r"member 1 \(sums\) predicts values, member 0 the class"):
        Ensemble((classifiers()[0], regressors()[0]), card=Card())
    with pytest.raises(ModelError, match="at least one member"):
        Ensemble((), card=Card())
