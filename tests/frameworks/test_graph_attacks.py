"""Strangers' graphs: each attack edits a real one."""

import copy
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.portable.graph import GraphModule, build_graph, export_graph
from bequest.frameworks.portable.ops import OPERATORS, operator_named


class Last(nn.Module):
    def forward(self, outputs):
        return outputs[0][:, -1]


def recurrent(layer):
    """Three steps of five numbers."""
    return nn.Sequential(nn.Unflatten(1, (3, 5)), layer(5, 4, batch_first=True), Last()), (15,)


NETWORKS = {
    "mlp": (
        nn.Sequential(
            nn.Linear(5, 16), nn.GELU(), nn.Dropout(0.5), nn.LayerNorm(16), nn.Linear(16, 3)
        ),
        (5,),
    ),
    "small cnn": (
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
        ),
        (1, 8, 8),
    ),
    "gru": recurrent(nn.GRU),
    "lstm": recurrent(nn.LSTM),
    "rnn_tanh": recurrent(nn.RNN),
}


@pytest.fixture(scope="module")
def graphs():
    return {
        name: export_graph(net, torch.zeros(2, *shape)) for name, (net, shape) in NETWORKS.items()
    }


@pytest.fixture
def stored(graphs):
    """A graph and its weights, to be spoilt."""

    def fresh(name="mlp"):
        config, weights = graphs[name]
        return copy.deepcopy(config), dict(weights)

    return fresh


def refused(config, weights, error=ModelError):
    with pytest.raises(error) as caught:
        build_graph(config, weights)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


EVIL = [
    "aten.from_file.default",
    "aten.set_.source_Storage",
    "aten.as_strided.default",
    "aten.empty.memory_format",
    "aten.item.default",
    "aten.relu.out",
    "aten.relu.nothing",
    "aten.relu.__class__",
    "aten.__class__.default",
    "aten.relu",
    "torch.save",
    "os.system",
    "prims.device_put.default",
    "inductor.accumulate_grad_.default",
    "higher_order.cond",
    "operator.pow",
    "operator.attrgetter",
    "builtins.eval",
    "__import__('os').system('true')",
    "aten.relu.default\nimport os",
    "",
    None,
    3,
    ["aten.relu.default"],
]


@pytest.mark.parametrize("name", EVIL)
def test_an_operator_that_is_not_on_the_list_is_refused(name, stored):
    config, weights = stored()
    config["train"]["nodes"][0]["op"] = name
    refused(config, weights)
    if name != "aten.relu.nothing":
        with pytest.raises((UnsafeModel, ModelError)):
            operator_named(name)


@pytest.mark.parametrize(
    "path",
    ["__import__('os')", "a/b", "../x", "a b", "a..b", "__class__.x", "0.weight;", "", "a\n", "é"],
)
def test_a_tensor_at_an_evil_path_is_refused(path, stored):
    config, weights = stored()
    config["tensors"][path] = config["tensors"]["0.weight"]
    weights[path] = weights["0.weight"]
    assert "no path" in refused(config, weights, UnsafeModel)


@pytest.mark.parametrize(
    "path", ["training", "forward", "_parameters.x", "graph_config", "add_module"]
)
def test_a_tensor_at_a_name_that_torch_keeps_is_refused(path, stored):
    config, weights = stored()
    config["tensors"][path] = config["tensors"]["0.weight"]
    weights[path] = weights["0.weight"]
    assert "a name that torch keeps" in refused(config, weights)


def test_a_tensor_inside_of_another_is_refused(stored):
    config, weights = stored()
    config["tensors"]["0.weight.more"] = config["tensors"]["0.weight"]
    assert "inside of another" in refused(config, weights)


@pytest.mark.parametrize("place", [3, 10**9, 0, -1, 1.0, True, "0", None])
def test_a_reference_to_itself_to_what_follows_or_to_nothing_is_refused(place, stored):
    config, weights = stored()
    config["eval"]["nodes"][0]["args"][0] = {"node": place}
    refused(config, weights)


def test_a_reference_to_a_tensor_that_is_not_there_is_refused(stored):
    config, weights = stored()
    config["eval"]["nodes"][0]["args"][1] = {"tensor": "training"}
    assert "not there" in refused(config, weights)


