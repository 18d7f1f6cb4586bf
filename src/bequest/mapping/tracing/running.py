"""Running a network with tensors in place of its own, watched or not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from bequest.errors import MapError
from bequest.frameworks.torch.unchanged import evaluating
from bequest.mapping.tracing.torch_calls import tensors_in
from bequest.mapping.tracing.usage_tracer import UsageTracer

__all__ = [
    "REFUSED",
    "STATISTICS",
    "call",
    "named_tensors",
    "summary",
    "watched_run",
    "watched_tensors",
]

STATISTICS = ("running_mean", "running_var")
REFUSED = (
    RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError,
    ArithmeticError,
)  # fmt: skip


def watched_run(
    module: nn.Module, tensors: Mapping[str, Tensor], example: Any
) -> tuple[UsageTracer, list[Tensor]]:
    """What each operation gives and the output, of a run with these tensors in place of its own."""
    own, _ = named_tensors(module)
    held = {**own, **tensors}
    watch = UsageTracer(watched_tensors(module, own, held), keep=True)
    with evaluating(module), watch:
        watch.feed(example)
        result = call(module, example, held if tensors else None)
    return watch, [tensor for tensor in tensors_in(result) if tensor.is_floating_point()]


def summary(values: Tensor) -> Tensor:
    """Mean, size and extremes: the same for the same values in any order."""
    flat = values.double().flatten()
    if not flat.numel():
        return torch.zeros(5, dtype=torch.float64)
    return torch.stack(
        [flat.mean(), (flat**2).mean().sqrt(), flat.abs().max(), flat.max(), flat.min()]
    )


def named_tensors(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of the state dict, each once, and the other names of those that are shared."""
    tensors: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    seen: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            raise MapError(
                f"{name} of {type(module).__name__} has no shape yet (a lazy module): run the "
                "network once on a batch, then map it."
            )
        if not isinstance(tensor, Tensor):
            continue
        if id(tensor) in seen:
            same[name] = seen[id(tensor)]
        else:
            seen[id(tensor)] = name
            tensors[name] = tensor
    return tensors, same


def call(module: nn.Module, example: Any, tensors: Mapping[str, Tensor] | None = None) -> Any:
    """Run a module, or one with these tensors, on an example of any of the three forms."""
    args: Any = example if isinstance(example, tuple | list) else (example,)
    args, kwargs = ((), dict(example)) if isinstance(example, Mapping) else (tuple(args), {})
    with _as_written():
        if tensors is None:
            return module(*args, **kwargs)
        # torch swaps a layer that is in two places twice, and then does not put it back
        return torch.func.functional_call(
            module, _once(module, tensors), args, kwargs, tie_weights=False
        )


def _as_written() -> AbstractContextManager[Any]:
    """Nothing is compiled inside: torch would compile the watching too, for minutes."""
    compiles = "torch._dynamo" in sys.modules  # which whatever compiles has imported
    return torch.compiler.set_stance("force_eager") if compiles else nullcontext()


def _once(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, and those that share memory with them, under one name of each layer."""
    names = (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    )
    given = {id(own): tensors[name] for name, own in names if name in tensors}
    return {
        f"{path}.{name}" if path else name: given[id(own)]
        for path, part in module.named_modules()
        for name, own in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        if id(own) in given
    }


def watched_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """What is learned: parameters and running statistics; constants come from the code.

    `held` are the tensors that take their places in the run that is watched.
    """
    parameters = {id(p) for p in module.parameters()}
    return {
        name: (held or tensors)[name]
        for name, tensor in tensors.items()
        if id(tensor) in parameters or _learned(name, tensor)
    }


def _learned(name: str, buffer: Tensor) -> bool:
    """Running statistics, and other buffers of finite real values that are not all the same."""
    if name.rpartition(".")[2] in STATISTICS:
        return True
    if not buffer.is_floating_point() or buffer.is_meta or buffer.numel() < 2:
        return False
    low, high = torch.aminmax(buffer)
    return bool(torch.isfinite(low) and torch.isfinite(high) and low != high)
