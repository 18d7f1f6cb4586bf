"""LightGBM, XGBoost and CatBoost as sources."""

import json
import subprocess
import sys

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import bequest as bq
import bequest.core
import bequest.frameworks.boosting.model
from bequest.core import features_of
from bequest.errors import DataError, MissingExtra, ModelError
from bequest.frameworks.boosting import files

ROWS = 300
LIBRARIES = ("lightgbm", "xgboost", "catboost")


def frame(seed=0):
    rng = np.random.default_rng(seed)
    ward = pd.Categorical(rng.choice(["a", "b", "c"], ROWS), categories=["c", "a", "b"])
    floor = pd.Categorical(rng.integers(1, 4, ROWS))
    age = np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(60, 10, ROWS))
    steps = pd.Categorical(rng.choice(["lo", "hi"], ROWS), categories=["lo", "hi"], ordered=True)
    columns = {"mean age": age, "ward": ward, "floor": floor, "steps": steps}
    return pd.DataFrame({**columns, "dose": rng.integers(0, 5, ROWS)})


def ill(rows):
    return (np.nan_to_num(rows["mean age"], nan=70.0) > 60) ^ (rows["ward"] == "a").to_numpy()


def texts(rows):
    """CatBoost takes categories as text."""
    coded = [name for name in rows if rows[name].dtype == "category"]
    return rows.astype(dict.fromkeys(coded, str))


