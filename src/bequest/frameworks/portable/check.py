"""A stored graph read as a stranger's: every name, number and reference checked before use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.weights import TENSOR_NAME
from bequest.frameworks.portable.ops import operator_named
from bequest.frameworks.portable.values import DTYPES, Node, TensorAt, decode, fits

__all__ = ["GRAPH_FORMAT", "Graph", "Program", "Spec", "Step", "read_graph", "references"]

GRAPH_FORMAT = 1
NODE_LIMIT = 50_000  # a transformer of 96 layers has 5,000
TENSOR_LIMIT = 50_000
PATH_LIMIT = 256
RANK_LIMIT = 8
SIZE_LIMIT = 2**31  # of one dimension
Kind = Literal["parameter", "buffer", "constant"]


@final
@dataclass(frozen=True)
class Spec:
    """One tensor of the module, as the weights must have it.

    Constants and buffers that are not `persistent` stay out of the state dict; `tied` is the path
    of the tensor that it is the same as; `signs`: infinities are stored apart.
    """

    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    persistent: bool = True
    tied: str = ""
    signs: bool = False


@final
@dataclass(frozen=True)
class Step:
    """One call: an operator with its arguments, references and all.

    `layer` names the linear layer that stands for it, `follows` the part whose mode decides
    whether it trains; both are empty for most. Without `grad` it runs under ``torch.no_grad``.
    """

    name: str
    call: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    grad: bool = True
    layer: str = ""
    follows: str = ""


@final
@dataclass(frozen=True)
class Program:
    """Calls in their order, and the last use of each output."""

    steps: tuple[Step, ...]
    output: Any
    done: tuple[tuple[int, ...], ...]


@final
@dataclass(frozen=True)
class Graph:
    """A checked graph."""

    tensors: Mapping[str, Spec]
    input_shape: tuple[int, ...]
    input_dtype: str
    train: Program
    eval: Program
    layers: frozenset[str]


def read_graph(config: Any) -> Graph:
    """Check a stored graph and resolve its operators; builds no tensor and runs nothing.

    `UnsafeModel` where an operator is not allowed or a tensor's path is none, else `ModelError`.
    """
    fields = {"format", "torch", "input", "tensors", "train", "eval"}
    if not isinstance(config, dict) or set(config) != fields:
        raise ModelError(f"the graph does not have the parts {', '.join(sorted(fields))}.")
    if config["format"] != GRAPH_FORMAT:
        raise ModelError(
            f"the graph has format {ascii(config['format'])[:20]}, this version reads "
            f"{GRAPH_FORMAT}."
        )
    tensors = _tensors(config["tensors"])
    taken = config["input"]
    if not isinstance(taken, dict) or set(taken) != {"shape", "dtype"}:
        raise ModelError("the graph does not say the shape and dtype of its input.")
    raw = {mode: _raw_steps(config[mode], tensors) for mode in ("train", "eval")}
    layers = _layers([step for steps, _ in raw.values() for step in steps], tensors)
    programs = {mode: _program(steps, output, layers) for mode, (steps, output) in raw.items()}
    return Graph(
        tensors,
        _shape(taken["shape"]),
        _dtype(taken["dtype"]),
        programs["train"],
        programs["eval"],
        layers,
    )


def _tensors(values: Any) -> dict[str, Spec]:
    if not isinstance(values, dict) or len(values) > TENSOR_LIMIT:
        raise ModelError("the graph does not list its tensors, or too many of them.")
    specs: dict[str, Spec] = {}
    for path, value in values.items():
        hidden = any(part.startswith("__") for part in path.split("."))
        if len(path) > PATH_LIMIT or not TENSOR_NAME.fullmatch(path) or hidden:
            raise UnsafeModel(f"the graph has a tensor at {ascii(path)[:80]}, which is no path.")
        specs[path] = _spec(path, value)
    for path, spec in specs.items():
        owner = specs.get(spec.tied)
        if spec.tied and (owner is None or owner.tied or owner.shape != spec.shape):
            raise ModelError(f"the graph ties {path} to a tensor that it does not match.")
        parts = path.split(".")
        if any(".".join(parts[:stop]) in specs for stop in range(1, len(parts))):
            raise ModelError(f"the graph has a tensor {path} inside of another tensor.")
    return specs


def _spec(path: str, value: Any) -> Spec:
    allowed = {"kind", "shape", "dtype", "persistent", "tied", "signs"}
    if not isinstance(value, dict) or not {"kind", "shape", "dtype"} <= set(value) <= allowed:
        raise ModelError(f"the graph does not say kind, shape and dtype of {path}.")
    flags = (value.get("persistent", True), value.get("signs", False))
    tied = value.get("tied", "")
    if value["kind"] not in ("parameter", "buffer", "constant") or not isinstance(tied, str):
        raise ModelError(f"the graph has {path} as neither parameter, buffer nor constant.")
    if any(type(flag) is not bool for flag in flags):
        raise ModelError(f"the graph says of {path} neither yes nor no.")
    return Spec(
        value["kind"], _shape(value["shape"]), _dtype(value["dtype"]), flags[0], tied, flags[1]
    )


def _shape(value: Any) -> tuple[int, ...]:
    sound = isinstance(value, list) and len(value) <= RANK_LIMIT
    if not sound or not all(type(n) is int and 0 <= n < SIZE_LIMIT for n in value):
        raise ModelError(f"the graph has the impossible shape {ascii(value)[:60]}.")
    return tuple(value)


def _dtype(value: Any) -> str:
    if not isinstance(value, str) or value not in DTYPES:
        raise ModelError(f"the graph has the unknown dtype {ascii(value)[:40]}.")
    return value


def _raw_steps(value: Any, tensors: Mapping[str, Spec]) -> tuple[list[Step], Any]:
    if not isinstance(value, dict) or set(value) != {"nodes", "output"}:
        raise ModelError("the graph lacks its nodes or its output.")
    nodes = value["nodes"]
    if not isinstance(nodes, list) or len(nodes) > NODE_LIMIT:
        raise ModelError(f"the graph has no list of nodes, or more than {NODE_LIMIT}.")
    steps = [_step(place, node, tensors) for place, node in enumerate(nodes)]
    output = decode(value["output"])
    _check_references("its output", output, len(steps), tensors)
    if not isinstance(output, Node):
        raise ModelError("the graph's output is no node.")
    return steps, output


def _step(place: int, node: Any, tensors: Mapping[str, Spec]) -> Step:
    allowed = {"op", "args", "kwargs", "grad"}
    if not isinstance(node, dict) or not {"op", "args"} <= set(node) <= allowed:
        raise ModelError(f"node {place} of the graph lacks its operator or arguments.")
    if type(node.get("grad", True)) is not bool:
        raise ModelError(f"node {place} of the graph says neither yes nor no to gradients.")
    name, args, kwargs = node["op"], node["args"], node.get("kwargs", {})
    call = operator_named(name)
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ModelError(f"node {place} of the graph, {name}, has arguments of no known form.")
    step = Step(
        name,
        call,
        tuple(decode(args)),
        {key: decode(item, 1) for key, item in kwargs.items()},
        grad=node.get("grad", True),
    )
    _check_types(place, step)
    _check_references(f"node {place}, {name},", (step.args, step.kwargs), place, tensors)
    return step


def _check_types(place: int, step: Step) -> None:
    """Hold the arguments against the operator's schema; Python's own functions check theirs."""
    schema = getattr(step.call, "_schema", None)
    if schema is None:
        return
    wanted = {argument.name: str(argument.real_type) for argument in schema.arguments}
    given = dict(zip(wanted, step.args, strict=False))
    if len(step.args) > len(wanted) or not set(step.kwargs) <= wanted.keys() - given.keys():
        raise ModelError(
            f"node {place} of the graph, {step.name}, has arguments that it does not take."
        )
    for name, value in {**given, **step.kwargs}.items():
        if not fits(value, wanted[name]):
            raise ModelError(
                f"node {place} of the graph, {step.name}, has a {name} that is no {wanted[name]}."
            )


def references(value: Any) -> Iterator[Node | TensorAt]:
    """Every node and tensor that an argument refers to."""
    if isinstance(value, Node | TensorAt):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)
    elif isinstance(value, Mapping):
        yield from references(list(value.values()))


def _check_references(who: str, value: Any, before: int, tensors: Mapping[str, Spec]) -> None:
    for reference in references(value):
        if isinstance(reference, Node) and reference.place >= before:
            raise ModelError(
                f"{who} refers to node {reference.place}, which does not come before it."
            )
        if isinstance(reference, TensorAt) and reference.path not in tensors:
            raise ModelError(
                f"{who} refers to the tensor {ascii(reference.path)[:80]}, which is not there."
            )


def _layers(steps: list[Step], tensors: Mapping[str, Spec]) -> frozenset[str]:
    """Parts whose tensors are a linear layer's, and are used as one: they become one again.

    Such a layer can be hooked and given other rows, as a new head is.
    """
    leaves: dict[str, set[str]] = {}
    inner: set[str] = set()
    for path in tensors:
        *parts, leaf = path.split(".")
        leaves.setdefault(".".join(parts), set()).add(leaf)
        inner |= {".".join(parts[:stop]) for stop in range(len(parts))}
    calls = [step for step in steps if _linear_part(step)]
    biased = {_linear_part(step) for step in calls if _bias(step) is not None}
    plain = {_linear_part(step) for step in calls if _bias(step) is None}
    return frozenset(
        part
        for part in (biased | plain) - (biased & plain) - inner
        if leaves[part] == ({"weight", "bias"} if part in biased else {"weight"})
        and len(tensors[f"{part}.weight"].shape) == 2
        and all(tensors[f"{part}.{leaf}"].kind == "parameter" for leaf in leaves[part])
    )


def _linear_part(step: Step) -> str:
    """Path of the layer whose weight, and bias if any, a linear call takes."""
    if step.name != "aten.linear.default" or step.kwargs or len(step.args) not in (2, 3):
        return ""
    weight, bias = step.args[1], _bias(step)
    if not isinstance(weight, TensorAt) or not weight.path.endswith(".weight"):
        return ""
    part = weight.path.removesuffix(".weight")
    return part if bias is None or bias == TensorAt(f"{part}.bias") else ""


def _bias(step: Step) -> Any:
    return step.args[2] if len(step.args) == 3 else None


def _program(steps: list[Step], output: Node, layers: frozenset[str]) -> Program:
    last: dict[int, int] = {}
    for place, step in enumerate(steps):
        last[place] = place
        for reference in references((step.args, step.kwargs)):
            if isinstance(reference, Node):
                last[reference.place] = place
    last.pop(output.place)
    done: list[list[int]] = [[] for _ in steps]
    for place, use in last.items():
        done[use].append(place)
    known = tuple(
        replace(
            step,
            layer=part if (part := _linear_part(step)) in layers else "",
            follows=_followed(step),
        )
        for step in steps
    )
    return Program(known, output, tuple(tuple(places) for places in done))


def _followed(step: Step) -> str:
    """The part whose training mode a normalisation by batches, or its counter, follows."""
    if step.name == "aten.batch_norm.default" and len(step.args) == 9 and step.args[5] is True:
        statistics = step.args[3]
        if isinstance(statistics, TensorAt) and statistics.path.endswith(".running_mean"):
            return statistics.path.removesuffix(".running_mean")
    counted = step.args[0] if step.name == "aten.add_.Tensor" and step.args else None
    if isinstance(counted, TensorAt) and counted.path.endswith(".num_batches_tracked"):
        return counted.path.removesuffix(".num_batches_tracked")
    return ""
