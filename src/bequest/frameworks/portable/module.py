"""A stored graph as a torch module: it calls its operators one after the other.

No code is written from the file: the names in it are looked up, never put into source text.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.frameworks.portable.check import Graph, Program, Step, read_graph
from bequest.frameworks.portable.values import DTYPES, Device, Input, Node, TensorAt

__all__ = ["CANNOT_RUN", "GraphModule", "dry_run"]

CANNOT_RUN = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
ELEMENT_LIMIT = 2**27  # numbers in one output for two samples: 512 MiB of float32
TOTAL_LIMIT = 2**31  # in all outputs; a ResNet-50 has 2**25
PIECE_LIMIT = 2**16  # length of what is cut into pieces, each a tensor of its own
CUTS = (
    "aten.chunk.",
    "aten.split.",
    "aten.split_with_sizes.",
    "aten.tensor_split.",
    "aten.unbind.",
)


@final
class GraphModule(nn.Module):
    """A module made of a graph: the original's parameters by name, trainable, without its class.

    It holds two programs, one per mode, so that all that the original does differently in training
    (dropout, batch statistics, stochastic depth) it does as well. Linear layers are ``nn.Linear``
    again; all other parts only hold their parameters. A part set to ``eval`` alone keeps its batch
    statistics.

    Parameters
    ----------
    config : mapping
        What `bequest.frameworks.portable.graph.export_graph` gave; it is checked.
    tensors : mapping of str to torch.Tensor
        One per tensor of the graph, of its shape and dtype.
    """

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._graph_config = copy.deepcopy(dict(config))
        graph = read_graph(self._graph_config)
        self._graph: Graph | None = graph
        try:
            _fill(self, graph, tensors)
        except KeyError as error:
            raise ModelError(
                f"the graph has a tensor at a name that torch keeps: {error}."
            ) from error

    @property
    def graph_config(self) -> dict[str, Any]:
        """What it was built from."""
        return self._graph_config

    def forward(self, x: Tensor) -> Tensor:
        """Run the program of the mode that the module is in.

        Parameters
        ----------
        x : torch.Tensor, shape (N, ...)
        """
        graph = self._checked()
        program = graph.train if self.training else graph.eval
        values: list[Any] = [None] * len(program.steps)
        for place, step in enumerate(program.steps):
            values[place] = self._call(step, values, x)
            for finished in program.done[place]:
                values[finished] = None
        result: Tensor = values[program.output.place]
        return result

    def _call(self, step: Step, values: list[Any], x: Tensor) -> Any:
        if step.grad:
            return self._run(step, values, x)
        with torch.no_grad():
            return self._run(step, values, x)

    def _run(self, step: Step, values: list[Any], x: Tensor) -> Any:
        if step.layer:
            return self.get_submodule(step.layer)(self._value(step.args[0], values, x))
        args = [self._value(item, values, x) for item in step.args]
        if step.follows and not self.get_submodule(step.follows).training:
            if step.name == "aten.add_.Tensor":
                return None
            args[5] = False
        return step.call(*args, **{k: self._value(v, values, x) for k, v in step.kwargs.items()})

    def _value(self, item: Any, values: list[Any], x: Tensor) -> Any:
        kind = type(item)
        if kind is Node:
            return values[item.place]
        if kind is TensorAt:
            found: Any = self
            for part in item.parts:
                found = getattr(found, part)
            return found
        if kind is list:
            return [self._value(inner, values, x) for inner in item]
        if kind is Input:
            return x
        return x.device if kind is Device else item

    def _checked(self) -> Graph:
        if self._graph is None:
            self._graph = read_graph(self._graph_config)
        return self._graph

    def __getstate__(self) -> dict[str, Any]:
        """All but the operators, which are looked up again by name."""
        return {**self.__dict__, "_graph": None}


def _fill(root: nn.Module, graph: Graph, tensors: Mapping[str, Tensor]) -> None:
    """Give the module its parts and tensors; tied names share one parameter."""
    made: dict[str, Any] = {}
    owners = [path for path, spec in graph.tensors.items() if not spec.tied]
    for path in (*owners, *(path for path, spec in graph.tensors.items() if spec.tied)):
        spec = graph.tensors[path]
        owner, _, leaf = path.rpartition(".")
        part = _part(root, owner, graph)
        if spec.tied:
            made[path] = made[spec.tied]
        elif spec.kind == "parameter":
            learns = tensors[path].is_floating_point()
            made[path] = nn.Parameter(tensors[path], requires_grad=learns)
        else:
            made[path] = tensors[path]
        if spec.kind != "parameter":
            part.register_buffer(leaf, made[path], persistent=spec.persistent)
        elif isinstance(part, nn.Linear):
            setattr(part, leaf, made[path])
        else:
            part.register_parameter(leaf, made[path])


def _part(root: nn.Module, path: str, graph: Graph) -> nn.Module:
    """The part of this path, made where it is not there yet."""
    part = root
    walked = ""
    for name in path.split(".") if path else ():
        walked = f"{walked}.{name}" if walked else name
        if name not in part._modules:
            layer = nn.Module()
            if walked in graph.layers:
                outputs, inputs = graph.tensors[f"{walked}.weight"].shape
                bias = f"{walked}.bias" in graph.tensors
                layer = nn.Linear(inputs, outputs, bias=bias, device="meta")
            part.add_module(name, layer)
        part = part.get_submodule(name)
    return part


def dry_run(config: Mapping[str, Any], graph: Graph) -> None:
    """Run both programs on tensors without numbers: shows misfits and sizes, takes no memory."""
    empty = {
        path: torch.empty(spec.shape, dtype=DTYPES[spec.dtype], device="meta")
        for path, spec in graph.tensors.items()
    }
    module = GraphModule(config, empty)
    x = torch.empty((2, *graph.input_shape), dtype=DTYPES[graph.input_dtype], device="meta")
    with torch.no_grad():
        for program in (graph.train, graph.eval):
            _dry(module, program, x)


def _dry(module: GraphModule, program: Program, x: Tensor) -> None:
    values: list[Any] = []
    total = 0
    for place, step in enumerate(program.steps):
        try:
            _check_cut(step, module, values, x)
            values.append(module._call(step, values, x))
        except CANNOT_RUN as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"node {place} of the graph, {step.name}, cannot run: {reason}"
            ) from error
        made = values[-1] if isinstance(values[-1], list | tuple) else [values[-1]]
        sizes = [item.numel() for item in made if isinstance(item, Tensor)]
        total += sum(sizes)
        if max(sizes, default=0) > ELEMENT_LIMIT or total > TOTAL_LIMIT:
            raise ModelError(
                f"node {place} of the graph, {step.name}, would give {sum(sizes)} numbers for two "
                f"samples, at most {ELEMENT_LIMIT} are allowed."
            )
    output = values[program.output.place]
    if not isinstance(output, Tensor) or output.dim() == 0 or len(output) != 2:
        raise ModelError("the graph's output has not one row per sample.")


def _check_cut(step: Step, module: GraphModule, values: list[Any], x: Tensor) -> None:
    if step.name.startswith(CUTS):
        whole = module._value(step.args[0], values, x)
        if max(whole.shape) > PIECE_LIMIT:
            raise ValueError(f"a tensor of shape {tuple(whole.shape)} is too long to be cut")
