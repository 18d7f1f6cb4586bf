import json
import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from bequest.core import Card, InputSpec, Table
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.frameworks.encoders.encoder import Scaler
from bequest.frameworks.files.folder import load
from bequest.frameworks.sklearn.model import SklearnModel, wrap_estimator

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
LABELS = NAMES[Y]
XR, YR = (part[:200] for part in load_diabetes(return_X_y=True))

UNFINISHED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CLASSIFIERS = {
    "logistic": LogisticRegression(max_iter=500),
    "ridge": RidgeClassifier(),
    "boosting": HistGradientBoostingClassifier(max_iter=5),
    "boosting with categories": HistGradientBoostingClassifier(
        max_iter=5, categorical_features=[False, False, False, True], max_bins=60
    ),
    "forest": RandomForestClassifier(5, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "bagging": BaggingClassifier(n_estimators=3, max_features=0.5, random_state=0),
    "ada boost": AdaBoostClassifier(n_estimators=3, random_state=0),
    "tree": DecisionTreeClassifier(random_state=0),
    "network": make_pipeline(
        StandardScaler(), MLPClassifier((8, 5), solver="lbfgs", max_iter=2000, random_state=0)
    ),
    "machine": SVC(),
    "linear machine": LinearSVC(),
    "neighbours": KNeighborsClassifier(),
    "neighbours by all pairs": KNeighborsClassifier(algorithm="brute"),
    "bayes": GaussianNB(),
    "logarithms": make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=500)),
    "dummy": DummyClassifier(),
}
REGRESSORS = {
    "ridge": Ridge(),
    "boosting": HistGradientBoostingRegressor(max_iter=5),
    "trees": ExtraTreesRegressor(4, random_state=0),
    "machine": SVR(),
    "neighbours": KNeighborsRegressor(algorithm="ball_tree"),
    "network": make_pipeline(
        StandardScaler(),
        MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=30, random_state=0),
    ),
    "process": GaussianProcessRegressor(RBF(), optimizer=None),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_predicts_the_same_after_saving_and_loading(name, tmp_path):
    model = wrap_estimator(CLASSIFIERS[name].fit(X, LABELS), name=name)
    model.save(tmp_path / "m")
    back = load(tmp_path / "m")
    assert isinstance(back, SklearnModel)
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), model.estimator.predict(X))
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, atol=1e-12)
    assert back.classes == ("setosa", "versicolor", "virginica")
    assert (back.spec, back.card) == (model.spec, model.card)


@UNFINISHED
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_predicts_the_same_after_saving_and_loading(name, tmp_path):
    model = wrap_estimator(REGRESSORS[name].fit(XR, YR), name=name)
    model.save(tmp_path / "m")
    back = load(tmp_path / "m")
    np.testing.assert_array_equal(back.predict(XR), model.estimator.predict(XR))
    assert back.kind == "regression"
    assert back.predict(XR).dtype == np.float64


FRAME = pd.DataFrame({"length": X[:, 0], "width": X[:, 1], "place": np.array(list("xyz"))[Y]})
FRAME.loc[3, "place"] = np.nan
FRAME.loc[4, "length"] = np.nan


def mixed():
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encode = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    columns = ColumnTransformer(
        [("numbers", numbers, ["length", "width"]), ("text", encode, ["place"])]
    )
    return make_pipeline(columns, LogisticRegression())


def test_an_estimator_of_a_dataframe_reads_tables_and_frames_with_more_columns(tmp_path):
    estimator = mixed().fit(FRAME, LABELS)
    model = wrap_estimator(estimator, name="mixed", example=FRAME)
    assert model.spec == InputSpec("table", None, ("length", "width", "place"))
    expected = estimator.predict_proba(FRAME)
    wider = FRAME.assign(other=1)[["other", "place", "width", "length"]]
    np.testing.assert_allclose(model.predict_proba(wider), expected, atol=1e-12)
    model.save(tmp_path / "m")
    table = Table({name: FRAME[name].to_numpy() for name in FRAME})
    np.testing.assert_allclose(load(tmp_path / "m").predict_proba(table), expected, atol=1e-12)
    with pytest.raises(DataError, match="lacks columns that the model reads: place"):
        model.predict(FRAME[["length", "width"]])


