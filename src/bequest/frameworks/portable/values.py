"""The arguments of a stored graph's operators: plain JSON, and a few marks for what is not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch

from bequest.errors import ModelError

__all__ = ["DTYPES", "Device", "Input", "Node", "TensorAt", "decode", "encode", "fits"]

INT_LIMIT = 2**63
DEPTH_LIMIT = 4
ITEM_LIMIT = 4096  # of one list; the weights of a deep recurrent network are one
TEXT = re.compile(r"[A-Za-z_,.\-> ]{0,64}")  # 'tanh', 'constant', 'bnd,bmd->bnm'
FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.bfloat16, torch.float32, torch.float64,
    )
}  # fmt: skip
FORMATS = {
    str(form).removeprefix("torch."): form
    for form in (torch.contiguous_format, torch.preserve_format, torch.channels_last)
}


@final
@dataclass(frozen=True)
class Node:
    """The output of the node at this place."""

    place: int


@final
@dataclass(frozen=True)
class TensorAt:
    """The parameter or buffer of this path."""

    path: str

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The path's steps, from the module inwards."""
        return tuple(self.path.split("."))


@final
@dataclass(frozen=True)
class Input:
    """What the graph is called with."""


@final
@dataclass(frozen=True)
class Device:
    """The device of the input: a graph is stored without one."""


def encode(value: Any, refer: Any) -> Any:
    """JSON of an argument; `refer` turns a node of an export into its reference."""
    if isinstance(value, torch.fx.Node):
        reference: Any = encode(refer(value), refer)
        return reference
    if isinstance(value, list | tuple):
        return [encode(item, refer) for item in value]
    if isinstance(value, dict):
        return {key: encode(item, refer) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    marks: dict[type, Any] = {
        Node: lambda: {"node": value.place},
        TensorAt: lambda: {"tensor": value.path},
        Input: lambda: {"input": 0},
        torch.device: lambda: {"device": "input"},
        torch.dtype: lambda: {"dtype": str(value).removeprefix("torch.")},
        torch.layout: lambda: {"layout": str(value).removeprefix("torch.")},
        torch.memory_format: lambda: {"format": str(value).removeprefix("torch.")},
    }
    if type(value) not in marks:
        raise ModelError(f"it uses a {type(value).__name__} that a portable graph cannot hold.")
    return marks[type(value)]()


def decode(value: Any, depth: int = 0) -> Any:
    """The argument that this JSON stands for, checked but for where its references lead."""
    if isinstance(value, list):
        if depth >= DEPTH_LIMIT or len(value) > ITEM_LIMIT:
            raise ModelError("the graph has an argument that is too deep or too long.")
        return [decode(item, depth + 1) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        return _marked(*next(iter(value.items())))
    if isinstance(value, str) and TEXT.fullmatch(value):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if value is None or (isinstance(value, int) and abs(value) < INT_LIMIT):
        return value
    raise ModelError(f"the graph has the argument {ascii(value)[:60]}, which is none.")


def _marked(mark: str, value: Any) -> Any:
    if mark == "node" and type(value) is int and value >= 0:
        return Node(value)
    if mark == "tensor" and isinstance(value, str):
        return TensorAt(value)
    if isinstance(value, str) and mark in ("dtype", "format", "float"):
        tables: dict[str, Any] = {"dtype": DTYPES, "format": FORMATS, "float": FLOATS}
        if value in tables[mark]:
            return tables[mark][value]
    if (mark, value) == ("input", 0):
        return Input()
    if (mark, value) == ("device", "input"):
        return Device()
    if (mark, value) == ("layout", "strided"):
        return torch.strided
    raise ModelError(f"the graph has the argument {ascii({mark: value})[:60]}, which is none.")


def fits(value: Any, kind: str) -> bool:
    """Whether an argument is of the type that an operator's schema wants.

    torch takes whole numbers for dtypes and layouts without looking, and crashes on wrong ones.

    Examples
    --------
    >>> fits(1, "Optional[ScalarType]"), fits(torch.float32, "Optional[ScalarType]")
    (False, True)
    """
    if kind.startswith("Optional["):
        return value is None or fits(value, kind.removeprefix("Optional[").removesuffix("]"))
    if kind.startswith("List["):
        inner = kind.removeprefix("List[").removesuffix("]")
        if isinstance(value, list):
            return all(fits(item, inner) for item in value)
        return fits(value, inner) if inner == "int" else inner == "Tensor" and type(value) is Node
    if isinstance(value, bool) and kind in ("int", "float"):
        return False
    return isinstance(value, KINDS.get(kind, ()))


KINDS: dict[str, tuple[type, ...]] = {
    "Tensor": (Node, TensorAt, Input, int, float),
    "int": (Node, int),
    "float": (Node, int, float),
    "number": (Node, int, float),
    "bool": (bool,),
    "str": (str,),
    "ScalarType": (torch.dtype,),
    "Layout": (torch.layout,),
    "MemoryFormat": (torch.memory_format,),
    "Device": (Device,),
}
