"""From a torch module to a portable graph: two exports, one per mode, written as plain values."""

from __future__ import annotations

import copy
import io
import logging
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from bequest.errors import ModelError
from bequest.frameworks.portable.ops import CHECKS_ONLY, is_inplace, name_of
from bequest.frameworks.portable.values import Input, Node, TensorAt, encode

__all__ = ["describe_tensors", "spec_of_tensor", "trace"]

CONSTANTS = "lifted_constants"


def trace(
    module: nn.Module, example: Tensor, mode: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Export a copy of `module` in this mode: ``{"nodes": [...], "output": ...}`` and constants.

    Constants are tensors that the forward pass makes of literals, by the path that nodes name.
    """
    copied = copy.deepcopy(module).cpu().train(mode == "train")
    exported = _export(copied, example.detach().cpu())
    if any(
        spec.kind is not OutputKind.USER_OUTPUT for spec in exported.graph_signature.output_specs
    ):
        raise ModelError(
            f"torch {torch.__version__} exports no trainable graphs: a newer one does."
        )
    if len(exported.graph_signature.output_specs) != 1:
        raise ModelError("it returns more than one tensor.")
    names, constants = _placeholders(exported, mode)
    writer = _Writer()
    inputs = {node: names[node.name] for node in exported.graph.nodes if node.op == "placeholder"}
    [output] = writer.write(exported.graph_module, inputs, grad=True)
    if not isinstance(output, Node):
        raise ModelError("it returns its input, or no tensor.")
    return {"nodes": writer.nodes, "output": encode(output, inputs.__getitem__)}, constants


def _export(module: nn.Module, example: Tensor) -> Any:
    try:
        with _quiet():
            return torch.export.export(
                module, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False
            )
    except GuardOnDataDependentSymNode as error:
        raise ModelError("its forward pass decides by the numbers in a tensor.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Attention as single operators rather than one fused for inference; no notes to the screen.

    What torch has to say of a failed export is in its exception as well.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    shapes = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = shapes.level
    torch.backends.mha.set_fastpath_enabled(False)
    shapes.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        shapes.setLevel(level)


def _placeholders(exported: Any, mode: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What each placeholder of the export stands for, and the constants among them."""
    names: dict[str, Any] = {}
    constants: dict[str, Tensor] = {}
    for spec in exported.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            names[spec.arg.name] = Input()
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            names[spec.arg.name] = TensorAt(spec.target)
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            path = f"{CONSTANTS}.{mode}_{len(constants)}"
            names[spec.arg.name] = TensorAt(path)
            constants[path] = exported.constants[spec.target].detach().clone()
        else:
            raise ModelError(f"it holds a {spec.kind.name.lower()}, which a graph cannot.")
    return names, constants


class _Writer:
    """Writes the nodes that the output, or a buffer's update, depends on, in their order."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []

    def write(self, module: Any, values: dict[Any, Any], grad: bool) -> list[Any]:
        """Write one graph, whose inputs `values` tells; references to its outputs come back."""
        needed = _needed(module.graph)
        outputs: list[Any] = []
        for node in module.graph.nodes:
            if node.op == "output":
                outputs = [values.get(item) for item in node.args[0]]
            elif node.op == "call_function" and node in needed:
                values[node] = self._written(module, node, values, grad)
            elif node.op not in ("placeholder", "get_attr", "call_function"):
                raise ModelError(f"it uses {node.op} {node.target}, which a graph cannot hold.")
        return outputs

    def _written(self, module: Any, node: Any, values: dict[Any, Any], grad: bool) -> Any:
        if _is_grad_region(node):
            flag, inner, *given = node.args
            part = module.get_submodule(inner.target)
            places = [inside for inside in part.graph.nodes if inside.op == "placeholder"]
            known = {
                place: values[outside] if isinstance(outside, torch.fx.Node) else outside
                for place, outside in zip(places, given, strict=True)
            }
            return self.write(part, known, flag)
        if node.target is operator.getitem and isinstance(values.get(node.args[0]), list):
            return values[node.args[0]][node.args[1]]
        written = {"op": name_of(node.target), "args": encode(node.args, values.__getitem__)}
        kwargs = {key: value for key, value in node.kwargs.items() if key != "pin_memory"}
        if kwargs:
            written["kwargs"] = encode(kwargs, values.__getitem__)
        if not grad:
            written["grad"] = False
        self.nodes.append(written)
        return Node(len(self.nodes) - 1)


def _is_grad_region(node: Any) -> bool:
    """Whether it is a part of the forward pass under `torch.no_grad`, or under its contrary."""
    higher = isinstance(node.target, torch._ops.HigherOrderOperator)
    return higher and node.target.name() == "wrap_with_set_grad_enabled"


def _needed(graph: Any) -> set[Any]:
    needed: set[Any] = set()
    for node in reversed(graph.nodes):
        if node.op == "call_function" and node not in needed:
            base = getattr(getattr(node.target, "_schema", None), "name", "").partition("::")[2]
            acts = is_inplace(node.target) or _is_grad_region(node)
            if base in CHECKS_ONLY or not acts:
                continue
        needed.add(node)
        needed.update(node.all_input_nodes)
    return needed


def describe_tensors(module: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Every parameter and buffer: what a graph says of it, and the tensor itself.

    Infinities (of attention masks, say) are stored apart, because weight files refuse them.
    """
    specs: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    owners: dict[int, str] = {}
    persistent = set(module.state_dict())
    parameters = list(module.named_parameters(remove_duplicate=False))
    buffers = list(module.named_buffers(remove_duplicate=False))
    for kind, named in (("parameter", parameters), ("buffer", buffers)):
        for path, tensor in named:
            spec = specs[path] = spec_of_tensor(kind, tensor)
            if path not in persistent:
                spec["persistent"] = False
            owner = owners.setdefault(id(tensor), path)
            if owner != path:
                spec["tied"] = owner
            tensors[path] = tensor.detach()
    return specs, tensors


def spec_of_tensor(kind: str, tensor: Tensor) -> dict[str, Any]:
    """What a graph says of one tensor."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"kind": kind, "shape": list(tensor.shape), "dtype": dtype}
