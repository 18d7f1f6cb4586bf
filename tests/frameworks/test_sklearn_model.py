import io
import json
import logging
import zipfile

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
from bequest.errors import DataError, ModelError, NotApplicable, UnsafeModel
from bequest.frameworks.encoders import Scaler
from bequest.frameworks.folder import load
from bequest.frameworks.sklearn_file import read_estimator, write_estimator
from bequest.frameworks.sklearn_model import SklearnModel, wrap_estimator

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
    import bequest.frameworks.sklearn_model as room

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


# Strangers' files. Each attack edits a real file the way an attacker would.


def forged(tmp_path, estimator, edit=None, *, arrays=None, compression=zipfile.ZIP_STORED):
    """Path of a skops file whose schema went through `edit`, and whose arrays were replaced."""
    path = tmp_path / "model.skops"
    write_estimator(path, estimator)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(entries["schema.json"])
    if edit is not None:
        edit(schema)
    entries["schema.json"] = json.dumps(schema).encode()
    entries |= arrays(schema, entries) if arrays else {}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def states(value, loader):
    if isinstance(value, dict):
        if value.get("__loader__") == loader:
            yield value
        for item in value.values():
            yield from states(item, loader)
    elif isinstance(value, list):
        for item in value:
            yield from states(item, loader)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def refused(path, error=UnsafeModel):
    with pytest.raises(error) as caught:
        read_estimator(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tree():
    return DecisionTreeClassifier(random_state=0).fit(X, Y)


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("numpy", "load")],
)
@pytest.mark.parametrize("loader", ["ObjectNode", "FunctionNode", "TypeNode", "PartialNode"])
def test_a_file_that_names_code_is_refused_and_nothing_is_imported(module, name, loader, tmp_path):
    def edit(schema):
        state = next(states(schema, "JsonNode"))
        state.update(__module__=module, __class__=name, __loader__=loader)
        state["content"] = {"func": {"__class__": name, "__module__": module}}

    path = forged(tmp_path, tree(), edit)
    with pytest.raises(ModelError):
        read_estimator(path)


@pytest.mark.parametrize(
    "loader",
    ["MethodNode", "OperatorFuncNode", "ConstructorFromReduceNode", "CachedNode", "BytesNode"],
)
def test_loaders_that_call_what_the_file_names_are_refused(loader, tmp_path):
    def edit(schema):
        next(states(schema, "JsonNode"))["__loader__"] = loader

    assert "not known to be safe" in refused(forged(tmp_path, tree(), edit))


def test_a_partial_of_anything_but_the_known_check_is_refused(tmp_path):
    frame = FRAME.assign(place=FRAME["place"].astype("category"))
    boosting = HistGradientBoostingClassifier(max_iter=2).fit(frame, Y)

    def edit(schema):
        for state in states(schema, "PartialNode"):
            state["content"]["func"].update(__module__="numpy", __class__="save")

    assert "functools.partial" in refused(forged(tmp_path, boosting, edit))


def test_an_object_of_a_trusted_type_through_the_wrong_door_is_refused(tmp_path):
    def edit(schema):
        state = next(states(schema, "TreeNode"))
        state["__loader__"] = "ObjectNode"

    assert "sklearn.tree._tree.Tree" in refused(forged(tmp_path, tree(), edit))


def test_two_objects_of_one_id_are_refused(tmp_path):
    def edit(schema):
        nodes = list(states(schema, "NdArrayNode"))
        nodes[-1]["__id__"] = nodes[0]["__id__"]

    assert "same id" in refused(forged(tmp_path, tree(), edit))


def tree_edit(field, value, row=0):
    """Replace a field of the node array of the file's only tree."""

    def arrays(schema, entries):
        state = next(states(schema, "TreeNode"))
        file = state["content"]["content"]["nodes"]["file"]
        nodes = np.load(io.BytesIO(entries[file])).copy()
        nodes[field][row] = value
        return {file: npy(nodes)}

    return arrays


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", 10**6),
        ("right_child", 10**9),
        ("right_child", -1),
        ("left_child", -7),
        ("left_child", 0),
        ("feature", 4),
        ("feature", -2),
        ("feature", 2**40),
    ],
)
def test_a_tree_that_points_outside_of_itself_is_refused(field, value, tmp_path):
    assert "a tree" in refused(forged(tmp_path, tree(), arrays=tree_edit(field, value)))


