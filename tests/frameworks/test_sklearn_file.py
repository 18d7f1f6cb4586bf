"""Strangers' skops files. Each attack edits a real file the way an attacker would."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.sklearn.file import read_estimator, write_estimator

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame({"length": X[:, 0], "place": np.array(list("xyz"))[Y]})


def mixed():
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["length"]), ("text", OneHotEncoder(), ["place"])]
    )
    return make_pipeline(columns, LogisticRegression())


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

    boosting = HistGradientBoostingRegressor(max_iter=2).fit(X, Y)
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


def test_settings_of_the_machine_that_saved_it_are_not_taken_over(tmp_path):
    forest = RandomForestClassifier(2, n_jobs=7, verbose=0)
    pipeline = make_pipeline(StandardScaler(), forest, memory=str(tmp_path / "cache"))
    path = tmp_path / "model.skops"
    write_estimator(path, pipeline.fit(X, Y))
    back = read_estimator(path)
    assert back.memory is None
    assert back[-1].n_jobs is None
    assert pipeline[-1].n_jobs == 7


def test_search_trees_are_built_again(tmp_path):
    model = KNeighborsClassifier(algorithm="kd_tree").fit(X, Y)
    path = tmp_path / "model.skops"
    write_estimator(path, model)
    assert model._tree is not None
    assert type(read_estimator(path)._tree) is type(model._tree)


def test_boosting_stages_of_another_number_of_columns_are_refused(tmp_path):
    boosting = GradientBoostingClassifier(n_estimators=2).fit(X, Y)

    def edit(schema):
        stages = schema["content"]["content"]["estimators_"]
        rows = stages["content"]
        assert len(rows) == 2
        for row in rows:
            row["content"].append(row["content"][0])

    assert "GradientBoostingClassifier contradict" in refused(forged(tmp_path, boosting, edit))


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
