"""ONNX files as sources."""

import pickle
import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import bequest as bq
from bequest.cli import run
from bequest.core import features_of
from bequest.core.deadline import due_in
from bequest.errors import (
    DataError,
    MissingExtra,
    ModelError,
    NotApplicable,
    OutOfTime,
    UnsafeModel,
)
from bequest.frameworks.onnx.external import external_tensor

FLOAT, STRING, BOOL = TensorProto.FLOAT, TensorProto.STRING, TensorProto.BOOL
RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 4)).astype(np.float32)
V = RNG.normal(size=(4, 2)).astype(np.float32)
X = RNG.normal(size=(10, 3)).astype(np.float32)


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes, inputs, outputs, weights=(), domains=()):
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(weights).items()]
    whole = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(one, 1) for one in domains)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=9)


def network(softmax=True, batch="n"):
    """Two layers; the first one's output is an output, too."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["inner"]),
        helper.make_node("Tanh", ["inner"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "v"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"]))
    last = "probabilities" if softmax else "logits"
    outputs = [value("hidden", [batch, 4]), value(last, [batch, 2])]
    outputs = outputs if softmax else outputs[::-1]
    return graph(nodes, [value("x", [batch, 3])], outputs, {"w": W, "v": V})


def saved(model, tmp_path, name="net.onnx"):
    (tmp_path / name).write_bytes(model.SerializeToString())
    return tmp_path / name


def wanted():
    return torch.softmax(torch.from_numpy(np.tanh(X @ W) @ V), 1).numpy()


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_it_predicts_and_gives_features_and_so_it_does_from_the_disk(softmax, batch, tmp_path):
    model = bq.load(saved(network(softmax, batch), tmp_path))
    assert (model.name, model.classes, model.spec.shape) == ("net", (0, 1), (3,))
    np.testing.assert_allclose(model.output(X), wanted(), atol=1e-6)
    np.testing.assert_allclose(features_of(model, X), np.tanh(X @ W), atol=1e-6)
    np.testing.assert_allclose(features_of(model, X, "hidden"), np.tanh(X @ W), atol=1e-6)
    with pytest.raises(NotApplicable, match="has no output 'inner': "):
        features_of(model, X, "inner")
    named = bq.wrap(model, labels={0: "cat", 1: "dog"})
    named.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    assert again.classes == ("cat", "dog")
    np.testing.assert_array_equal(again.output(X), model.output(X))
    assert (tmp_path / "model" / "model.onnx").read_bytes() == model.content
    sent = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(sent.output(X), model.output(X))


def test_it_is_a_source_of_a_transfer_and_a_regression_has_one_value(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    one = graph(nodes, [value("x", ["n", 3])], [value("y", ["n", 1])], {"w": W[:, :1]})
    model = bq.load(saved(one, tmp_path))
    np.testing.assert_allclose(model.predict(X), X @ W[:, 0], atol=1e-6)
    task = bq.Task.from_arrays(X, X @ W[:, 0], kind="regression")
    assert model.applies(task) is None


def test_inputs_of_one_column_each_are_a_table(tmp_path):
    nodes = [
        helper.make_node("LabelEncoder", ["ward"], ["code"], domain="ai.onnx.ml",
                         keys_strings=["a", "b"], values_floats=[1.0, 2.0], default_float=0.0),
        helper.make_node("Add", ["age", "code"], ["y"]),
    ]  # fmt: skip
    inputs = [value("age", ["n", 1]), value("ward", ["n", 1], STRING)]
    whole = graph(nodes, inputs, [value("y", ["n", 1])])
    whole.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    model = bq.load(saved(whole, tmp_path))
    assert model.spec.kinds == ("number", "category")
    assert model.predict({"ward": ["b", None], "age": [1.0, 5.0]}).tolist() == [3.0, 5.0]
    with pytest.raises(DataError, match="lacks columns that the model reads: ward"):
        model.predict({"age": [1.0]})


def test_the_labels_of_a_map_are_its_classes(tmp_path):
    """As skl2onnx writes a classifier by default."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml",
                         classlabels_strings=["no", "yes", "perhaps", "never"]),
    ]  # fmt: skip
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, []))
    )
    outputs = [helper.make_value_info("maps", kind)]
    whole = graph(nodes, [value("x", ["n", 3])], outputs, {"w": W}, domains=["ai.onnx.ml"])
    model = bq.load(saved(whole, tmp_path))
    assert model.classes == ("never", "no", "perhaps", "yes")  # in the order of the map
    expected = torch.softmax(torch.from_numpy(X @ W), 1).numpy()[:, [3, 0, 2, 1]]
    np.testing.assert_allclose(model.output(X), expected, atol=1e-6)