def test_boosting_of_a_categorical_frame_is_saved(tmp_path):
    frame = FRAME.assign(place=FRAME["place"].astype("category"))
    model = wrap_estimator(HistGradientBoostingClassifier(max_iter=3).fit(frame, Y), name="b")
    expected = model.estimator.predict_proba(frame)
    model.save(tmp_path / "m")
    np.testing.assert_allclose(load(tmp_path / "m").predict_proba(FRAME), expected, atol=1e-12)


def test_an_estimator_of_a_frame_of_numbers_reads_arrays_without_a_warning():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = wrap_estimator(LogisticRegression(max_iter=500).fit(frame, Y), name="m")
    assert model.predict(X).tolist() == model.predict(frame).tolist()


def test_columns_follow_classes_and_labels_not_known_get_zero():
    estimator = LogisticRegression(max_iter=500).fit(X[Y != 1], LABELS[Y != 1])
    model = SklearnModel(
        estimator,
        spec=InputSpec("vector", (4,)),
        classes=("virginica", "versicolor", "setosa"),
        card=Card(),
    )
    raw = estimator.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X)[:, [2, 0]], raw, atol=1e-12)
    assert not model.predict_proba(X)[:, 1].any()
    assert set(model.predict(X)) == {"setosa", "virginica"}


def test_labels_outside_of_the_classes_are_refused():
    estimator = LogisticRegression(max_iter=500).fit(X, LABELS)
    with pytest.raises(ModelError, match=r"not among the 2 classes: \['virginica'\]"):
        wrap_estimator(estimator, name="m", classes=("setosa", "versicolor"))


def test_classes_are_plain_python_values():
    model = wrap_estimator(LogisticRegression(max_iter=500).fit(X, Y), name="m")
    assert [type(label) for label in model.classes] == [int, int, int]


def test_two_classes_by_decision_function_are_the_logistic_of_it():
    machine = LinearSVC().fit(X[Y < 2], Y[Y < 2])
    model = wrap_estimator(machine, name="m")
    expected = 1 / (1 + np.exp(-machine.decision_function(X)))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected)


def test_votes_of_pairs_are_no_scores_of_classes():
    X4, Y4 = np.vstack([X, X[:50] + 10]), np.append(Y, np.full(50, 3))
    machine = SVC(decision_function_shape="ovo").fit(X4, Y4)
    probabilities = wrap_estimator(machine, name="m").predict_proba(X4)
    assert set(probabilities.ravel()) == {0.0, 1.0}
    np.testing.assert_array_equal(probabilities.argmax(axis=1), machine.predict(X4))


def test_an_encoder_stands_before_the_estimator_and_is_saved(tmp_path):
    scaler = Scaler.fit(X.astype(np.float32))
    estimator = LogisticRegression().fit(scaler.encode(X), LABELS)
    model = SklearnModel(
        estimator,
        spec=InputSpec("vector", (4,)),
        classes=tuple(NAMES.tolist()),
        card=Card(name="scaled"),
        encoder=scaler,
    )
    model.save(tmp_path / "m")
    expected = estimator.predict_proba(scaler.encode(X))
    np.testing.assert_allclose(load(tmp_path / "m").predict_proba(X), expected, atol=1e-6)


def test_images_are_flattened():
    estimator = LogisticRegression(max_iter=500).fit(X, Y)
    model = SklearnModel(
        estimator, spec=InputSpec("image", (1, 2, 2)), classes=(0, 1, 2), card=Card()
    )
    expected = estimator.predict(X)
    assert model.predict(X.reshape(-1, 1, 2, 2)).tolist() == expected.tolist()


def test_features_of_a_pipeline_are_what_its_last_step_reads():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    model = wrap_estimator(pipeline, name="m")
    np.testing.assert_allclose(model.features(X), StandardScaler().fit_transform(X))
    np.testing.assert_allclose(model.features(X, layer="standardscaler"), model.features(X))
    with pytest.raises(NotApplicable, match="has no step 'body'; it has standardscaler"):
        model.features(X, layer="body")


