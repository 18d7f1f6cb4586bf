"""A network's operations, from a run on an example or from the order of registration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import MapError
from bequest.frameworks.torch.unchanged import evaluating
from bequest.mapping.tracing.dummy_inputs import dummy_inputs
from bequest.mapping.tracing.ops import Op, Shape, Trace
from bequest.mapping.tracing.randomise import randomise_constants
from bequest.mapping.tracing.registration import registered_ops
from bequest.mapping.tracing.running import (
    REFUSED,
    call,
    named_tensors,
    summary,
    watched_run,
    watched_tensors,
)
from bequest.mapping.tracing.torch_calls import each_tensor
from bequest.mapping.tracing.usage_tracer import UsageTracer

__all__ = ["trace", "trace_both"]

Seen = tuple[list[Op], frozenset[int]]  # a run's operations, and those that the output comes from
DUMMY_INPUT = "run on a dummy input"


def trace(module: nn.Module, example: Any = None) -> Trace:
    """Find the operations of a network, which is left as it is.

    Without an example a dummy input is derived from the first layer, and where the network does not
    run on that, the order of registration counts.

    Examples
    --------
    >>> [op.kind for op in trace(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))).ops]
    ['linear', 'norm']
    """
    tensors = named_tensors(module)[0]
    if example is not None:
        found = _run(module, tensors, example)
        if isinstance(found, str):
            raise MapError(f"{type(module).__name__} does not run on the example: {found}")
        return _described(module, *found, "run on the example")
    runs = list(_guessed(module, tensors, dummy_inputs(module)))
    if not runs:
        ops, how = registered_ops(module, tensors), "read in the order of registration"
        return replace(_described(module, ops, frozenset(), how), ran=False)
    guess, found = max(runs, key=lambda run: _used(run[1]))
    return _described(module, *found, DUMMY_INPUT, guess)


def trace_both(source: nn.Module, target: nn.Module, example: Any = None) -> tuple[Trace, Trace]:
    """Both networks, where no example is given on one dummy input that both take."""
    if example is not None:
        return _with_input_statistics(
            source, target, trace(source, example), trace(target, example), example
        )
    target_tensors, source_tensors = named_tensors(target)[0], named_tensors(source)[0]
    guesses = [
        guess for pair in zip_longest(dummy_inputs(target), dummy_inputs(source)) for guess in pair
    ]
    runs = [
        (guess, other, found)
        for guess, found in _guessed(target, target_tensors, guesses)
        for _, other in _guessed(source, source_tensors, [guess])
    ]
    if not runs:
        return trace(source), trace(target)
    guess, other, found = max(runs, key=lambda run: _used(run[1]) + _used(run[2]))
    traces = (
        _described(source, *other, DUMMY_INPUT, guess),
        _described(target, *found, DUMMY_INPUT, guess),
    )
    return _with_input_statistics(source, target, *traces, guess)


def _with_input_statistics(
    source: nn.Module, target: nn.Module, source_trace: Trace, target_trace: Trace, example: Any
) -> tuple[Trace, Trace]:
    """Both traces, with statistics of what the first operations read, where there are several."""
    given = randomise_constants(example)
    try:
        return _with_statistics(source, source_trace, given), _with_statistics(
            target, target_trace, given
        )
    except REFUSED:
        return source_trace, target_trace


def _with_statistics(module: nn.Module, trace: Trace, example: Any) -> Trace:
    if sum(not op.reads and op.fed for op in trace.ops) < 2:
        return trace
    first_inputs = watched_run(module, {}, example)[0].first_inputs
    ops = tuple(
        replace(op, input_statistics=tuple(summary(first_inputs[place]).tolist()))
        if place in first_inputs
        else op
        for place, op in enumerate(trace.ops)
    )
    return replace(trace, ops=ops)


def _guessed(
    module: nn.Module, tensors: Mapping[str, Tensor], guesses: Iterable[Any]
) -> Iterator[tuple[Any, Seen]]:
    """The inputs that a network runs on, with what was seen; ends once all tensors were used."""
    for guess in guesses:
        if guess is None:
            continue
        found = _run(module, tensors, guess)
        if isinstance(found, str):
            continue
        yield guess, found
        if _used(found) >= len(watched_tensors(module, tensors)):
            return


def _used(found: Seen) -> int:
    return len({p.tensor for op in found[0] for p in op.pieces.values()})


def _run(module: nn.Module, tensors: Mapping[str, Tensor], example: Any) -> Seen | str:
    """Watch a run on the meta device, else a real one; a line of text where neither works."""
    try:
        return _on_meta(module, tensors, example)
    except REFUSED:
        pass
    watched = watched_tensors(module, tensors)
    try:
        with evaluating(module), UsageTracer(watched) as watch:
            watch.feed(example)
            output = call(module, example)
        return watch.ops, watch.frontier(output)
    except REFUSED as error:
        return str(error).partition("\n")[0]


def _on_meta(module: nn.Module, tensors: Mapping[str, Tensor], example: Any) -> Seen:
    """Shapes show what reads what: nothing is computed, nothing of the module is touched."""
    meta = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    given = each_tensor(example, lambda tensor: tensor.to("meta"))
    watched = watched_tensors(module, tensors, meta)
    with evaluating(module), torch.device("meta"), UsageTracer(watched) as watch:
        watch.feed(given)
        output = call(module, given, meta)
    return watch.ops, watch.frontier(output)


def _described(
    module: nn.Module, ops: list[Op], last: frozenset[int], how: str, example: Any = None
) -> Trace:
    tensors, same = named_tensors(module)
    shapes: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    used = {piece.tensor for op in ops for piece in op.pieces.values()}
    parameters = {id(p) for p in module.parameters()}
    constants = frozenset(
        name
        for name, tensor in tensors.items()
        if id(tensor) not in parameters and (name not in used or not tensor.dtype.is_floating_point)
    )
    levelled = _recurrent_depths(ops)
    return Trace(shapes, levelled, how, True, same, constants, last, _heads(module), example)


def _recurrent_depths(ops: list[Op]) -> tuple[Op, ...]:
    """A product with the state has the depth of the product with the input beside it."""
    found = list(ops)
    for place, op in enumerate(ops):
        if not op.recurrent:
            continue
        near = [n for n in (place - 1, place + 1, place - 2, place + 2) if 0 <= n < len(ops)]
        alike = (False, op.kind, op.shape[0])
        fit = (s for s in map(ops.__getitem__, near) if (s.recurrent, s.kind, s.shape[0]) == alike)
        partner = next(fit, op)
        found[place] = replace(op, depth=partner.depth, reads=frozenset())
    return tuple(found)


def _heads(module: nn.Module) -> tuple[int, ...]:
    """Numbers of attention heads, as modules call them."""
    found = {
        value
        for part in module.modules()
        for key, value in vars(part).items()
        if "head" in key
        and not {"dim", "size", "width"} & set(key.split("_"))
        and isinstance(value, int)
        and not isinstance(value, bool)
        and value > 1
    }
    # Not by `getattr`: a configuration may raise where its layers have other numbers.
    config = getattr(getattr(module, "config", None), "__dict__", {})
    for key in ("num_attention_heads", "num_heads", "n_head", "num_key_value_heads"):
        value = config.get(key)
        if isinstance(value, int) and value > 1:
            found.add(value)
    return tuple(sorted(found))
