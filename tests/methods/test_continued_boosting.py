import pickle

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bequest as bq
from bequest.core import Source
from bequest.errors import DataError, NotApplicable
from bequest.methods.continued_boosting import ContinuedBoosting
from bequest.methods.reuse import Reuse

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
QUIET = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}


def line(library):
    """Trees of a line through the first column."""
    made = {
        "lightgbm": lambda: lightgbm.LGBMRegressor(n_estimators=40, verbosity=-1, n_jobs=1),
        "xgboost": lambda: xgboost.XGBRegressor(n_estimators=40, n_jobs=1),
        "catboost": lambda: catboost.CatBoostRegressor(n_estimators=40, **QUIET),
        "sklearn": lambda: HistGradientBoostingRegressor(max_iter=40),
        "pipeline": lambda: make_pipeline(StandardScaler(), HistGradientBoostingRegressor()),
    }
    return bq.wrap(made[library]().fit(X, 10.0 * X[:, 0]), name=library)


def fit(source, task, **settings):
    return ContinuedBoosting(**settings).fit([Source(source)], task, rng=np.random.default_rng(0))


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost", "sklearn", "pipeline"])
def test_it_starts_where_the_source_is_on_rows_that_lie_elsewhere(library):
    # far to the side of the source's rows: bins of the target's own rows would mistake every tree
    source = line(library)
    rows = RNG.normal(size=(40, 3)) * 0.3 + 1.0
    wanted = np.where(rows[:, 1] > 1.0, 60.0, 40.0)
    task = bq.Task.from_arrays(rows, source.predict(rows) + wanted, kind="regression")
    careful = fit(source, task, rounds=1, lr=1e-6)
    np.testing.assert_allclose(careful.predict(rows), source.predict(rows), atol=1e-3)
    # what is left has two values: trees that start anywhere else leave the source's spread of 3
    gap = fit(source, task, rounds=60, lr=0.3).predict(rows) - source.predict(rows)
    assert np.abs(gap - wanted).mean() < 1.0


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
def test_categories_stay_what_they_were(library):
    """The target has other levels, in another order; one of them the source never saw."""
    ward = RNG.choice(["a", "b", "c"], 300)
    value = np.select([ward == "a", ward == "b"], [0.0, 5.0], 10.0)
    rows = pd.DataFrame({"age": RNG.normal(size=300), "ward": pd.Categorical(ward)})
    if library == "catboost":
        few = {"n_estimators": 200, "learning_rate": 0.2}
        trees = catboost.CatBoostRegressor(cat_features=["ward"], **few, **QUIET)
        rows["ward"] = rows["ward"].astype(str)
    elif library == "lightgbm":
        trees = lightgbm.LGBMRegressor(verbosity=-1, n_jobs=1)
    else:
        trees = xgboost.XGBRegressor(enable_categorical=True, n_jobs=1)
    source = bq.wrap(trees.fit(rows, value))
    there = np.array(["new", "c", "b"] * 12)
    wanted = np.select([there == "b", there == "c"], [5.0, 10.0], 7.0)
    columns = {"ward": there, "age": RNG.normal(size=36), "y": wanted}
    task = bq.Task.from_table(columns, "y", kind="regression")
    model = fit(source, task, rounds=80, lr=0.2)
    said = model.predict({"ward": ["a", "b", "c", "new"], "age": [0.0] * 4})
    np.testing.assert_allclose(said[1:3], [5.0, 10.0], atol=0.7)
    assert abs(said[3] - 7.0) < 1.0 or library == "catboost"


def test_labels_are_matched_by_name_through_new_labels():
    y = (X[:, 0] > 0).astype(int)
    trees = lightgbm.LGBMClassifier(n_estimators=10, verbosity=-1, n_jobs=1).fit(X, y)
    forest = HistGradientBoostingClassifier(max_iter=10).fit(X, y)
    ill = np.where(y[:80] == 1, "ill", "healthy")
    for one in (trees, forest):
        source = bq.wrap(one, labels={0: "Healthy", 1: "Ill"})
        model = fit(source, bq.Task.from_arrays(X[:80], ill))
        assert model.classes == ("healthy", "ill")
        assert (model.predict(X[:80]) == ill).mean() > 0.9


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
def test_a_target_with_rows_of_some_classes_keeps_the_others(library):
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    made = {
        "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=20, verbosity=-1, n_jobs=1),
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=20, n_jobs=1),
        "catboost": lambda: catboost.CatBoostClassifier(n_estimators=60, **QUIET),
    }
    source = bq.wrap(made[library]().fit(X, y))
    rows = np.flatnonzero(y > 0)[:60]
    model = fit(source, bq.Task.from_arrays(X[rows], y[rows]), rounds=5)
    assert model.classes == (1, 2)
    assert (model.predict(X[rows]) == y[rows]).mean() > 0.9


