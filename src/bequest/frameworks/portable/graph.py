"""Networks of classes that are not ours as portable graphs: saved, checked, built, trained on."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bequest.core.wording import listed
from bequest.errors import ModelError
from bequest.frameworks.portable.check import GRAPH_FORMAT, Graph, read_graph
from bequest.frameworks.portable.export import describe_tensors, spec_of_tensor, trace
from bequest.frameworks.portable.module import CANNOT_RUN, GraphModule, dry_run
from bequest.frameworks.portable.values import DTYPES
from bequest.frameworks.torch.unchanged import evaluating

__all__ = ["GraphModule", "build_graph", "export_graph"]

SIGNS = "_signs"  # suffix of the tensor that holds where another one is infinite
TOLERANCE = 1e-4


def export_graph(module: nn.Module, example: Tensor) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Write a module as a graph of torch's operators that builds again without its class.

    The module takes and gives one tensor with a row per sample; of the example's shape (2 or more,
    ...) the number of rows stays free. Gives the graph as plain values, and weights for
    `write_weights`. `ModelError` where the forward pass looks at numbers to decide what to do,
    changes plain attributes, calls what a graph cannot hold, or works for one batch size only.

    References
    ----------
    Reed et al., torch.fx, MLSys 2022; Ansel et al., PyTorch 2, ASPLOS 2024.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> config, weights = export_graph(network, torch.zeros(2, 4))
    >>> again = build_graph(config, weights)
    >>> torch.equal(again(torch.ones(5, 4)), network(torch.ones(5, 4)))
    True
    """
    if example.dim() < 1 or len(example) < 2:
        raise ModelError(f"the example has shape {tuple(example.shape)}: two rows are needed.")
    specs, tensors = describe_tensors(module)
    try:
        programs = _stored(module, specs) or _traced(module, example, specs, tensors)
        config = {
            "format": GRAPH_FORMAT,
            "torch": str(torch.__version__),
            "input": {
                "shape": list(example.shape[1:]),
                "dtype": str(example.dtype).removeprefix("torch."),
            },
            "tensors": specs,
            **programs,
        }
        weights = _finite(specs, tensors)
        config = json.loads(json.dumps(config, allow_nan=False))
        _check_same(module, build_graph(config, weights), example)
    except ModelError as error:
        raise _cannot(module, str(error)) from error
    except CANNOT_RUN as error:
        raise _cannot(module, " ".join(str(error).split())[:200]) from error
    return config, weights


def build_graph(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> GraphModule:
    """Build a module, in training mode, from a graph and weights that anybody may have written.

    It is read, checked against a list of operators, run once on tensors without numbers, and only
    then given its weights. Nothing in it becomes code.
    """
    graph = read_graph(config)
    _check_weights(graph, weights)
    dry_run(config, graph)
    tensors = {}
    for path, spec in graph.tensors.items():
        values = weights[path].detach().clone()
        if spec.signs:
            signs = weights[path + SIGNS]
            values = values.masked_fill(signs > 0, torch.inf).masked_fill(signs < 0, -torch.inf)
        tensors[path] = values
    return GraphModule(config, tensors)


def _check_weights(graph: Graph, weights: Mapping[str, Tensor]) -> None:
    signs = {path + SIGNS for path, spec in graph.tensors.items() if spec.signs}
    missing = sorted((graph.tensors.keys() | signs) - weights.keys())
    extra = sorted(weights.keys() - graph.tensors.keys() - signs)
    for names, problem in ((missing, "lack"), (extra, "have more than the graph knows:")):
        if names:
            raise ModelError(f"the weights {problem} {listed(name[:80] for name in names)}.")
    for path, spec in graph.tensors.items():
        found = weights[path]
        if tuple(found.shape) != spec.shape or found.dtype != DTYPES[spec.dtype]:
            raise ModelError(
                f"the weights have {path} as {str(found.dtype).removeprefix('torch.')} "
                f"{tuple(found.shape)}, the graph as {spec.dtype} {spec.shape}."
            )
        if spec.signs and tuple(weights[path + SIGNS].shape) != spec.shape:
            raise ModelError(f"the weights have the signs of {path} in another shape.")


def _stored(module: nn.Module, specs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The programs of a module that is a graph already, if its tensors are still theirs."""
    if not isinstance(module, GraphModule):
        return None
    stored = module.graph_config
    for path, spec in stored["tensors"].items():
        if path not in specs:
            return None
        if spec["kind"] == "constant":
            specs[path]["kind"] = "constant"
    added = specs.keys() - stored["tensors"].keys()
    if any(not path.endswith(".bias") for path in added):
        return None
    programs = {mode: copy.deepcopy(stored[mode]) for mode in ("train", "eval")}
    for node in (node for program in programs.values() for node in program["nodes"]):
        _add_bias(node, added)
    return programs


def _add_bias(node: dict[str, Any], added: set[str]) -> None:
    """A new head may have a bias where the old one had none."""
    args = node["args"]
    if node["op"] == "aten.linear.default" and isinstance(args[1], dict):
        bias = args[1].get("tensor", "").removesuffix("weight") + "bias"
        if bias in added:
            node["args"] = [*args[:2], {"tensor": bias}]


def _traced(
    module: nn.Module, example: Tensor, specs: dict[str, Any], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    programs = {}
    for mode in ("train", "eval"):
        programs[mode], constants = trace(module, example, mode)
        for path, constant in constants.items():
            specs[path] = {**spec_of_tensor("constant", constant), "persistent": False}
            tensors[path] = constant
    return programs


def _finite(specs: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with their infinities stored apart: weight files refuse them."""
    weights: dict[str, Tensor] = {}
    for path, tensor in tensors.items():
        infinite = torch.isinf(tensor)
        specs[path].pop("signs", None)
        if specs[path]["kind"] == "parameter" or not bool(infinite.any()):
            weights[path] = tensor
            continue
        specs[path]["signs"] = True
        weights[path] = tensor.masked_fill(infinite, 0)
        weights[path + SIGNS] = (infinite * tensor.sign()).to(torch.int8)
    return weights


def _check_same(module: nn.Module, again: nn.Module, example: Tensor) -> None:
    """What was built must predict what the module predicts, for a batch of another size too."""
    more = torch.cat([example, example[:1]])
    try:
        with evaluating(module):
            expected = module(more)
            given = again.to(example.device).eval()(more)
    except CANNOT_RUN as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"it works for batches of {len(example)} rows only: {reason}.") from error
    if expected.shape != given.shape or not torch.allclose(
        expected, given, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
    ):
        raise ModelError("the graph gives other predictions than the network.")


def _cannot(module: nn.Module, reason: str) -> ModelError:
    name = type(module).__name__
    return ModelError(
        f"{name} cannot be saved as a portable graph: {reason.rstrip('.')}. Save it by its import "
        f"path instead: bequest.wrap(module, config={{...}}), the arguments that build {name}."
    )