def estimator(library, regression=False, **settings):
    if library == "lightgbm":
        made = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
        return made(**{"n_estimators": 15, "verbosity": -1, "n_jobs": 1, **settings})
    if library == "xgboost":
        made = xgboost.XGBRegressor if regression else xgboost.XGBClassifier
        return made(**{"n_estimators": 15, "enable_categorical": True, "n_jobs": 1, **settings})
    made = catboost.CatBoostRegressor if regression else catboost.CatBoostClassifier
    fixed = {"iterations": 15, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    return made(**{**fixed, **settings})


def fitted(library, kind="two"):
    """An estimator on the frame, what it reads, and the labels or values that it was fitted to."""
    rows = frame()
    y = ill(rows).astype(int)
    if kind == "three":
        y = y + (rows["dose"].to_numpy() > 3)
    if kind == "values":
        y = np.nan_to_num(rows["mean age"], nan=70.0) + 5.0 * y
    given = texts(rows) if library == "catboost" else rows
    cats = {"cat_features": ["ward", "floor", "steps"]} if library == "catboost" else {}
    return estimator(library, kind == "values", **cats).fit(given, y), given


def own_output(model, rows):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


@pytest.mark.parametrize("kind", ["two", "three", "values"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_it_predicts_as_its_own_library_and_so_it_does_from_the_disk(library, kind, tmp_path):
    trained, rows = fitted(library, kind)
    model = bq.wrap(trained)
    shuffled = rows[[*reversed(rows.columns)]]
    np.testing.assert_allclose(model.output(shuffled), own_output(trained, rows), atol=2e-7)
    model.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    np.testing.assert_allclose(again.output(rows), model.output(rows), rtol=1e-12)
    np.testing.assert_array_equal(features_of(again, rows), features_of(model, rows))
    assert again.classes == model.classes
    assert again.spec == model.spec


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_booster_alone_predicts_as_its_estimator(library):
    trained, rows = fitted(library)
    alone = {
        "lightgbm": lambda: trained.booster_,
        "xgboost": lambda: trained.get_booster(),
        "catboost": lambda: trained,
    }[library]()
    np.testing.assert_allclose(bq.wrap(alone).output(rows), trained.predict_proba(rows), atol=2e-7)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_it_never_saw_and_what_is_missing_is_predicted(library):
    trained, rows = fitted(library)
    odd = rows.iloc[:3].astype({"ward": object})
    odd["ward"] = ["new", None, "a"]
    odd["mean age"] = np.nan
    model = bq.wrap(trained)
    said = model.output(odd)
    assert np.isfinite(said).all()
    if library != "catboost":  # which tells a text that it has not seen from none
        np.testing.assert_array_equal(
            model.output(odd.assign(ward="new")), model.output(odd.assign(ward=None))
        )
    assert model.output(odd.assign(ward="a"))[2].tolist() == said[2].tolist()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_column_is_refused_by_name(library):
    trained, rows = fitted(library)
    model = bq.wrap(trained)
    with pytest.raises(DataError, match="lacks columns that the model reads: ward"):
        model.output(rows.drop(columns="ward"))
    task = bq.Task.from_table({**rows.drop(columns="ward"), "y": ill(frame())}, "y")
    assert "1 of them not in the task: ward" in model.applies(task).reason


def test_columns_that_lightgbm_renamed_are_found():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    trained = estimator("lightgbm").fit(X, y)
    model = bq.wrap(trained, labels={0: "malignant", 1: "benign"})
    task = bq.Task.from_table({**X, "y": ["benign" if one else "malignant" for one in y]}, "y")
    assert model.applies(task) is None
    assert model.classes == ("malignant", "benign")
    np.testing.assert_allclose(model.output(task.inputs), trained.predict_proba(X), atol=1e-12)
    assert bq.wrap(trained, example=X.iloc[:2]).spec.columns == tuple(X.columns)


@pytest.mark.parametrize("library", LIBRARIES)
def test_trees_on_an_array_take_vectors(library):
    X = np.random.default_rng(0).normal(size=(200, 4))
    y = (X[:, 0] > 0).astype(int)
    trained = estimator(library).fit(X, y)
    model = bq.wrap(trained)
    assert model.spec == bq.core.InputSpec("vector", (4,))
    np.testing.assert_allclose(model.output(X), trained.predict_proba(X), atol=2e-7)
    with pytest.raises(DataError, match="reads 4 columns"):
        model.output(X[:, :3])


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_trees_after_the_best_round_are_left_out(library):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (rng.random(200) > 0.5).astype(int)
    more = {"early_stopping_rounds": 3} if library == "xgboost" else {"early_stopping_round": 3}
    trained = estimator(library, n_estimators=60, **more)
    if library == "xgboost":
        trained.fit(X[:100], y[:100], eval_set=[(X[100:], y[100:])], verbose=False)
    else:
        trained.fit(X[:100], y[:100], eval_X=X[100:], eval_y=y[100:])
    best = trained.best_iteration + 1 if library == "xgboost" else trained.best_iteration_
    model = bq.wrap(trained)
    assert model.structure["number"] == best < 60
    np.testing.assert_allclose(model.output(X), trained.predict_proba(X), atol=2e-7)


def test_labels_name_each_class_once():
    forest = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model = bq.wrap(forest, labels={1: "malignant", 0: "benign"})
    assert model.predict([[9.0]]).tolist() == ["malignant"]
    with pytest.raises(ModelError, match="leaves out 1 of the model's classes"):
        bq.wrap(forest, labels={0: "benign"})
    with pytest.raises(ModelError, match="names 2, which is none"):
        bq.wrap(forest, labels={0: "a", 1: "b", 2: "c"})
    with pytest.raises(ModelError, match="two classes one label"):
        bq.wrap(forest, labels={0: "a", 1: "a"})
    with pytest.raises(ModelError, match="has no classes"):
        bq.wrap(lambda x: x[:, 0], labels={0: "a"})


def test_what_is_not_fitted_or_ranks_is_refused():
    for library in LIBRARIES:
        with pytest.raises(ModelError, match="is not fitted"):
            bq.wrap(estimator(library))
    X = np.random.default_rng(0).normal(size=(100, 2))
    ranker = lightgbm.LGBMRanker(n_estimators=2, verbosity=-1)
    ranker.fit(X, np.arange(100) % 3, group=[50, 50])
    with pytest.raises(ModelError, match="'lambdarank' is neither classes nor values"):
        bq.wrap(ranker)
    quiet = {"iterations": 2, "verbose": 0, "allow_writing_files": False}
    ranker = catboost.CatBoostRanker(**quiet).fit(
        X, np.arange(100) % 3, group_id=np.arange(100) // 9
    )
    with pytest.raises(ModelError, match=r"YetiRank.* ranks: it is neither classes nor values"):
        bq.wrap(ranker)
    linear = lightgbm.LGBMRegressor(n_estimators=2, verbosity=-1, linear_tree=True).fit(X, X[:, 0])
    with pytest.raises(ModelError, match="linear trees are not supported"):
        bq.wrap(linear)
    several = xgboost.XGBRegressor(n_estimators=2).fit(X, X)
    with pytest.raises(ModelError, match="several targets a row"):
        bq.wrap(several)


@pytest.mark.parametrize("library", LIBRARIES)
def test_features_are_leaves_and_bounded(library):
    X = np.random.default_rng(0).normal(size=(400, 4))
    more = {"iterations": 200} if library == "catboost" else {"n_estimators": 200}
    trained = estimator(library, **more).fit(X, (X[:, 0] * X[:, 1] > 0).astype(int))
    features = features_of(bq.wrap(trained), X)
    assert features.shape[1] <= 512
    sums = features.sum(axis=1)
    assert sums.min() == sums.max() > 1  # one leaf of each tree that was taken


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_damaged_file_is_one_line(library, tmp_path):
    model = bq.wrap(fitted(library)[0])
    model.save(tmp_path / "model")
    path = next((tmp_path / "model").glob("trees.*"))
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ModelError, match="was altered since"):
        bq.load(tmp_path / "model")
    known = bq.frameworks.boosting.model.LIBRARIES[library]
    with pytest.raises(ModelError, match=r"damaged|truncated") as caught:
        files.read_trees(path, known, 5, [], regression=False)
    assert "\n" not in str(caught.value)


def hostile(library, text):
    """Texts whose trees lead back into themselves, out of their arrays, or to outputs beyond."""
    if library == "lightgbm":
        left = next(line for line in text.splitlines() if line.startswith("left_child="))
        split = next(line for line in text.splitlines() if line.startswith("split_feature="))
        first = left.partition("=")[2].split()
        yield text.replace(left, f"left_child={' '.join(['0', *first[1:]])}", 1)
        yield text.replace(left, f"left_child={' '.join(['-99999', *first[1:]])}", 1)
        yield text.replace(split, split.replace("=", "=1000000", 1), 1)
        yield text.replace("num_class=1\n", "num_class=999\n")
        return
    values = json.loads(text)
    if library == "xgboost":
        for key, value in (("left_children", 0), ("right_children", 10**6), ("split_indices", 99)):
            changed = json.loads(text)
            changed["learner"]["gradient_booster"]["model"]["trees"][0][key][0] = value
            yield json.dumps(changed)
        changed = json.loads(text)
        for tree in changed["learner"]["gradient_booster"]["model"]["trees"]:
            tree["categories_nodes"] = [0 for _ in tree["categories_nodes"]]
        yield json.dumps(changed)
        values["learner"]["gradient_booster"]["model"]["tree_info"][0] = 50
        yield json.dumps(values)
        return
    values["oblivious_trees"][0]["leaf_values"] = [0.0]
    yield json.dumps(values)
    values = json.loads(text)
    values["oblivious_trees"][0]["splits"][0]["split_index"] = -(2**31)
    yield json.dumps(values)
    values = json.loads(text)
    values["oblivious_trees"][0]["splits"] *= 40
    yield json.dumps(values)


@pytest.mark.parametrize("library", LIBRARIES)
def test_trees_that_cannot_be_walked_are_refused_before_the_library_sees_them(
    library, tmp_path, monkeypatch
):
    bq.wrap(fitted(library)[0]).save(tmp_path / "model")
    path = next((tmp_path / "model").glob("trees.*"))
    known = bq.frameworks.boosting.model.LIBRARIES[library]
    known.check(path.read_text(), 5)
    monkeypatch.setattr(subprocess, "run", None)
    for text in hostile(library, path.read_text()):
        assert text != path.read_text()
        path.with_name("bad").write_text(text)
        with pytest.raises(ModelError, match=r"damaged|not there|contradicts"):
            files.read_trees(path.with_name("bad"), known, 5, [], regression=False)


@pytest.mark.slow
def test_a_text_that_crashes_the_library_crashes_a_child_alone(tmp_path, monkeypatch):
    bq.wrap(fitted("lightgbm")[0]).save(tmp_path / "model")
    path = tmp_path / "model" / "trees.txt"
    known = bq.frameworks.boosting.model.LIBRARIES["lightgbm"]
    bad = path.with_name("bad")
    bad.write_text(next(hostile("lightgbm", path.read_text())))
    monkeypatch.setattr(type(known), "check", lambda *_: None)
    monkeypatch.setattr(files, "SECONDS", 8)
    with pytest.raises(ModelError, match="is damaged"):
        files.read_trees(bad, known, 5, [], regression=False)


def test_a_library_that_is_missing_is_named_with_its_line(tmp_path, monkeypatch):
    bq.wrap(fitted("xgboost")[0]).save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtra, match="pip install xgboost-cpu"):
        bq.load(tmp_path / "model")


def pipeline(library, regression=False, output="default", **settings):
    """Missing numbers filled, categories spread over columns, then the trees."""
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["mean age", "dose"]),
        (OneHotEncoder(sparse_output=output == "sparse"), ["ward"]),
        sparse_threshold=1.0 if output == "sparse" else 0.0,
    )
    if output == "pandas":
        columns.set_output(transform="pandas")
    return make_pipeline(columns, estimator(library, regression, **settings))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("output", ["default", "pandas", "sparse"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_trees_at_the_end_of_a_pipeline_predict_are_saved_and_are_a_source(
    library, output, tmp_path
):
    rows = frame()
    y = np.where(ill(rows), "ill", "well")
    made = pipeline(library, output=output)
    made.fit(rows, ill(rows).astype(int) if library == "xgboost" else y)
    labels = {0: "well", 1: "ill"} if library == "xgboost" else None
    model = bq.wrap(made, labels=labels, name="ward")
    wanted = made.predict_proba(frame(1))
    np.testing.assert_allclose(model.predict_proba(frame(1)), wanted, atol=1e-6)
    assert set(model.classes) == {"ill", "well"}
    model.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict_proba(frame(1)), wanted, atol=1e-6)
    leaves = features_of(model, frame(1))
    assert leaves.shape[0] == ROWS
    np.testing.assert_array_equal(features_of(again, frame(1)), leaves)
    task = bq.Task.from_table(frame(1).assign(y=np.where(ill(frame(1)), "ill", "well")), "y")
    assert model.applies(task) is None
    assert (again.predict(task.inputs) == np.array(task.classes)[task.targets]).mean() > 0.8
    with pytest.raises(DataError, match="mean age"):
        again.predict(frame(1).drop(columns="mean age"))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_regression_at_the_end_of_a_pipeline_and_the_best_of_a_search_are_saved(tmp_path):
    rows = frame()
    y = np.nan_to_num(rows["mean age"], nan=70.0) * 2
    made = GridSearchCV(pipeline("lightgbm", True), {"lgbmregressor__max_depth": [2, 3]}, cv=2)
    made.fit(rows, y)
    alone = GridSearchCV(estimator("lightgbm", True), {"max_depth": [2]}, cv=2)
    alone.fit(rows[["dose"]], y)
    for search in (made, alone):
        model = bq.wrap(search)
        model.save(tmp_path / "model")
        again = bq.load(tmp_path / "model")
        np.testing.assert_allclose(
            again.predict(frame(1)),
            search.predict(frame(1) if search is made else frame(1)[["dose"]]),
        )


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_the_classes_of_such_a_pipeline_come_in_the_order_that_is_asked_for():
    rows = frame()
    made = pipeline("lightgbm").fit(rows, np.where(ill(rows), "ill", "well"))
    model = bq.wrap(made, classes=["well", "ill"])
    assert model.classes == ("well", "ill")
    np.testing.assert_allclose(model.predict_proba(rows)[:, ::-1], made.predict_proba(rows))
    with pytest.raises(ModelError, match="classes names"):
        bq.wrap(made, classes=["well", "ill", "dead"])


def test_trees_elsewhere_in_an_estimator_are_refused_with_the_way_on(tmp_path):
    rows = frame()[["dose"]]
    voting = VotingClassifier([("a", estimator("lightgbm")), ("b", LogisticRegression())])
    model = bq.wrap(voting.fit(rows, ill(frame())))
    with pytest.raises(ModelError, match="alone or as the last step of a Pipeline"):
        model.save(tmp_path / "model")