@pytest.mark.parametrize("output", [{"node": 99}, {"input": 0}, {"tensor": "0.weight"}, [], None])
def test_an_output_that_is_no_node_is_refused(output, stored):
    config, weights = stored()
    config["eval"]["output"] = output
    refused(config, weights)


@pytest.mark.parametrize(
    "args",
    [
        [],
        [{"input": 0}],
        [{"input": 0}, {"tensor": "0.weight"}, {"tensor": "0.bias"}, 1, 2, 3],
        [{"input": 0}, 3, None],
        [{"input": 0}, {"float": "nan"}],
        [{"float": "inf"}, {"float": "inf"}],
        "x",
        {"input": 0},
    ],
)
def test_arguments_that_an_operator_does_not_take_are_refused(args, stored):
    config, weights = stored()
    config["train"]["nodes"][0]["args"] = args
    refused(config, weights)


@pytest.mark.parametrize(
    ("op", "args", "kwargs", "says"),
    [
        ("aten.to.dtype", [{"input": 0}, 1000], {}, "a dtype that is no ScalarType"),
        ("aten.to.dtype", [{"input": 0}, -2], {}, "a dtype that is no ScalarType"),
        ("aten.contiguous.default", [{"input": 0}], {"memory_format": 9}, "MemoryFormat"),
        ("aten.zeros_like.default", [{"input": 0}], {"layout": 9}, "Layout"),
        ("aten.zeros_like.default", [{"input": 0}], {"device": "meta"}, "Device"),
        ("aten.dropout.default", [{"input": 0}, 0.5, 1], {}, "a train that is no bool"),
        ("aten.view.default", [{"input": 0}, [True, 4]], {}, r"a size that is no List\[int\]"),
        ("aten.relu.default", [{"input": 0}], {"self": {"input": 0}}, "does not take"),
        ("aten.mul.left_t", [[1], 2**40], {}, "not allowed"),
        ("aten.view.dtype", [{"input": 0}, {"dtype": "int32"}], {}, "not allowed"),
        ("aten.bernoulli.default", [{"input": 0}], {"generator": 3}, "a generator that is no"),
    ],
)
def test_arguments_of_another_type_than_the_operators_are_refused(op, args, kwargs, says):
    node = {"op": op, "args": args, "kwargs": kwargs}
    assert re.search(says, refused(made_of(node), {}))


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn_tanh"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda args: args[2].pop(),
        lambda args: args[2].reverse(),
        lambda args: args.__setitem__(4, 2),
        lambda args: args.__setitem__(4, 0),
        lambda args: args.__setitem__(7, True),
        lambda args: args.__setitem__(8, False),
        lambda args: args.__setitem__(0, {"tensor": "short"}),
        lambda args: args.__setitem__(1, [{"tensor": "short"}] * 2),
        lambda args: args.__setitem__(1, {"tensor": "short"}),
    ],
)
def test_recurrent_layers_of_contradicting_sizes_are_refused(kind, spoil, stored):
    config, weights = stored(kind)
    weights["short"] = torch.zeros(2, 3, 1)
    config["tensors"]["short"] = {"kind": "buffer", "shape": [2, 3, 1], "dtype": "float32"}
    [node] = [node for node in config["train"]["nodes"] if node["op"] == f"aten.{kind}.input"]
    spoil(node["args"])
    refused(config, weights)


def test_keywords_that_an_operator_does_not_take_are_refused(stored):
    config, weights = stored()
    config["train"]["nodes"][1]["kwargs"] = {"generator": None, "out": {"tensor": "0.weight"}}
    assert "does not take" in refused(config, weights)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**70,
        "os.system('x')",
        {"eval": "1"},
        {"node": 0, "tensor": "x"},
        {"dtype": "object"},
        {"device": "cuda:0"},
        {"float": "1e400"},
        [[[[[[1]]]]]],
        [0] * 5000,
        {"node": {"node": 0}},
    ],
)
def test_an_argument_of_no_known_kind_is_refused(value, stored):
    config, weights = stored()
    config["train"]["nodes"][1]["args"].append(value)
    refused(config, weights)