@pytest.mark.parametrize("key", ["node_count", "n_outputs", "n_features"])
def test_a_tree_whose_sizes_contradict_its_arrays_is_refused(key, tmp_path):
    def edit(schema):
        state = next(states(schema, "TreeNode"))
        arguments = state["__reduce__"]["args"]["content"]
        place = {"n_features": arguments[0], "n_outputs": arguments[2]}
        number = place.get(key) or state["content"]["content"]["node_count"]
        number.update(content="1" if key == "n_features" else "100000", __id__=1)

    assert "a tree" in refused(forged(tmp_path, tree(), edit))


def test_a_tree_that_reads_more_features_than_its_owner_checks_is_refused(tmp_path):
    def edit(schema):
        schema["content"]["content"]["n_features_in_"].update(content="2", __id__=1)

    assert "contradict" in refused(forged(tmp_path, tree(), edit))
    forest = RandomForestClassifier(2).fit(X, Y)
    assert "contradict" in refused(forged(tmp_path, forest, edit))


@pytest.mark.parametrize("field", ["left", "right", "feature_idx"])
def test_a_boosted_tree_that_points_outside_of_itself_is_refused(field, tmp_path):
    def arrays(schema, entries):
        name = next(
            name
            for name, content in entries.items()
            if name.endswith(".npy")
            and "feature_idx" in (np.load(io.BytesIO(content)).dtype.names or ())
        )
        nodes = np.load(io.BytesIO(entries[name])).copy()
        nodes[field][0] = 10**6
        return {name: npy(nodes)}

    boosting = HistGradientBoostingRegressor(max_iter=2).fit(XR, YR)
    assert "a tree" in refused(forged(tmp_path, boosting, arrays=arrays))


def replaced(attribute, value):
    def arrays(schema, entries):
        state = schema["content"]["content"][attribute]
        return {state["file"]: npy(value)}

    return arrays


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("_n_support", np.array([10**6, 1, 1], dtype=np.int32)),
        ("_dual_coef_", np.zeros((1, 1))),
        ("_intercept_", np.zeros(1)),
        ("_probA", np.zeros(3)),
        ("support_vectors_", np.zeros((60, 2))),
    ],
)
def test_support_vectors_that_contradict_their_counts_are_refused(attribute, value, tmp_path):
    path = forged(tmp_path, SVC().fit(X, Y), arrays=replaced(attribute, value))
    assert "SVC contradict each other" in refused(path)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("_y", np.full(150, 10**6)), ("_y", np.zeros(3, dtype=int)), ("_fit_X", np.zeros((150, 2)))],
)
def test_neighbours_of_classes_that_do_not_exist_are_refused(attribute, value, tmp_path):
    model = KNeighborsClassifier(algorithm="brute").fit(X, Y)
    path = forged(tmp_path, model, arrays=replaced(attribute, value))
    assert "KNeighborsClassifier contradict" in refused(path)


def test_a_cache_folder_that_a_pipeline_names_is_dropped(tmp_path):
    pipeline = make_pipeline(StandardScaler(), Ridge(), memory=str(tmp_path / "cache"))
    path = tmp_path / "model.skops"
    write_estimator(path, pipeline.fit(XR, YR))
    assert read_estimator(path).memory is None


def test_compressed_entries_are_refused_because_they_could_inflate(tmp_path):
    path = forged(tmp_path, tree(), compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(path)


def test_an_array_header_that_promises_more_numbers_than_follow_is_refused(tmp_path):
    def arrays(schema, entries):
        name = next(name for name in entries if name.endswith(".npy"))
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        )
        return {name: stream.getvalue() + b"\0" * 8}

    assert "another size" in refused(forged(tmp_path, tree(), arrays=arrays))


def test_an_array_of_pickled_objects_is_refused(tmp_path):
    def arrays(schema, entries):
        name = next(name for name in entries if name.endswith(".npy"))
        stream = io.BytesIO()
        np.save(stream, np.array([print], dtype=object), allow_pickle=True)
        return {name: stream.getvalue()}

    assert "array" in refused(forged(tmp_path, tree(), arrays=arrays))


def test_what_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "model.skops"
    refused(path, ModelError)
    path.write_bytes(b"PK\3\4 nothing")
    refused(path, ModelError)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", "{}")
    refused(path, ModelError)


def test_damaged_files_are_refused_or_give_an_estimator_of_the_same_class(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "model.skops"
    for estimator in (tree(), SVC().fit(X, Y), mixed().fit(FRAME, Y)):
        write_estimator(path, estimator)
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for position in rng.integers(0, len(whole), size=3):
                damaged[position] = rng.integers(0, 256)
            path.write_bytes(bytes(damaged[: rng.integers(len(whole) // 2, 2 * len(whole))]))
            try:
                back = read_estimator(path)
            except ModelError:
                continue
            assert type(back) is type(estimator)
