"""Models that were fitted on an array read the columns of a table that its places stand for."""

import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import nn

import bequest as bq
from bequest.core import Table
from bequest.core.table import absent_columns
from bequest.errors import DataError, ModelError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)).round(3)
Y = np.where(X[:, 0] > X[:, 2], "ill", "well")
NAMES = ["age", "mean radius", "site"]
TABLE = Table({"site": X[:, 2], "other": ["a"] * 80, "age": X[:, 0], "mean radius": X[:, 1]})


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()


MADE = {
    "estimator": lambda: bq.wrap(LogisticRegression().fit(X, Y)),
    "perceptron": lambda: bq.wrap(MLPClassifier((4,), max_iter=9, random_state=0).fit(X, Y)),
    "regression": lambda: bq.wrap(LinearRegression().fit(X, X[:, 0] * 2)),
    "lightgbm": lambda: bq.wrap(
        lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1).fit(X, Y), name="lgbm"
    ),
    "xgboost": lambda: bq.wrap(xgboost.XGBClassifier(n_estimators=5).fit(X, (Y == "ill") * 1)),
    "network": lambda: bq.wrap(network(), classes=["ill", "well"]),
    "function": lambda: bq.wrap(lambda A: A[:, 0] - A[:, 2], name="difference"),
    "trained on an array": lambda: bq.train(bq.Task.from_arrays(X, Y), net="mlp"),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", MADE)
def test_a_model_of_arrays_reads_a_table_by_its_columns(kind, tmp_path):
    plain = MADE[kind]()
    model = bq.wrap(plain, columns=NAMES)
    np.testing.assert_allclose(
        model.predict_proba(TABLE) if model.classes else model.predict(TABLE),
        plain.predict_proba(X) if model.classes else plain.predict(X),
        atol=1e-6,
    )
    task = bq.Task.from_table(dict(TABLE.columns) | {"y": Y}, target="y")
    assert model.applies(task) is None
    if kind != "function":
        model.save(tmp_path / "it")
        again = bq.load(tmp_path / "it")
        assert again.spec == model.spec
        assert again.predict(TABLE).tolist() == model.predict(TABLE).tolist()


def test_an_onnx_file_reads_a_table_by_its_columns(tmp_path):
    pytest.importorskip("onnxscript")
    bq.wrap(network(), classes=["ill", "well"], example=X[:2]).to_onnx(tmp_path / "it.onnx")
    plain = bq.load(tmp_path / "it.onnx")
    model = bq.wrap(plain, columns=NAMES)
    np.testing.assert_allclose(model.predict_proba(TABLE), plain.predict_proba(X), atol=1e-6)
    model.save(tmp_path / "folder")
    again = bq.load(tmp_path / "folder")
    np.testing.assert_allclose(again.predict_proba(TABLE), plain.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (NAMES[:2], "names 2 columns, .* reads 3"),
        ("age", "columns is a list of names"),
        ([1, 2, 3], "columns is a list of names"),
        (["age", "age", "site"], "names one column twice"),
    ],
)
@pytest.mark.parametrize("kind", ["estimator", "lightgbm"])
def test_columns_that_do_not_fit_are_refused(kind, columns, said):
    with pytest.raises(ModelError, match=said):
        bq.wrap(MADE[kind](), columns=columns)


def test_what_reads_no_array_takes_no_columns():
    task = bq.Task.from_text(["good", "bad"] * 4, ["a", "b"] * 4)
    with pytest.raises(ModelError, match="reads text inputs and takes no columns"):
        bq.wrap(bq.train(task), columns=["a"])


def test_a_table_for_a_model_of_arrays_is_refused_with_the_way_on():
    task = bq.Task.from_table(dict(TABLE.columns) | {"y": Y}, target="y")
    for kind in ("estimator", "lightgbm", "xgboost"):
        assert "bequest.wrap(model, columns=[...])" in MADE[kind]().applies(task).reason


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_written_nearly_so_are_named():
    import pandas

    frame = pandas.DataFrame(X, columns=["AGE", "MEAN_RADIUS", "site"])
    task = bq.Task.from_table(dict(TABLE.columns) | {"y": Y}, target="y")
    models = [
        bq.wrap(LogisticRegression().fit(frame, Y)),
        bq.wrap(lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1).fit(frame, Y)),
        bq.train(bq.Task.from_table(frame.assign(y=Y), target="y")),
        bq.wrap(LogisticRegression().fit(X, Y), columns=frame.columns),
    ]
    for model in models:
        assert "MEAN_RADIUS (there is 'mean radius': rename it)" in model.applies(task).reason
        with pytest.raises(DataError, match=r"AGE \(there is 'age': rename it\)"):
            model.predict(TABLE)


def test_what_is_not_alike_has_no_near_name():
    assert absent_columns(["weight"], ["age", "site"]) == "weight"
    assert absent_columns(["presure"], ["pressure"]) == "presure (there is 'pressure': rename it)"
    assert absent_columns(list("abcdefg"), ["xyz"]) == "a, b, c, d, e, ..."
