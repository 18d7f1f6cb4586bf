"""First stage: a network's sites, from a run on an example or from the order of registration."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from bequest.errors import MapError
from bequest.frameworks.unchanged import evaluating
from bequest.mapping.tracing.dummy_inputs import made_up
from bequest.mapping.tracing.ops import Shape, Site, Trace
from bequest.mapping.tracing.randomise import generic_inputs
from bequest.mapping.tracing.registration import registered_sites
from bequest.mapping.tracing.torch_calls import each_tensor, tensors_in
from bequest.mapping.tracing.usage_tracer import Watch

__all__ = [
    "STATISTICS", "call", "named_tensors", "summary", "trace", "trace_both", "watched_run",
    "watched_tensors",
]  # fmt: skip

Seen = tuple[list[Site], frozenset[int]]  # a run's sites, and those that the output comes from
MADE_UP = "run on a made-up input"
STATISTICS = ("running_mean", "running_var")
REFUSED = (
    RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError,
    ArithmeticError,
)  # fmt: skip


def trace(module: nn.Module, example: Any = None) -> Trace:
    """Find the sites of a network, which is left as it is.

    Without an example an input is made up from the first layer, and where the network does not run
    on that, the order of registration counts.

    Examples
    --------
    >>> [site.kind for site in trace(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))).sites]
    ['linear', 'norm']
    """
    tensors = named_tensors(module)[0]
    if example is not None:
        found = _run(module, tensors, example)
        if isinstance(found, str):
            raise MapError(f"{type(module).__name__} does not run on the example: {found}")
        return _described(module, *found, "run on the example")
    runs = list(_guessed(module, tensors, made_up(module)))
    if not runs:
        sites, how = registered_sites(module, tensors), "read in the order of registration"
        return replace(_described(module, sites, frozenset(), how), ran=False)
    guess, found = max(runs, key=lambda run: _used(run[1]))
    return _described(module, *found, MADE_UP, guess)


def trace_both(source: nn.Module, target: nn.Module, example: Any = None) -> tuple[Trace, Trace]:
    """Both networks, where no example is given on one made-up input that both take."""
    if example is not None:
        return _tasted(source, target, trace(source, example), trace(target, example), example)
    ours, theirs = named_tensors(target)[0], named_tensors(source)[0]
    guesses = [guess for pair in zip_longest(made_up(target), made_up(source)) for guess in pair]
    runs = [
        (guess, other, found)
        for guess, found in _guessed(target, ours, guesses)
        for _, other in _guessed(source, theirs, [guess])
    ]
    if not runs:
        return trace(source), trace(target)
    guess, other, found = max(runs, key=lambda run: _used(run[1]) + _used(run[2]))
    traces = _described(source, *other, MADE_UP, guess), _described(target, *found, MADE_UP, guess)
    return _tasted(source, target, *traces, guess)


def _tasted(
    source: nn.Module, target: nn.Module, theirs: Trace, ours: Trace, example: Any
) -> tuple[Trace, Trace]:
    """Both traces, with what the first sites eat, where there are several to tell apart."""
    given = generic_inputs(example)
    try:
        return _eating(source, theirs, given), _eating(target, ours, given)
    except REFUSED:
        return theirs, ours


def _eating(module: nn.Module, trace: Trace, example: Any) -> Trace:
    if sum(not site.reads and site.fed for site in trace.sites) < 2:
        return trace
    eaten = watched_run(module, {}, example)[0].eaten
    sites = tuple(
        replace(site, eats=tuple(summary(eaten[place]).tolist())) if place in eaten else site
        for place, site in enumerate(trace.sites)
    )
    return replace(trace, sites=sites)


def watched_run(
    module: nn.Module, tensors: Mapping[str, Tensor], example: Any
) -> tuple[Watch, list[Tensor]]:
    """What each site gives and the output, of a run with these tensors in place of its own."""
    own, _ = named_tensors(module)
    held = {**own, **tensors}
    watch = Watch(watched_tensors(module, own, held), keep=True)
    with evaluating(module), watch:
        watch.feed(example)
        result = call(module, example, held if tensors else None)
    return watch, [tensor for tensor in tensors_in(result) if tensor.is_floating_point()]


def summary(values: Tensor) -> Tensor:
    """Mean, size and extremes: the same for the same numbers in any order."""
    flat = values.double().flatten()
    if not flat.numel():
        return torch.zeros(5, dtype=torch.float64)
    return torch.stack(
        [flat.mean(), (flat**2).mean().sqrt(), flat.abs().max(), flat.max(), flat.min()]
    )


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
    return len({p.tensor for site in found[0] for p in site.pieces.values()})


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
        # torch swaps a layer that stands in two places twice, and then does not put it back
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


def _run(module: nn.Module, tensors: Mapping[str, Tensor], example: Any) -> Seen | str:
    """Watch a run without numbers, else a real one; a line of text where neither works."""
    try:
        return _on_meta(module, tensors, example)
    except REFUSED:
        pass
    watched = watched_tensors(module, tensors)
    try:
        with evaluating(module), Watch(watched) as watch:
            watch.feed(example)
            output = call(module, example)
        return watch.sites, watch.frontier(output)
    except REFUSED as error:
        return str(error).partition("\n")[0]


def watched_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """What is learned: parameters and running statistics; constants come from the code.

    `held` are the tensors that stand in their places in the run that is watched.
    """
    parameters = {id(p) for p in module.parameters()}
    return {
        name: (held or tensors)[name]
        for name, tensor in tensors.items()
        if id(tensor) in parameters or _learned(name, tensor)
    }


def _learned(name: str, buffer: Tensor) -> bool:
    """Running statistics, and other buffers of finite real numbers that are not all the same."""
    if name.rpartition(".")[2] in STATISTICS:
        return True
    if not buffer.is_floating_point() or buffer.is_meta or buffer.numel() < 2:
        return False
    low, high = torch.aminmax(buffer)
    return bool(torch.isfinite(low) and torch.isfinite(high) and low != high)


def _on_meta(module: nn.Module, tensors: Mapping[str, Tensor], example: Any) -> Seen:
    """Shapes tell who reads what: nothing is computed, nothing of the module is touched."""
    meta = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    given = each_tensor(example, lambda tensor: tensor.to("meta"))
    watched = watched_tensors(module, tensors, meta)
    with evaluating(module), torch.device("meta"), Watch(watched) as watch:
        watch.feed(given)
        output = call(module, given, meta)
    return watch.sites, watch.frontier(output)


def _described(
    module: nn.Module, sites: list[Site], last: frozenset[int], how: str, example: Any = None
) -> Trace:
    tensors, same = named_tensors(module)
    shapes: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    used = {piece.tensor for site in sites for piece in site.pieces.values()}
    parameters = {id(p) for p in module.parameters()}
    constants = frozenset(
        name
        for name, tensor in tensors.items()
        if id(tensor) not in parameters and (name not in used or not tensor.dtype.is_floating_point)
    )
    settled = _recurrent_depths(sites)
    return Trace(shapes, settled, how, True, same, constants, last, _heads(module), example)


def _recurrent_depths(sites: list[Site]) -> tuple[Site, ...]:
    """A product with the state stands where the product with the input beside it does."""
    found = list(sites)
    for place, site in enumerate(sites):
        if not site.recurrent:
            continue
        near = [n for n in (place - 1, place + 1, place - 2, place + 2) if 0 <= n < len(sites)]
        alike = (False, site.kind, site.shape[0])
        fit = (
            s for s in map(sites.__getitem__, near) if (s.recurrent, s.kind, s.shape[0]) == alike
        )
        beside = next(fit, site)
        found[place] = replace(site, depth=beside.depth, reads=frozenset())
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
