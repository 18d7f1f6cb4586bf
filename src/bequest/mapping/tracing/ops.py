"""What a trace finds: the operations that use a network's tensors, in the order in which they run.

An operation is one use (a convolution, a normalisation, a lookup). Its pieces are the tensors, or
the rows of a tensor, that it uses, seen in one canonical layout whatever the layout in memory:
weights (out, in, *kernel), tables (rows, width), vectors (channels,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor

__all__ = ["MAIN", "WEIGHTS", "Op", "Shape", "TensorSlice", "Trace"]

Shape = tuple[int, ...]
WEIGHTS = frozenset({"linear", "conv"})  # a matrix, with a kernel or without
MAIN = frozenset({"linear", "conv", "norm"})  # what has an order; the rest has none


@final
@dataclass(frozen=True)
class TensorSlice:
    """A tensor, or some of its rows, in the canonical layout."""

    tensor: str  # name in the state dict
    shape: Shape  # canonical, of the piece
    start: int = 0  # the first of its rows, along the canonical axis 0
    transposed: bool = False  # stored as (in, out, ...)
    index: int | None = None  # of one matrix of several that are stacked along a first axis

    @property
    def bare(self) -> Shape:
        """Its shape without ones."""
        return tuple(size for size in self.shape if size != 1)

    def of(self, stored: Tensor) -> Tensor:
        """The piece as a view of the stored tensor, in the canonical shape.

        Examples
        --------
        >>> import torch
        >>> TensorSlice("w", (1, 3), start=1, transposed=True).of(torch.arange(6).reshape(3, 2))
        tensor([[1, 3, 5]])
        """
        if self.index is not None:
            stored = stored[self.index]
        view = stored.transpose(0, 1) if self.transposed else stored
        if view.shape == self.shape:
            return view
        if view.ndim and view.shape[1:] == self.shape[1:]:
            return view[self.start : self.start + self.shape[0]]
        return view.reshape(self.shape)


@final
@dataclass(frozen=True)
class Op:
    """One operation that uses tensors of the network."""

    kind: str  # linear, conv, norm, embedding, table (added or joined as it is) or other
    name: str  # path of the module, or of the tensor where no module holds it
    pieces: Mapping[str, TensorSlice]  # by role: weight, bias, mean, variance
    depth: int  # operations on the longest way from the input; those at one depth are parallel
    reads: frozenset[int]  # places of the operations whose results it reads
    order: int  # place in the order of execution, or of registration
    recurrent: bool = False  # reads what it, or an operation after it, gave one step before
    fed: bool = False  # reads the network's input itself
    stride: tuple[int, ...] = ()  # of a convolution that was seen running
    # Of an operation that reads nothing but the network's input: mean, size and extremes of what it
    # got, whatever the order of the values; empty where unknown.
    input_statistics: tuple[float, ...] = ()
    times: int = 1  # how often it was seen running

    @property
    def main(self) -> TensorSlice:
        """The piece that gives the operation its shape."""
        return next(iter(self.pieces.values()))

    @property
    def shape(self) -> Shape:
        """Of its main piece."""
        return self.main.shape


@final
@dataclass(frozen=True)
class Trace:
    """A network's tensors, and the operations that use them."""

    shapes: Mapping[str, Shape]  # of every tensor of the state dict
    ops: tuple[Op, ...]  # in order
    how: str  # what it was traced by, as a sentence's end: "run on the example"
    ran: bool  # depths and reads are those of a run; else of the order of registration
    same: Mapping[str, str] = field(default_factory=dict)  # shared names, to the first of them
    constants: frozenset[str] = frozenset()  # integers, booleans, what no operation uses
    last: frozenset[int] = frozenset()  # places of the operations that the output comes from
    heads: tuple[int, ...] = ()  # numbers of attention heads that the network's modules name
    example: Any = None  # the dummy input that it was run on
