"""From two networks to a map: the stages in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any, get_args

import torch
from torch import nn

from bequest.core import HasMembers, Model, Trains
from bequest.core.model import NO_SINGLE_NETWORK
from bequest.errors import MapError
from bequest.mapping.building.confidence import CONTRADICTED
from bequest.mapping.building.plan_builder import PlanBuilder
from bequest.mapping.building.rule_choice import NameHints
from bequest.mapping.conversions.experts import upcycled
from bequest.mapping.conversions.saved_names import converted, renamed
from bequest.mapping.conversions.shared_layers import refused, unshared
from bequest.mapping.disambiguation.decide import disambiguate
from bequest.mapping.disambiguation.exchanged_names import with_exchanged
from bequest.mapping.disambiguation.trial_runs import Ambiguous
from bequest.mapping.matching.by_name import by_name
from bequest.mapping.matching.by_structure import match
from bequest.mapping.matching.name_correspondences import named_links
from bequest.mapping.matching.repeated_blocks import Depth
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.plans.parametrised import is_computed, kept, plain
from bequest.mapping.sources.source import Source, source_of
from bequest.mapping.tracing.ops import Shape, Trace
from bequest.mapping.tracing.registration import named_ops
from bequest.mapping.tracing.running import named_tensors
from bequest.mapping.tracing.trace import trace, trace_both

__all__ = ["map_parameters"]


def map_parameters(
    source: Any,
    target: Any,
    *,
    example: Any = None,
    skip: str | Sequence[str] = (),
    classes: tuple[Sequence[Any], Sequence[Any]] | None = None,
    vocabulary: tuple[Mapping[str, int], Mapping[str, int]] | None = None,
    columns: tuple[Sequence[str], Sequence[str]] | None = None,
    depth: Depth = "even",
    prefix: str | None = None,
    plan: ParameterMap | None = None,
) -> ParameterMap:
    """Plan which parameters of `source` go where in `target`; neither is touched.

    Where most names agree, also after one common prefix and under the renamings that libraries are
    known for, each tensor goes to its namesake; else shapes, order and what reads what decide.
    Where both networks can be run, equal outputs are the judge of either.

    Parameters
    ----------
    source : torch.nn.Module, Model, path, or mapping of str to Tensor
        A path is that of a .safetensors file, of the index of several, or of a folder with either.
        A file, a mapping or a TorchScript module cannot be run: names and shapes decide, and
        trained weights that contradict the names lower the confidence. States of an optimiser,
        counters and what is no tensor are left out, and the map says so.
    target : torch.nn.Module or Model
        Any network, of the same architecture or another.
    example : tensor, tuple or mapping, optional
        What both take: ``module(x)``, ``module(*x)`` or ``module(**x)``. Both are run on it, to see
        what reads what, and to decide what shapes and names leave open. Without it a dummy input is
        derived from the first layer.
    skip : str or sequence of str
        Tensors or parts of the target (``"head"``) that keep their own values.
    classes : pair of sequences, optional
        The source's and the target's labels, in the order of the outputs. Models bring theirs.
    vocabulary : pair of mappings, optional
        The source's and the target's tokens, each to its row of the embedding.
    columns : pair of sequences of str, optional
        Names of the source's and the target's input columns.
    depth : {"even", "first", "last"}
        Where the target has more or fewer of a repeated block: which of the source's each gets.
        Blocks that "even" has to repeat start as ones that change nothing, where they can. Parts
        like ``head1``, whose name says nothing of depth, are blocks for "first" and "last" alone.
    prefix : str, optional
        The part of the source that is meant, where it holds several networks (``"teacher"``): the
        beginning of its names up to a dot, or the submodule. Empty: all of it is one network. By
        default it is the one part that has all of the target's names and shapes, else it is asked.
    plan : ParameterMap, optional
        A map read from text: it is bound to the two networks and compared with what would be
        planned, see `ParameterMap.discrepancies`.

    Returns
    -------
    ParameterMap

    Raises
    ------
    MapError
        A network does not run on the example, is lazy or quantised, or has adapters; `skip` or
        `prefix` names nothing; `depth` is none of the three; a checkpoint holds an adapter,
        several networks, or no network.
    ModelError
        The source is a file that is no sound safetensors file.
    UnsafeModel
        The source is a pickle or a TorchScript archive.

    References
    ----------
    Needleman and Wunsch, 1970 (alignment of two orders); Kuhn, 1955 (assignment). Each rule names
    its own.

    Examples
    --------
    >>> from torch import nn
    >>> small = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> wide = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> print(map_parameters(small, wide))
    target    shape  rule            source    confidence
    ────────  ─────  ──────────────  ────────  ──────────
    0.weight  16×4   repeat          0.weight  1.00
    0.bias    16     repeat          0.bias    1.00
    2.weight  3×16   repeat, shared  2.weight  1.00
    2.bias    3      copy            2.bias    1.00
    <BLANKLINE>
    100.0% of 131 parameters come from the source: 83 copied, 48 reshaped; 0 initialised.
    Both networks were run on a dummy input.
    Run on one input, both give the same (to ...).
    """
    if depth not in get_args(Depth):
        raise MapError(f"depth is 'even', 'first' or 'last', not {depth!r}.")
    origin, whole = _part(_network(source), prefix), _network(target)
    if not isinstance(whole, nn.Module):
        raise MapError(f"a target is a network, not a {type(target).__name__}.")
    network = whole
    if not _named_as_stored(origin, whole, prefix):
        network, origin = plain(whole), plain(origin) if isinstance(origin, nn.Module) else origin
    held = source_of(origin, _shapes(network), prefix)
    hints = NameHints(classes or _classes(source, target), columns, vocabulary)
    made = _planned(held, network, hints, skip, depth, example)
    if network is not whole:
        made = kept(made, whole)
    if plan is None:
        return made
    why = made.contradiction if plan.entries == made.entries else ""
    return replace(plan, source=held, target=whole, expected=made.entries, contradiction=why)


def _planned(
    source: Source, target: nn.Module, hints: NameHints, skip: str | Sequence[str], depth: Depth,
    example: Any,
) -> ParameterMap:  # fmt: skip
    """Tracing, matching, disambiguation, and the plan that they come to."""
    source_trace, target_trace = _traces(source, target, example)
    hints = replace(hints, image=any(op.kind == "conv" and op.fed for op in target_trace.ops))
    skipped = _skipped(skip, target_trace)
    saved = {} if source.module is not None else converted(target, source.shapes)
    wanted = {name: size for name, size in target_trace.shapes.items() if name not in skipped}
    pairs = by_name(source.shapes, wanted, target_trace.same, depth, renamed(saved))
    links = None
    if pairs is not None:
        links = named_links(pairs, source_trace, target_trace, source.shapes)
    fixed = unshared(source_trace, target_trace)
    fixed |= upcycled(source.shapes, target_trace.shapes) | saved
    fixed = {n: entry for n, entry in fixed.items() if pairs is None or n not in pairs.pairs}
    builder = PlanBuilder(source, source_trace, target_trace, hints, skipped, pairs, fixed)
    rematch = partial(match, source_trace, target_trace, depth)
    decided = disambiguate(
        Ambiguous(rematch, builder.entries, source, target, source_trace, target_trace, links),
        example,
    )
    made = builder.plan(decided, target)
    made = replace(made, notes=(*made.notes, *source.notes))
    return made if decided.equal else _compared_with_weights(made, source, target_trace)


def _traces(source: Source, target: nn.Module, example: Any) -> tuple[Trace, Trace]:
    if source.module is not None:
        return trace_both(source.module, target, example)
    ops, how = tuple(named_ops(source.shapes)), "read by names and shapes"
    return Trace(source.shapes, ops, how, False), trace(target, example)


def _compared_with_weights(made: ParameterMap, source: Source, target: Trace) -> ParameterMap:
    """Where no run confirmed a map: do the weights contradict the names, or the shared layers?"""
    entries, notes = with_exchanged(made.entries, source, target, CONTRADICTED)
    entries = refused(entries, source, target)
    why = "" if any(entry.problem for entry in entries) else made.contradiction
    notes = (*made.notes, *notes)
    return replace(made, entries=entries, expected=entries, notes=notes, contradiction=why)


def _named_as_stored(source: Any, target: nn.Module, prefix: str | None) -> bool:
    """Whether the parts of weights that torch computes can be mapped as they are stored.

    So it is where neither side has any, or all of the target's have namesakes.
    """
    shapes = _shapes(target)
    computed = [name for name in shapes if is_computed(name)]
    if not computed:
        return not isinstance(source, nn.Module) or not any(map(is_computed, _shapes(source)))
    try:
        held = source_of(source, shapes, prefix).shapes
        named = by_name(held, shapes)
    except MapError:
        return False
    pairs = {} if named is None else named.pairs
    return all(held.get(pairs.get(name, "")) == shapes[name] for name in computed)


def _shapes(network: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in named_tensors(network)[0].items()}


def _network(given: Any) -> Any:
    if isinstance(given, Trains):
        return _network(given.module)
    if isinstance(given, Model) and isinstance(given, HasMembers):
        raise MapError(NO_SINGLE_NETWORK)
    if isinstance(given, Model):
        raise MapError(
            f"{given.name or 'this model'} is no torch network: it has no parameters "
            "that could be mapped."
        )
    if isinstance(given, torch.jit.ScriptModule):
        return given.state_dict()  # its calls cannot be watched
    return given


def _part(network: Any, prefix: str | None) -> Any:
    """The submodule of this name; files and mappings are cut by their names when they are read."""
    if not prefix or not isinstance(network, nn.Module):
        return network
    parts = dict(network.named_modules())
    found = parts.get(prefix.rstrip("."))
    if found is None:
        close = get_close_matches(prefix, [name for name in parts if name], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise MapError(f"{type(network).__name__} has no part {prefix!r}.{hint}")
    return found


def _classes(source: Any, target: Any) -> tuple[Sequence[Any], Sequence[Any]] | None:
    classes = tuple(getattr(model, "classes", ()) for model in (source, target))
    both = isinstance(source, Model) and isinstance(target, Model)
    return (classes[0], classes[1]) if both and all(classes) else None


def _skipped(skip: str | Sequence[str], target: Trace) -> frozenset[str]:
    wanted = (skip,) if isinstance(skip, str) else tuple(skip)
    names = [*target.shapes, *target.same]
    found: set[str] = set()
    for part in wanted:
        inside = [name for name in names if name == part or name.startswith(f"{part}.")]
        if not inside:
            raise MapError(f"skip names {part!r}, and the target has no such part.")
        found.update(target.same.get(name, name) for name in inside)
    return frozenset(found)