@UNFINISHED
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("alone", [True, False])
def test_features_of_a_network_lead_to_its_output_by_its_last_layer(activation, alone):
    network = MLPRegressor(
        hidden_layer_sizes=(6, 3),
        activation=activation,
        solver="lbfgs",
        max_iter=30,
        random_state=0,
    )
    estimator = (network if alone else make_pipeline(StandardScaler(), network)).fit(XR, YR)
    model = wrap_estimator(estimator, name="m")
    hidden = model.features(XR)
    assert hidden.shape == (len(XR), 3)
    output = hidden @ network.coefs_[-1] + network.intercepts_[-1]
    np.testing.assert_allclose(output.ravel(), model.predict(XR), atol=1e-9)


def test_an_estimator_without_inner_layers_says_that_it_has_no_features():
    with pytest.raises(NotApplicable, match="GaussianNB reads its inputs directly"):
        wrap_estimator(GaussianNB().fit(X, Y), name="m").features(X)


def test_parameters_are_the_fitted_coefficients():
    linear = wrap_estimator(LinearRegression().fit(XR, YR), name="m").parameters()
    assert {name: value.shape for name, value in linear.items()} == {
        "coef_": (10,),
        "intercept_": (),
    }
    network = wrap_estimator(CLASSIFIERS["network"].fit(X, Y), name="m").parameters()
    assert network["coefs_.1"].shape == (8, 5)
    with pytest.raises(NotApplicable, match="RandomForestClassifier has no array"):
        wrap_estimator(RandomForestClassifier(2).fit(X, Y), name="m").parameters()


def test_the_structure_is_json():
    model = wrap_estimator(mixed().fit(FRAME, Y), name="m")
    text = json.dumps(model.structure, allow_nan=False)
    assert model.structure["estimator"] == "sklearn.pipeline.Pipeline"
    assert "OneHotEncoder" in text


def test_what_is_not_fitted_or_predicts_nothing_is_refused():
    with pytest.raises(ModelError, match=r"Ridge is not fitted: call its fit"):
        wrap_estimator(Ridge(), name="m")
    with pytest.raises(ModelError, match="neither a classifier nor a regressor"):
        wrap_estimator(StandardScaler().fit(X), name="m")
    with pytest.raises(ModelError, match="neither a classifier nor a regressor"):
        wrap_estimator(GaussianMixture().fit(X), name="m")
    with pytest.raises(ModelError, match="regressor: it takes no classes"):
        wrap_estimator(Ridge().fit(XR, YR), name="m", classes=("a", "b"))
    with pytest.raises(ModelError, match="several labels"):
        wrap_estimator(DecisionTreeClassifier().fit(X, np.stack([Y, Y], 1)), name="m")
    several = wrap_estimator(Ridge().fit(XR, np.stack([YR, YR], 1)), name="m")
    with pytest.raises(ModelError, match="values a row"):
        several.predict(XR)


def test_inputs_of_another_width_are_refused_in_one_line():
    model = wrap_estimator(LogisticRegression(max_iter=500).fit(X, Y), name="m")
    with pytest.raises(DataError, match="cannot read the inputs") as caught:
        model.predict(X[:, :3])
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no rows"):
        model.predict(X[:0])


def test_an_output_that_is_not_finite_is_refused():
    estimator = LinearRegression().fit(XR, YR)
    estimator.coef_ = np.full_like(estimator.coef_, 1e308)
    with pytest.raises(ModelError, match="not finite"):
        wrap_estimator(estimator, name="m").predict(np.full_like(XR, 1e3))


class Mine(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_an_estimator_of_a_class_of_ones_own_predicts_but_cannot_be_saved(tmp_path):
    model = wrap_estimator(Mine().fit(X, LABELS), name="m")
    assert set(model.predict(X)) == {"setosa"}
    with pytest.raises(ModelError, match=r"would not load again: .*Mine"):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_model_of_another_version_loads_and_says_so(tmp_path, caplog, monkeypatch):
    import bequest.frameworks.sklearn.model as room

    model = wrap_estimator(Ridge().fit(XR, YR), name="m")
    with monkeypatch.context() as then:
        then.setattr(room, "version", lambda package: "0.99.1")
        model.save(tmp_path / "m")
    with caplog.at_level(logging.WARNING):
        load(tmp_path / "m")
    assert "saved with scikit-learn 0.99.1 (here " in caplog.text
    monkeypatch.setattr(room, "read_estimator", _fails)
    with pytest.raises(ModelError, match=r"cannot be built.* saved with scikit-learn 0\.99\.1"):
        load(tmp_path / "m")


def _fails(path):
    raise ModelError(f"{path} cannot be built.")