def test_weights_in_other_files_are_refused_also_inside_of_attributes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look for them
    onnx.save_model(
        network(), "net.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    with pytest.raises(UnsafeModel, match=r"keeps the tensor '(w|v)' in another file"):
        bq.load(tmp_path / "net.onnx")
    outside = numpy_helper.from_array(W, "deep")
    outside.data_location = TensorProto.EXTERNAL
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=outside)], "i", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    assert external_tensor(graph([node], [], []).SerializeToString()) == "deep"
    assert external_tensor(network().SerializeToString()) is None


@pytest.mark.parametrize("domain", ["my.domain", ""])
def test_operations_that_onnxruntime_lacks_are_refused_by_name(domain, tmp_path):
    nodes = [helper.make_node("Frob", ["x"], ["y"], domain=domain)]
    domains = [domain] if domain else []
    whole = graph(nodes, [value("x", ["n", 3])], [value("y", ["n", 3])], domains=domains)
    with pytest.raises(UnsafeModel, match=r"uses the operation (my\.domain:)?Frob"):
        bq.load(saved(whole, tmp_path))


def test_a_damaged_file_and_one_of_other_inputs_are_one_line(tmp_path):
    path = saved(network(), tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError, match="no sound ONNX file") as caught:
        bq.load(path)
    assert "\n" not in str(caught.value)
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    two = graph(nodes, [value("a", ["n", 3]), value("b", ["n", 3])], [value("y", ["n", 3])])
    with pytest.raises(ModelError, match=r"takes a tensor\(float\) .* one array"):
        bq.load(saved(two, tmp_path))


def endless(tmp_path):
    """A loop of 2**62 steps, where the first cell is above 100, else of one."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Tanh", ["before"], ["after"]),
        ],
        "body",
        [
            value("i", [], TensorProto.INT64),
            value("go", [], TensorProto.BOOL),
            value("before", None),
        ],
        [value("on", [], TensorProto.BOOL), value("after", None)],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["far"]),
        helper.make_node("Where", ["far", "many", "few"], ["steps"]),
        helper.make_node("Loop", ["steps", "", "x"], ["y"], body=body),
    ]
    weights = {
        "limit": np.float32(100),
        "many": np.int64(2**62),
        "few": np.int64(1),
    }
    weights = {name: np.asarray(one) for name, one in weights.items()}
    return saved(graph(nodes, [value("x", ["n", 3])], [value("y", ["n", 3])], weights), tmp_path)


def test_a_run_ends_at_the_deadline(tmp_path):
    model = bq.load(endless(tmp_path))
    assert np.isfinite(model.output(X)).all()
    with due_in(0.5), pytest.raises(OutOfTime, match="running an ONNX file"):
        model.output(X + 1000)
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_a_child_that_is_lost_is_one_line(tmp_path, monkeypatch):
    path = saved(network(), tmp_path)
    lost = subprocess.CompletedProcess([], -11, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: lost)
    with pytest.raises(ModelError, match="onnxruntime crashes on it"):
        bq.load(path)


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
    path = saved(network(), tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'bequest\[onnx\]'"):
        bq.load(path)


def test_the_file_is_a_source_by_its_path_and_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(network(), tmp_path)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "few.npz", X=inputs, y=(inputs @ W).argmax(axis=1))
    task = bq.Task.from_arrays(inputs, (inputs @ W).argmax(axis=1))
    assert [one.source for one in bq.rank(["net.onnx"], task)] == ["net.onnx"]
    assert run(["rank", "few.npz", "--source", "net.onnx"]) == 0
    assert "net.onnx" in capsys.readouterr().out
    assert run(["show", "net.onnx"]) == 1
    assert "a source as it is" in capsys.readouterr().err