def test_what_it_cannot_continue_is_refused_with_the_reason():
    task = bq.Task.from_arrays(X, X[:, 0] > 0)
    other = bq.train(task, net="linear")
    method = ContinuedBoosting()
    assert "not boosted trees" in method.applies([Source(other)], task).reason
    coded = HistGradientBoostingClassifier(max_iter=5, categorical_features=[1])
    coded.fit(np.abs(X).round(), X[:, 0] > 0)
    assert (
        "forgets the source's categories" in method.applies([Source(bq.wrap(coded))], task).reason
    )
    assert "does regression" in method.applies([Source(line("xgboost"))], task).reason
    trees = HistGradientBoostingClassifier(max_iter=5).fit(X, X[:, 0] > 0)
    with pytest.raises(NotApplicable, match="rows of each class only"):
        fit(bq.wrap(trees), task.take(np.flatnonzero(X[:, 0] > 0)))
    with pytest.raises(DataError, match="lr must be above 0"):
        ContinuedBoosting(lr=0.0)


def test_catboosts_old_trees_say_what_they_said():
    """By itself it averages the old trees' statistics of categories with those of the new rows."""
    rng = np.random.default_rng(1)
    rows = {"ward": rng.choice([*"abcdef"], 400), "site": rng.choice([*"abcdef"], 400)}
    codes = [np.unique(column, return_inverse=True)[1] for column in rows.values()]
    trees = catboost.CatBoostRegressor(n_estimators=200, cat_features=["ward", "site"], **QUIET)
    source = bq.wrap(trees.fit(pd.DataFrame(rows), 5.0 * codes[0] - 3.0 * codes[1]))
    few = {name: column[:40] for name, column in rows.items()}
    task = bq.Task.from_table({**few, "y": rng.normal(size=40)}, "y", kind="regression")
    model = fit(source, task, rounds=20, lr=1e-6)
    np.testing.assert_allclose(model.predict(rows), source.predict(rows), atol=1e-3)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost", "sklearn"])
def test_named_columns_of_numbers_alone_are_continued(library):
    rows = pd.DataFrame({"mean age": X[:, 0], "dose": X[:, 1]})
    y = (X[:, 0] > 0).astype(int)
    made = {
        "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=10, verbosity=-1, n_jobs=1),
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=10, n_jobs=1),
        "catboost": lambda: catboost.CatBoostClassifier(n_estimators=10, **QUIET),
        "sklearn": lambda: HistGradientBoostingClassifier(max_iter=10),
    }
    source = bq.wrap(made[library]().fit(rows, y))
    task = bq.Task.from_table({**rows[["dose", "mean age"]].iloc[:80], "y": y[:80]}, "y")
    model = fit(source, task, rounds=5)
    assert (model.predict(task.inputs) == y[:80]).mean() > 0.9
    empty = {"mean age": X[:80, 0], "dose": np.full(80, np.nan), "y": y[:80]}
    assert np.isfinite(fit(source, bq.Task.from_table(empty, "y")).output(task.inputs)).all()


@pytest.mark.parametrize("kind", ["classes", "values"])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
def test_a_source_from_the_disk_or_another_process_goes_on_alike(library, kind, tmp_path):
    rows = pd.DataFrame({"ward": pd.Categorical(RNG.choice([*"abc"], 200)), "age": X[:200, 0]})
    y = (X[:200, 0] > 0).astype(int) if kind == "classes" else X[:200, 0]
    if library == "catboost":
        made = catboost.CatBoostClassifier if kind == "classes" else catboost.CatBoostRegressor
        trees = made(n_estimators=10, cat_features=["ward"], **QUIET)
        rows["ward"] = rows["ward"].astype(str)
    elif library == "lightgbm":
        made = lightgbm.LGBMClassifier if kind == "classes" else lightgbm.LGBMRegressor
        trees = made(n_estimators=10, verbosity=-1, n_jobs=1)
    else:
        made = xgboost.XGBClassifier if kind == "classes" else xgboost.XGBRegressor
        trees = made(n_estimators=10, enable_categorical=True, n_jobs=1)
    source = bq.wrap(trees.fit(rows, y))
    source.save(tmp_path / "source")
    few = {"ward": ["a", "d"] * 30, "age": X[:60, 0], "y": y[:60]}
    task = bq.Task.from_table(few, "y", kind="regression" if kind == "values" else "classification")
    wanted = fit(source, task).output(task.inputs)
    for other in (bq.load(tmp_path / "source"), pickle.loads(pickle.dumps(source))):
        np.testing.assert_allclose(fit(other, task).output(task.inputs), wanted, atol=1e-9)


@pytest.mark.parametrize("method", [Reuse(), ContinuedBoosting(rounds=2)])
def test_the_result_names_columns_as_the_task_does(method):
    rows = pd.DataFrame({"mean age": X[:, 0], "dose": X[:, 1]})
    y = (X[:, 0] > 0).astype(int)
    trees = lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1, n_jobs=1).fit(rows, y)
    task = bq.Task.from_table({**rows[:60], "y": y[:60]}, "y")
    model = method.fit([Source(bq.wrap(trees))], task, rng=np.random.default_rng(0))
    assert model.spec.columns == ("mean age", "dose")
    assert model.spec.accepts(task.spec) is None
