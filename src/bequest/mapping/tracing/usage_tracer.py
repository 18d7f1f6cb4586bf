"""Watching a network run: which call uses which of its tensors, and reads what.

Every call of torch's functions passes here, so that modules of any class, and tensors that are in
no layer of torch's, are seen alike: what counts is the call, not who makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from bequest.mapping.tracing import torch_calls
from bequest.mapping.tracing.ops import MAIN, Op, TensorSlice

__all__ = ["UsageTracer"]

Frontier = frozenset[int]


@final
@dataclass(frozen=True)
class _Value:
    """What an activation is computed from: which operations, and whether the network's input.

    `alone` marks what a single operation just gave, untouched: a bias may still be added to it.
    """

    frontier: Frontier
    fed: bool
    alone: int | None = None


@final
class UsageTracer(TorchFunctionMode):
    """Records an operation for every call that uses a tensor of the network.

    `tensors` are its parameters and buffers by name, of those that are shared under one. With
    `keep`, what each operation gave is in `results`, and what those read that read nothing but the
    network's input in `first_inputs`.
    """

    def __init__(self, tensors: Mapping[str, Tensor], *, keep: bool = False) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self.results: dict[int, Tensor] = {}
        self.first_inputs: dict[int, Tensor] = {}
        self._keep = keep
        self._known: dict[tuple[str, ...], int] = {}
        self._pieces = WeakTensorKeyDictionary()  # tensors of the network and views of them
        self._values = WeakTensorKeyDictionary()  # activations
        self._wholes = {name: TensorSlice(name, tuple(t.shape)) for name, t in tensors.items()}
        for name, tensor in tensors.items():
            self._pieces[tensor] = (self._wholes[name],)

    def feed(self, example: Any) -> None:
        """Mark the tensors of the network's input."""
        for tensor in torch_calls.tensors_in(example):
            self._values[tensor] = _Value(frozenset(), True)

    def frontier(self, output: Any) -> Frontier:
        """The operations that an output comes from."""
        found = [self._value(tensor).frontier for tensor in torch_calls.tensors_in(output)]
        return found[0] if found else frozenset()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the call, then note what it used."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        inputs = list(torch_calls.tensors_in((args, kwargs)))
        if not inputs:
            return result
        used = [t for t in inputs if t in self._pieces]
        name = torch_calls.name_of(func)
        if used:
            self._use(name, used, inputs, args, kwargs, result)
        else:
            self._pass(name, inputs, args, result)
        return result

    def _value(self, tensor: Any) -> _Value:
        known = tensor in self._values
        found: _Value = self._values[tensor] if known else _Value(frozenset(), False)
        return found

    def _of(self, tensor: Any) -> tuple[TensorSlice, ...]:
        """The pieces that a tensor is made of; none where it is no tensor of the network."""
        known = isinstance(tensor, Tensor) and tensor in self._pieces
        return tuple(self._pieces[tensor]) if known else ()

    def _joined(self, tensors: list[Tensor]) -> _Value:
        values = [self._value(tensor) for tensor in tensors]
        frontier = frozenset().union(*(value.frontier for value in values))
        return _Value(frontier, any(value.fed for value in values))

    def _pass(self, name: str, inputs: list[Tensor], args: Any, result: Any) -> None:
        """A call on activations only: its results come from where they come from."""
        value = self._joined(inputs)
        if name in torch_calls.SAME | torch_calls.RESHAPED:
            value = self._value(inputs[0])
        for tensor in torch_calls.tensors_in(result):
            self._values[tensor] = value
        if name in ("__setitem__", "copy_") and isinstance(args[0], Tensor):
            self._values[args[0]] = value

    def _use(
        self, name: str, used: list[Tensor], inputs: list[Tensor], args: Any, kwargs: Any, out: Any
    ) -> None:
        """A call on tensors of the network: a view of them, or an operation."""
        others = [tensor for tensor in inputs if tensor not in self._pieces]
        value = self._joined(others)
        constant = not value.fed and not value.frontier
        # A product with a constant: the first step of a recurrence, whose state starts at zero
        first = name in torch_calls.RECURRENT | torch_calls.CELLS or name in ("linear", "addmm")
        if constant and not first:
            self._derive(name, used, args, kwargs, out)
            return
        before = len(self.ops)
        frontier = self._op(name, used, value, args, kwargs, out)
        if self._keep and others and not value.frontier and len(self.ops) == before + 1:
            self.first_inputs[before] = others[0].detach().clone()
        single = len(frontier) == 1 and frontier != value.frontier
        alone = next(iter(frontier)) if single else None
        for tensor in torch_calls.tensors_in(out):
            self._values[tensor] = _Value(frontier, value.fed, alone)

    def _derive(self, name: str, used: list[Tensor], args: Any, kwargs: Any, out: Any) -> None:
        """Views keep track of their piece; what is computed from several keeps all of them."""
        pieces = self._pieces[used[0]]
        results = list(torch_calls.tensors_in(out))
        if len(used) == 1 and len(pieces) == 1 and name in torch_calls.PARTS:
            self._cut(pieces[0], name, args, results)
            return
        if len(used) > 1:
            pieces = tuple(dict.fromkeys(p for tensor in used for p in self._pieces[tensor]))
        elif (
            len(pieces) == 1 and name in torch_calls.TURNED and used[0].ndim == 2 == results[0].ndim
        ):
            shape = pieces[0].shape
            turned = (shape[1], shape[0], *shape[2:])
            pieces = (replace(pieces[0], transposed=not pieces[0].transposed, shape=turned),)
        for tensor in results:
            self._pieces[tensor] = pieces

    def _cut(self, piece: TensorSlice, name: str, args: Any, results: list[Tensor]) -> None:
        """Rows of a piece; a cut along another axis keeps the whole of it."""
        along = args[0].shape[1:] if results and results[0].ndim == args[0].ndim else None
        start = piece.start
        if name == "__getitem__":
            first = args[1][0] if isinstance(args[1], tuple) and args[1] else args[1]
            if isinstance(first, slice) and isinstance(first.start, int) and first.start > 0:
                start += first.start
            elif isinstance(first, int | Tensor) or first is None:
                along = None
        elif name == "narrow":
            start += args[2] if args[1] == 0 else 0
        for tensor in results:
            rows = along is not None and tensor.shape[1:] == along and tensor.ndim > 0
            if rows and args[0].shape == piece.shape:
                self._pieces[tensor] = (replace(piece, shape=tuple(tensor.shape), start=start),)
                start += tensor.shape[0] if name != "__getitem__" else 0
            else:
                self._pieces[tensor] = (piece,)

    def _op(
        self, name: str, used: list[Tensor], value: _Value, args: Any, kwargs: Any, out: Any
    ) -> Frontier:
        """Note the operations of one call; give what its result comes from."""
        if name == "multi_head_attention_forward":
            frontier = self._attention(args, kwargs, value)
            self._save(next(iter(frontier)), out)
            return frontier
        if name in torch_calls.RECURRENT:
            return self._recurrence(args, value)
        if name in torch_calls.CELLS:
            return frozenset(self._cell(args[2:], value, self._value(args[0]).frontier))
        roles = self._roles(name, used, args, kwargs)
        stride = torch_calls.stride_of(args, kwargs) if name in torch_calls.CONVS else ()
        if name in torch_calls.ADD and (place := self._absorbed(used, args)) is not None:
            self.results.pop(place, None)
            self._save(place, out)
            return value.frontier
        kind = torch_calls.kind_of(name, roles)
        if kind in ("table", "embedding"):  # a lookup of the first rows uses the whole table
            roles = {role: self._wholes[piece.tensor] for role, piece in roles.items()}
        place = self._note(kind, roles, value, stride=stride)
        self._save(place, out)
        return frozenset({place}) if kind in MAIN or kind == "embedding" else value.frontier

    def _save(self, place: int, out: Any) -> None:
        """A copy: what comes after may change it in place. Of several runs the first."""
        if self._keep and place not in self.results:
            self.results[place] = next(iter(torch_calls.tensors_in(out))).detach().clone()

    def _note(
        self,
        kind: str,
        pieces: Mapping[str, TensorSlice],
        value: _Value,
        *,
        recurrent: bool = False,
        stride: tuple[int, ...] = (),
    ) -> int:
        """Add an operation, or find the one that used the same pieces before."""
        key = (kind, *(f"{p.tensor}:{p.start}:{p.shape}" for p in pieces.values()))
        if key in self._known:
            place = self._known[key]
            seen = replace(self.ops[place], times=self.ops[place].times + 1)
            if any(later >= place for later in value.frontier) or recurrent:
                seen = replace(seen, recurrent=not seen.reads)
            self.ops[place] = seen
            return place
        depth = max((self.ops[n].depth for n in value.frontier), default=0)
        place = len(self.ops)
        self._known[key] = place
        first = torch_calls.first_tensor(pieces)
        self.ops.append(
            Op(
                kind,
                first.rpartition(".")[0] or first,
                dict(pieces),
                depth + (kind in MAIN or kind == "embedding"),
                value.frontier,
                place,
                recurrent,
                value.fed and not value.frontier,
                stride,
            )
        )
        return place

    def _roles(
        self, name: str, used: list[Tensor], args: Any, kwargs: Any
    ) -> dict[str, TensorSlice]:
        """The pieces of a call by role, in the canonical layout."""
        if name in ("linear", *torch_calls.CONVS, *torch_calls.TURNED_CONVS):
            weight = torch_calls.argument(args, kwargs, 1, "weight")
            bias = torch_calls.argument(args, kwargs, 2, "bias")
            return self._pair(weight, bias, turn=name in torch_calls.TURNED_CONVS)
        if name == "addmm":
            return self._pair(args[2], args[0], turn=True)
        if name in torch_calls.PRODUCT:
            second = len(args) > 1 and args[1] in self._pieces
            return self._pair(args[1] if second else args[0], None, turn=second)
        if name in torch_calls.NORMS:
            return self._norm(name, args, kwargs)
        if name in torch_calls.MUL | torch_calls.ADD:
            vector = self._pieces[used[0]]
            if len(vector) == 1 and used[0].numel() == max(used[0].shape, default=0):
                role = "bias" if name in torch_calls.ADD else "weight"
                return {role: replace(vector[0], shape=(used[0].numel(),))}
        return self._all(used)

    def _all(self, used: list[Tensor]) -> dict[str, TensorSlice]:
        pieces = dict.fromkeys(p for tensor in used for p in self._pieces[tensor])
        if len(pieces) == 1:
            return {"weight": next(iter(pieces))}
        return {f"weight.{n}": piece for n, piece in enumerate(pieces)}

    def _pair(self, weight: Any, bias: Any, *, turn: bool = False) -> dict[str, TensorSlice]:
        pieces = self._of(weight)
        roles: dict[str, TensorSlice] = {}
        if len(pieces) == 1:
            piece = pieces[0]
            if len(piece.shape) == 1:  # a product with a vector gives one number
                piece, turn = replace(piece, shape=(1, *piece.shape)), False
            if turn:
                shape = (piece.shape[1], piece.shape[0], *piece.shape[2:])
                piece = replace(piece, transposed=not piece.transposed, shape=shape)
            roles["weight"] = piece
        else:
            roles |= {f"weight.{n}": piece for n, piece in enumerate(pieces)}
        for piece in self._of(bias):
            roles["bias"] = piece
        return roles

    def _norm(self, name: str, args: Any, kwargs: Any) -> dict[str, TensorSlice]:
        measured = name in ("batch_norm", "instance_norm")
        kept = ("running_mean", "running_var") if measured else ("shape",)
        names = ("input", *kept, "weight", "bias")
        given = dict(zip(names, args, strict=False)) | kwargs
        found = {}
        for key, role in torch_calls.NORM_ROLES.items():
            tensor = given.get(key)
            if isinstance(tensor, Tensor) and tensor in self._pieces:
                found[role] = self._pieces[tensor][0]
        return found

    def _absorbed(self, used: list[Tensor], args: Any) -> int | None:
        """The operation that just gave what a vector is added to: the vector is its bias."""
        places = [self._value(t).alone for t in args if isinstance(t, Tensor)]
        place = next((n for n in places if n is not None), None)
        pieces = self._pieces[used[0]]
        if place is None or len(used) != 1 or len(pieces) != 1:
            return None
        op = self.ops[place]
        vector = replace(pieces[0], shape=(used[0].numel(),))
        fits = op.kind in MAIN and op.shape[0] == used[0].numel() == max(used[0].shape)
        if op.pieces.get("bias") == vector:
            return place
        if not fits or "bias" in op.pieces:
            return None
        self.ops[place] = replace(op, pieces={**op.pieces, "bias": vector})
        return place

    def _attention(self, args: Any, kwargs: Any, value: _Value) -> Frontier:
        """torch's attention: three products side by side, and one after them."""
        names = (
            "query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight",
            "in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight",
            "out_proj_bias",
        )  # fmt: skip
        given = dict(zip(names, args, strict=False)) | kwargs
        width = given["embed_dim_to_check"]
        places = set()
        for n, (projection, reader) in enumerate(
            zip("qkv", ("query", "key", "value"), strict=True)
        ):
            roles = {}
            if given["in_proj_weight"] is not None:
                whole = self._pieces[given["in_proj_weight"]][0]
                roles["weight"] = replace(whole, shape=(width, whole.shape[1]), start=n * width)
            else:
                roles["weight"] = self._pieces[given[f"{projection}_proj_weight"]][0]
            if given["in_proj_bias"] is not None:
                bias = self._pieces[given["in_proj_bias"]][0]
                roles["bias"] = replace(bias, shape=(width,), start=n * width)
            read = self._value(given[reader])
            place = self._note("linear", roles, read)
            if not self.ops[place].name.endswith(f".{projection}"):
                name = f"{self.ops[place].name}.{projection}"
                self.ops[place] = replace(self.ops[place], name=name)
            places.add(place)
        joined = _Value(frozenset(places), value.fed)
        out = self._pair(given["out_proj_weight"], given["out_proj_bias"])
        return frozenset({self._note("linear", out, joined)})

    def _recurrence(self, args: Any, value: _Value) -> Frontier:
        """torch's LSTM, GRU and RNN: two products a layer and direction."""
        packed = isinstance(args[3], list | tuple)
        weights = args[3] if packed else args[2]
        biases, layers = args[4 if packed else 3], args[5 if packed else 4]
        both = args[8 if packed else 7]
        per = 4 if biases else 2
        if len(weights) % (layers * (1 + both)) == 0:
            per = len(weights) // (layers * (1 + both))
        frontier = value.frontier
        for layer in range(layers):
            found: set[int] = set()
            for way in range(1 + both):
                start = (layer * (1 + both) + way) * per
                group = weights[start : start + per]
                found |= self._cell(group, replace(value, frontier=frontier), frontier)
            frontier = frozenset(found)
        return frontier

    def _cell(self, tensors: Any, value: _Value, reads: Frontier) -> set[int]:
        """One layer's product with its input, and the one with its state."""
        read = _Value(reads, value.fed)
        inner = self._pair(tensors[0], tensors[2] if len(tensors) > 2 else None)
        outer = self._pair(tensors[1], tensors[3] if len(tensors) > 3 else None)
        first = self._note("linear", inner, read)
        second = self._note("linear", outer, read, recurrent=True)
        self.ops[first] = replace(self.ops[first], name=torch_calls.first_tensor(inner))
        self.ops[second] = replace(
            self.ops[second],
            name=torch_calls.first_tensor(outer),
            reads=frozenset(),
            recurrent=True,
        )
        return {first, second}
