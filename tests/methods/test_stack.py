import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

import bequest as bq
from bequest.core import Task
from bequest.methods.stack import Stack
from bequest.training.offset import fit_offset


def test_a_weak_strength_leaves_the_offset_as_it_is_and_a_strong_one_refits_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    p = 1 / (1 + np.exp(-2 * X[:, 0]))
    y = rng.random(3000) < p
    source = bq.wrap(lambda x: np.stack([1 - q(x), q(x)], 1), classes=[False, True], name="truth")
    task = Task.from_arrays(X, y, name="logistic")
    weak = Stack(offset=True, strength=1e-5).fit([bq.Source(source)], task, rng=rng)
    np.testing.assert_allclose(weak.predict_proba(X)[:, 1], p, atol=0.01)
    strong = Stack(offset=True, strength=1e4).fit([bq.Source(source)], task, rng=rng)
    alone = LogisticRegression(C=1e4).fit(X, y)
    np.testing.assert_allclose(strong.predict_proba(X), alone.predict_proba(X), atol=1e-3)


def q(x):
    return 1 / (1 + np.exp(-2 * x[:, 0]))


def test_the_offset_fit_has_a_zero_gradient_at_its_optimum():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(50, 3)), np.arange(50) % 3
    task = Task.from_arrays(X, y, name="any")
    offset = log_softmax(rng.normal(size=(50, 3)), axis=1)
    head = fit_offset(X, offset, task, 0.5)
    Z = (X - X.mean(0)) / X.std(0)
    W = head.module.head.weight.detach().numpy().T.astype(float)
    b = head.module.head.bias.detach().numpy().astype(float)
    excess = np.exp(log_softmax(offset + Z @ W + b, axis=1)) - np.eye(3)[y]
    np.testing.assert_allclose(Z.T @ excess + W / 0.5, 0, atol=2e-3)
    np.testing.assert_allclose(excess.sum(0) + b / 0.5, 0, atol=2e-3)


def test_a_regression_source_helps_a_residual_model():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 5))
    y = np.sin(3 * X[:, 0]) * 4 + X[:, 1]
    task = Task.from_arrays(X, y, kind="regression", name="wave")
    source = bq.wrap(lambda x: np.sin(3 * x[:, 0]) * 4, name="knows the wave")
    model = Stack(offset=True).fit([bq.Source(source)], task, rng=rng)
    X_new = rng.normal(size=(200, 5))
    truth = np.sin(3 * X_new[:, 0]) * 4 + X_new[:, 1]
    assert np.abs(model.predict(X_new) - truth).mean() < 0.1


def test_a_stack_on_the_inputs_says_that_it_reads_the_targets_columns():
    rng = np.random.default_rng(3)
    columns = {"age": rng.normal(size=30), "dose": rng.normal(size=30)}
    y = columns["age"] + columns["dose"] > 0
    narrow = Task.from_table({"age": columns["age"], "y": y}, "y", name="narrow")
    wide = Task.from_table({**columns, "y": y}, "y", name="wide")
    model = Stack().fit([bq.Source(bq.train(narrow, net="linear"))], wide, rng=rng)
    assert model.spec == wide.spec
    assert "dose" in model.applies(narrow).reason