def made_of(*nodes, tensors=None):
    program = {"nodes": list(nodes), "output": {"node": len(nodes) - 1}}
    return {
        "format": 1,
        "torch": "2",
        "input": {"shape": [4], "dtype": "float32"},
        "tensors": tensors or {},
        "train": program,
        "eval": program,
    }


def test_a_graph_that_asks_for_endless_memory_is_refused_without_taking_any():
    grow = {"op": "aten.repeat.default", "args": [{"input": 0}, [2**20, 2**20]]}
    assert "numbers for two samples" in refused(made_of(grow), {})
    doubling = [{"op": "aten.cat.default", "args": [[{"input": 0}] * 64, 0]}]
    for place in range(6):
        doubling.append({"op": "aten.cat.default", "args": [[{"node": place}] * 64, 0]})
    assert "numbers for two samples" in refused(made_of(*doubling), {})
    wide = {"op": "aten.zeros.default", "args": [[2**30, 2**30, 2**30]]}
    refused(made_of(wide), {})
    pieces = [
        {"op": "aten.zeros.default", "args": [[2**27]]},
        {"op": "aten.split.Tensor", "args": [{"node": 0}, 1]},
    ]
    assert "too long to be cut" in refused(made_of(*pieces), {})


def test_sizes_that_grow_without_end_are_refused():
    nodes = [{"op": "aten.sym_size.int", "args": [{"input": 0}, 1]}]
    for place in range(80):
        nodes.append({"op": "operator.mul", "args": [{"node": place}, {"node": place}]})
    assert "64 bits" in refused(made_of(*nodes), {})


def test_a_graph_of_too_many_nodes_is_refused():
    node = {"op": "aten.relu.default", "args": [{"input": 0}]}
    assert "50000" in refused(made_of(*[node] * 50_001), {})


def test_an_output_without_a_row_per_sample_is_refused():
    node = {"op": "aten.sum.default", "args": [{"input": 0}]}
    assert "one row per sample" in refused(made_of(node), {})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.pop("0.weight"), "lack 0.weight"),
        (lambda w: w.update(more=torch.ones(1)), "have more than the graph knows: more"),
        (lambda w: w.update({"0.bias": torch.ones(3)}), r"0.bias as float32 \(3,\)"),
        (lambda w: w.update({"0.bias": torch.ones(16).double()}), "0.bias as float64"),
    ],
)
def test_weights_that_are_not_the_graphs_are_refused(change, says, stored):
    config, weights = stored()
    change(weights)
    assert re.search(says, refused(config, weights))


@pytest.mark.parametrize("part", ["format", "torch", "input", "tensors", "train", "eval"])
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"nodes": 3}, {"shape": [-1]}])
def test_parts_of_another_form_are_refused(part, value, stored):
    config, weights = stored()
    if part == "torch":
        del config[part]
    else:
        config[part] = value
    refused(config, weights)
    assert "does not have the parts" in refused(value, weights)


@pytest.mark.parametrize(
    "spec",
    [
        {"shape": [16, 5.0]},
        {"shape": [2**31]},
        {"shape": "x"},
        {"dtype": "object"},
        {"kind": "code"},
        {"tied": "nothing"},
        {"tied": "0.weight"},
        {"persistent": 1},
        {"signs": None},
        {"signs": True},
        {"more": 1},
    ],
)
def test_a_tensor_described_wrongly_is_refused(spec, stored):
    config, weights = stored()
    config["tensors"]["0.weight"] |= spec
    refused(config, weights)


def places(value, path=()):
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from places(item, (*path, key))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**66),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["aten.relu.default", "aten.view.default", {"node": 0}, {"input": 0}, [1, -1], {}]
    ),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("name", ["mlp", "small cnn", "gru"])
def test_damaged_graphs_are_refused_or_build_a_module(name, data, stored):
    config, weights = stored(name)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([p for p in places(config) if p]))
        inside = config
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = data.draw(SCALARS)
    try:
        graph = build_graph(config, weights)
    except ModelError:
        return
    assert isinstance(graph, GraphModule)


def test_every_allowed_operator_is_one_of_torchs():
    missing = [name for name in sorted(OPERATORS) if not hasattr(torch.ops.aten, name)]
    assert missing == []
    unsafe = {"from_file", "set_", "as_strided", "empty", "resize_", "item", "empty_like"}
    assert not OPERATORS & unsafe
