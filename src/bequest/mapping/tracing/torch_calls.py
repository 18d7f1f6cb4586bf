"""What a call of one of torch's functions is, by its name and its arguments."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from bequest.mapping.tracing.ops import TensorSlice

__all__ = [
    "ADD", "CELLS", "CONVS", "MUL", "NORMS", "NORM_ROLES", "PARTS", "PRODUCT", "RECURRENT",
    "RESHAPED", "SAME", "TURNED", "TURNED_CONVS", "argument", "each_tensor", "first_tensor",
    "kind_of", "name_of", "stride_of", "tensors_in",
]  # fmt: skip

ADD = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
MUL = frozenset({"mul", "mul_", "__mul__", "__rmul__", "__imul__"})
PRODUCT = frozenset({"matmul", "mm", "bmm", "__matmul__", "__rmatmul__"})
SAME = frozenset(
    {
        "contiguous", "to", "float", "double", "half", "bfloat16", "type_as", "clone", "detach",
        "type", "data", "requires_grad_", "alias", "cpu",
    }
)  # fmt: skip
RESHAPED = frozenset(
    {
        "view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "flatten", "repeat",
        "view_as", "broadcast_to",
    }
)  # fmt: skip
TURNED = frozenset({"t", "T", "mT", "transpose", "swapaxes", "permute", "numpy_T"})
PARTS = frozenset({"chunk", "split", "unbind", "tensor_split", "__getitem__", "narrow"})
CONVS = frozenset({f"conv{n}d" for n in (1, 2, 3)})
TURNED_CONVS = frozenset({f"conv_transpose{n}d" for n in (1, 2, 3)})
NORMS = frozenset({"layer_norm", "group_norm", "batch_norm", "instance_norm", "rms_norm"})
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
CELLS = frozenset({"lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"})
NORM_ROLES = {
    "weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance",
}  # fmt: skip


def stride_of(args: Any, kwargs: Any) -> tuple[int, ...]:
    """The stride of a convolution; one number where all axes have the same."""
    stride = argument(args, kwargs, 3, "stride")
    return (stride,) if isinstance(stride, int) else tuple(stride or ())


def first_tensor(roles: Mapping[str, TensorSlice]) -> str:
    """The name of the first tensor."""
    return next(iter(roles.values())).tensor


def kind_of(name: str, roles: Mapping[str, TensorSlice]) -> str:
    """Which kind of operation a call with these pieces is."""
    if name in ("linear", "addmm", *PRODUCT):
        return "linear" if len(roles.get("weight", TensorSlice("", ())).shape) == 2 else "other"
    if name in CONVS | TURNED_CONVS:
        return "conv" if "weight" in roles else "other"
    if name in NORMS:
        return "norm" if roles else "other"
    if name in ("embedding", "embedding_bag", "__getitem__", "index_select"):
        return "embedding"
    if name in MUL and len(next(iter(roles.values())).shape) == 1:
        return "norm"
    return "table"


def name_of(func: Callable[..., Any]) -> str:
    """The name of a function of torch's."""
    if isinstance(func, types.MethodWrapperType):  # a property of a tensor, such as x.T
        return str(getattr(func.__self__, "__name__", ""))
    return str(getattr(func, "__name__", ""))


def argument(args: Any, kwargs: Any, place: int, name: str) -> Any:
    """What was given at a place or under a name; None where neither was."""
    return args[place] if len(args) > place else kwargs.get(name)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Every tensor in arguments, mappings, dataclasses and what Hugging Face calls an output."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from tensors_in(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, torch.nn.utils.rnn.PackedSequence):
        yield values.data


def each_tensor(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same values with every tensor changed; sequences become tuples."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, Mapping):
        return {key: each_tensor(value, change) for key, value in values.items()}
    if isinstance(values, tuple | list):
        return tuple(each_tensor(value, change) for value in values)
    return values
