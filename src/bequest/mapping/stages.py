"""From two networks to a map: the four stages in order."""

from __future__ import annotations

import math
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
from bequest.mapping.building.rule_choice import Known, axes_of, resolve
from bequest.mapping.building.sizes import Sizes
from bequest.mapping.disambiguation.exchanged_names import doubted
from bequest.mapping.disambiguation.search import Open, Settled, settle
from bequest.mapping.matching.by_name import Contradictions, Named, by_name
from bequest.mapping.matching.by_structure import match
from bequest.mapping.matching.correspondence import Link
from bequest.mapping.matching.experts import upcycled
from bequest.mapping.matching.name_correspondences import named_links, new_parts, uses_of
from bequest.mapping.matching.repeated_blocks import Depth
from bequest.mapping.matching.saved_names import converted, renamed
from bequest.mapping.matching.shared_layers import refused, unshared
from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.plans.parametrised import is_computed, kept, plain
from bequest.mapping.rules.layout import Zero
from bequest.mapping.rules.still import Eye, One
from bequest.mapping.rules.width import Repeat, RepeatParts, Share
from bequest.mapping.rules.woven import Woven
from bequest.mapping.sources.source import Source, source_of
from bequest.mapping.tracing.names import words
from bequest.mapping.tracing.ops import MAIN, Piece, Shape, Site, Trace
from bequest.mapping.tracing.registration import is_in_order, named_sites
from bequest.mapping.tracing.trace import named_tensors, trace, trace_both

__all__ = ["map_parameters"]

# The most that is sure where names do not decide and a network was not seen running: the shares of
# tensors that are right between the pairs of networks in the tests, of a state dict and of a file
# whose names are sorted (benchmarks/results/map_confidence.json).
ORDERED = 0.7
SORTED = 0.45
MISFIT = 0.1  # of layers in other sizes than the rest, and of what a source is said not to have
CONTRADICTED = 0.05  # the most that is sure where the names say otherwise
UNLIKE = 0.3  # of a layer that was run and does not give what its namesake gives
GROWING = Repeat, RepeatParts, Share, Zero, One, Eye


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
        trained weights that contradict the names are doubted. States of an optimiser, counters and
        what is no tensor are left out, and the map says so.
    target : torch.nn.Module or Model
        Any network, of the same architecture or another.
    example : tensor, tuple or mapping, optional
        What both take: ``module(x)``, ``module(*x)`` or ``module(**x)``. Both are run on it, to see
        what reads what, and to settle what shapes and names leave open. Without it an input is made
        up from the first layer.
    skip : str or sequence of str
        Tensors or parts of the target (``"head"``) that keep their own numbers.
    classes : pair of sequences, optional
        The source's and the target's labels, in the order of the outputs. Models bring theirs.
    vocabulary : pair of mappings, optional
        The source's and the target's tokens, each to its row of the embedding.
    columns : pair of sequences of str, optional
        Names of the source's and the target's input columns.
    depth : {"even", "first", "last"}
        Where the target has more or fewer of a repeated block: which of the source's each gets.
        Blocks that "even" has to repeat start as ones that change nothing, where they can.
    prefix : str, optional
        The part of the source that is meant, where it holds several networks (``"teacher"``): the
        beginning of its names up to a dot, or the submodule. Empty: all of it is one network. By
        default it is the one part that has all of the target's names and shapes, else it is asked.
    plan : ParameterMap, optional
        A map read from text: it is bound to the two networks and held against what would be
        planned, see `ParameterMap.doubts`.

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
    target    shape  rule            source    sure
    ────────  ─────  ──────────────  ────────  ────
    0.weight  16×4   repeat          0.weight  1.00
    0.bias    16     repeat          0.bias    1.00
    2.weight  3×16   repeat, shared  2.weight  1.00
    2.bias    3      copy            2.bias    1.00
    <BLANKLINE>
    100.0% of 131 parameters come from the source: 83 copied, 48 reshaped; 0 initialised.
    Both networks were run on a made-up input.
    Run on one input, both give the same (to ...).
    """
    if depth not in get_args(Depth):
        raise MapError(f"depth is 'even', 'first' or 'last', not {depth!r}.")
    giver, wanted = _part(_network(source), prefix), _network(target)
    if not isinstance(wanted, nn.Module):
        raise MapError(f"a target is a network, not a {type(target).__name__}.")
    as_stored = _named_as_stored(giver, wanted, prefix)
    taker = wanted if as_stored else plain(wanted)
    if isinstance(giver, nn.Module) and not as_stored:
        giver = plain(giver)
    known = Known(classes or _classes(source, target), columns, vocabulary)
    held = source_of(giver, _shapes(taker), prefix)
    if isinstance(giver, nn.Module):
        theirs, ours = trace_both(giver, taker, example)
    else:
        sites, how = tuple(named_sites(held.shapes)), "read by names and shapes"
        theirs, ours = Trace(held.shapes, sites, how, False), trace(taker, example)
    known = replace(known, image=any(s.kind == "conv" and s.fed for s in ours.sites))
    skipped = _skipped(skip, ours)
    wanted_shapes = {name: size for name, size in ours.shapes.items() if name not in skipped}
    saved = {} if held.module is not None else converted(taker, held.shapes)
    named = by_name(held.shapes, wanted_shapes, ours.same, depth, renamed(saved))
    links = None if named is None else named_links(named, theirs, ours, held.shapes)
    build = _Builder(held, theirs, ours, known, skipped, named)
    fixed = unshared(theirs, ours) | upcycled(held.shapes, ours.shapes) | saved
    build.fixed = {
        name: entry for name, entry in fixed.items() if named is None or name not in named.pairs
    }
    rematch = partial(match, theirs, ours, depth)
    opened = Open(rematch, build.entries, held, taker, theirs, ours, links)
    settled = settle(opened, example)
    made = build.plan(settled, taker)
    made = replace(made, notes=(*made.notes, *held.notes))
    if not settled.equal:
        entries, notes = doubted(made.entries, held, ours, CONTRADICTED)
        made = replace(made, entries=entries, opinion=entries, notes=(*made.notes, *notes))
        entries = refused(made.entries, held, ours)
        why = "" if any(entry.problem for entry in entries) else made.contradiction
        made = replace(made, entries=entries, opinion=entries, contradiction=why)
    if taker is not wanted:
        made = kept(made, wanted)
    if plan is None:
        return made
    why = made.contradiction if plan.entries == made.entries else ""
    return replace(plan, source=held, target=wanted, opinion=made.entries, contradiction=why)


def _named_as_stored(giver: Any, wanted: nn.Module, prefix: str | None) -> bool:
    """Whether the parts of weights that torch computes need not be told from what they come to.

    So it is where neither side has any, or all of the target's have namesakes.
    """
    shapes = _shapes(wanted)
    computed = [name for name in shapes if is_computed(name)]
    if not computed:
        return not isinstance(giver, nn.Module) or not any(map(is_computed, _shapes(giver)))
    try:
        theirs = source_of(giver, shapes, prefix).shapes
        named = by_name(theirs, shapes)
    except MapError:
        return False
    pairs = {} if named is None else named.pairs
    return all(theirs.get(pairs.get(name, "")) == shapes[name] for name in computed)


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
    ours, theirs = getattr(target, "classes", ()), getattr(source, "classes", ())
    both = isinstance(source, Model) and isinstance(target, Model)
    return (theirs, ours) if both and ours and theirs else None


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


class _Builder:
    """Entries from links."""

    def __init__(
        self, source: Source, theirs: Trace, ours: Trace, known: Known, skipped: frozenset[str],
        named: Named | None,
    ) -> None:  # fmt: skip
        self.source, self.theirs, self.ours = source, theirs, ours
        self.known, self.skipped, self.named = known, skipped, named
        self.fixed: dict[str, Entry] = {}  # what was found before the matching, by tensor
        self._heads = _heads(ours), _heads(theirs)
        self._fed = _fed(ours), _fed(theirs)
        self._contradictions = Contradictions(source.shapes, ours.shapes)
        self._most = _most_sure(source, theirs, ours)
        self._sizes = Sizes(())
        self._spare: set[Shape] = set()  # of the source's tensors that go nowhere
        self._sites = {name: uses[0] for name, uses in uses_of(ours).items()}

    def plan(self, settled: Settled, target: nn.Module) -> ParameterMap:
        """The whole map."""
        entries = tuple(_judged(entry, settled) for entry in self.entries(settled.links))
        used = {name for entry in entries for name in entry.sources}
        unused = tuple(
            name
            for name in self.source.shapes
            if self.theirs.same.get(name, name) not in used
            and name not in used
            and name not in self.theirs.constants
        )
        how = f"The target was {self.ours.how}, the source {self.theirs.how}."
        if self.ours.how == self.theirs.how:
            how = f"Both networks were {self.ours.how}."
        names = (self.named.note,) if self.named is not None and settled.named else ()
        return ParameterMap(
            entries, unused, (*names, how, *settled.notes), self._body(entries), self.source,
            target, entries, self._contradiction(entries, settled, target),
        )  # fmt: skip

    def _contradiction(self, entries: Sequence[Entry], settled: Settled, target: nn.Module) -> str:
        """Why the two, which ought to be one function, are not; empty where all is well."""
        rules = [rule for entry in entries for move in entry.moves for rule in move.rules]
        grown = bool(rules) and all(isinstance(rule, GROWING) for rule in rules)
        if grown and not settled.equal:
            found = self._uneven(entries) or self._perhaps_fused(entries)
            if found:
                return found
        if not settled.differ or type(self.source.module) is not type(target):
            return ""
        called = type(target).__name__
        if grown:
            return f"a wider {called} ought to start as the source's function, and does not."
        filled = {e.target: e.shape for e in entries if e.initialised == 0}
        if rules or {*self.source.shapes} != {entry.target for entry in entries}:
            return ""
        if any(self.source.shapes[name] != shape for name, shape in filled.items()):
            return ""
        before = f" up to {settled.unlike!r}" if settled.unlike else ""
        return (
            f"both are {called} and every parameter{before} is the source's, but run on one input "
            "they do not give the same: the two have other settings, or the names lie."
        )

    def _uneven(self, entries: Sequence[Entry]) -> str:
        """A normalisation over features of which some are repeated more often than others."""
        norms = {
            site.pieces["weight"].tensor
            for site in self.ours.sites
            if site.kind == "norm" and "weight" in site.pieces and "mean" not in site.pieces
        }
        for entry in entries:
            for move in entry.moves if entry.target in norms else ():
                many, few = math.prod(move.put.shape), math.prod(move.taken.shape)
                if few and many % few:
                    return (
                        f"{entry.target} normalises {many} features where the source has {few}: "
                        "the network is another function, unless the width is a whole multiple."
                    )
        return ""

    def _perhaps_fused(self, entries: Sequence[Entry]) -> str:
        """A wider matrix that may hold q, k and v, in an order that no name tells."""
        for entry in entries:
            for move in entry.moves:
                shapes = move.put.shape, move.taken.shape
                thrice = all(len(shape) == 2 and shape[0] == 3 * shape[1] for shape in shapes)
                told = any(isinstance(rule, RepeatParts) for rule in move.rules)
                if shapes[0] != shapes[1] and thrice and not (told and _in_order(entry.target)):
                    return (
                        f"{entry.target} may hold queries, keys and values, and no name tells in "
                        "which order: run both on an input: map_parameters(..., example=x)."
                    )
        return ""

    def _body(self, entries: Sequence[Entry]) -> frozenset[str]:
        """All tensors but the head's, and where names decided but those of new parts behind it."""
        heads = {
            piece.tensor
            for site in self.ours.sites
            if site.order in self._heads[0]
            for piece in site.pieces.values()
        }
        new = new_parts(self.named, self.ours, entries) if self.named is not None else frozenset()
        return frozenset(e.target for e in entries if e.target not in heads | new)

    def entries(self, links: Sequence[Link]) -> tuple[Entry, ...]:
        """One for every tensor of the target, in its order."""
        self._sizes = Sizes(links)
        used = {link.source.tensor for link in links if link.still is None}
        self._spare = {shape for name, shape in self.source.shapes.items() if name not in used}
        by_tensor: dict[str, list[Link]] = {}
        for link in links:
            by_tensor.setdefault(link.target.tensor, []).append(link)
        partners: dict[int, tuple[Site, float]] = {}
        for link in links:
            partners.setdefault(link.sites[0].order, (link.sites[1], link.confidence))
        first = {
            name: self._entry(name, by_tensor.get(name, []), partners) for name in self.ours.shapes
        }
        shared = [replace(first[origin], target=name) for name, origin in self.ours.same.items()]
        return (*first.values(), *shared)

    def _entry(
        self, name: str, links: Sequence[Link], partners: Mapping[int, tuple[Site, float]]
    ) -> Entry:
        shape = self.ours.shapes[name]
        seen = self._sites.get(name)
        if name in self.ours.constants and not links:
            return self._constant(name, partners)
        axes: tuple[str, ...] = ()
        role, site = "constant" if name in self.ours.constants else "parameter", None
        if seen is not None and role != "constant":
            site, role, piece = seen
            axes = axes_of(
                site, role, piece, head=site.order in self._heads[0], fed=site.order in self._fed[0]
            )
            if piece.transposed and len(axes) > 1:
                axes = (axes[1], axes[0], *axes[2:])
        if name in self.skipped:
            return Entry(name, shape, role, axes, (), "initialised (skipped)", 1.0)
        if name in self.fixed:
            return self.fixed[name]
        if not links:
            return self._unlinked(name, role, axes, site, partners)
        return self._linked(name, role, axes, links)

    def _linked(self, name: str, role: str, axes: tuple[str, ...], links: Sequence[Link]) -> Entry:
        moves: dict[tuple[Any, ...], Move] = {}
        words: dict[str, None] = {}
        problem = ""
        sure = 1.0
        for link in links:
            woven = tuple(r for r in link.rules if isinstance(r, Woven) and r.back)
            place = (link.target.start, link.target.shape, link.added, woven)
            if place in moves:
                continue  # a tensor that is used twice: the first use counts
            head = link.sites[0].order in self._heads[0] and (
                link.sites[1].order in self._heads[1] or self._namesake(link)
            )
            fed = link.sites[0].order in self._fed[0] or link.sites[1].order in self._fed[1]
            if link.still is not None:
                nothing = Piece("", link.target.shape)
                moves[place] = Move("", nothing, link.target, (link.still,), link.added)
                words |= {link.still.name: None}
                sure = min(sure, self._sure(link))
                continue
            found = resolve(link, self.known, head=head, fed=fed)
            if found.new_head or self._is_no_head(link):
                return Entry(
                    name,
                    self.ours.shapes[name],
                    role,
                    axes,
                    (),
                    _initialised(axes, self.ours.shapes[name]),
                    1.0,
                )
            problem = problem or found.problem
            rules = (*link.rules, *found.rules)
            moves[place] = Move(link.source.tensor, found.taken, found.put, rules, link.added)
            words |= dict.fromkeys(_words(moves[place], link, self.theirs, self.ours))
            sure = min(sure, self._sure(link))
        if problem:
            return Entry(name, self.ours.shapes[name], role, axes, (), "refused", 0.0, problem)
        rule = ", ".join(words) or "copy"
        ordered = tuple(sorted(moves.values(), key=lambda move: move.added))
        entry = Entry(name, self.ours.shapes[name], role, axes, ordered, rule, round(sure, 4))
        if entry.initialised > 0:
            return replace(entry, rule=f"{entry.rule}; rest initialised")
        return entry

    def _is_no_head(self, link: Link) -> bool:
        """Whether what would fill the target's head is not the source's: it merely fits."""
        ours, theirs = self._heads
        known = link.sites[0].order in ours and bool(theirs) and not self._namesake(link)
        if not known or link.sites[1].order in theirs:
            return False
        return self.theirs.ran or "head" not in words(link.source.tensor)

    def _namesake(self, link: Link) -> bool:
        pairs = {} if self.named is None else self.named.pairs
        return pairs.get(link.target.tensor) == link.source.tensor

    def _sure(self, link: Link) -> float:
        if self._namesake(link):
            return link.confidence
        pair = link.source.tensor, link.target.tensor
        if not link.added and link.still is None and self._contradictions.between(*pair):
            return min(link.confidence, CONTRADICTED)
        if self._most < 1 and not self._fits(link):
            return min(link.confidence, MISFIT)
        return min(link.confidence, self._most)

    def _fits(self, link: Link) -> bool:
        """Whether the sizes are the others', and what starts as nothing is not in the source."""
        if link.still is None:
            return self._sizes.agree(link)
        return self.ours.shapes[link.target.tensor] not in self._spare

    def _unlinked(
        self,
        name: str,
        role: str,
        axes: tuple[str, ...],
        site: Site | None,
        partners: Mapping[int, tuple[Site, float]],
    ) -> Entry:
        """A bias that the source does not have is zero there; the rest stays as it is."""
        shape = self.ours.shapes[name]
        if site is not None and role == "bias" and site.order in partners:
            other, sure = partners[site.order]
            if "bias" not in other.pieces and site.kind in MAIN:
                move = Move("", Piece("", shape), Piece(name, shape), (Zero(),))
                most = self._most if self._most == 1 else MISFIT
                return Entry(name, shape, role, axes, (move,), Zero.name, min(sure, most))
        return Entry(name, shape, role, axes, (), _initialised(axes, shape), 1.0)

    def _constant(self, name: str, partners: Mapping[int, tuple[Site, float]]) -> Entry:
        """A counter beside a mapped layer's statistics goes with them; other constants stay."""
        shape = self.ours.shapes[name]
        holder, _, last = name.rpartition(".")
        for order, (other, sure) in partners.items():
            ours = self.ours.sites[order]
            if ours.name == holder:
                theirs = f"{other.name}.{last}"
                if self.theirs.shapes.get(theirs) == shape:
                    move = Move(theirs, Piece(theirs, shape), Piece(name, shape))
                    return Entry(name, shape, "constant", (), (move,), "copy", sure)
        return Entry(name, shape, "constant", (), (), "kept, a constant", 1.0)


def _judged(entry: Entry, settled: Settled) -> Entry:
    """An entry as sure as running both networks leaves it."""
    if entry.moves and (settled.equal or entry.target in settled.confirmed):
        return replace(entry, confidence=1.0)
    if settled.unlike and entry.target.startswith(f"{settled.unlike}."):
        return replace(entry, confidence=min(entry.confidence, UNLIKE))
    return entry


def _most_sure(source: Source, theirs: Trace, ours: Trace) -> float:
    if theirs.ran and ours.ran:
        return 1.0
    ordered = source.module is not None or is_in_order(list(source.shapes))
    return ORDERED if ordered else SORTED


def _in_order(name: str) -> bool:
    """Whether a fused layer has all queries first: "query_key_value" may stand head by head."""
    return "query_key_value" not in name


def _initialised(axes: Sequence[str], shape: Shape) -> str:
    """What a tensor is that keeps its own numbers, in words."""
    if "classes" not in axes:
        return "initialised"
    return f"initialised: new head of {shape[axes.index('classes')]} classes"


def _heads(trace: Trace) -> frozenset[int]:
    """The sites whose results are the network's: one product, else none."""
    linear = [site.order for site in trace.sites if site.kind == "linear"]
    if not trace.ran:
        return frozenset(linear[-1:])
    last = [n for n in trace.last if trace.sites[n].kind in MAIN]
    return trace.last & set(linear) if len(last) <= 2 else frozenset()


def _fed(trace: Trace) -> frozenset[int]:
    """The sites that read the network's input."""
    if trace.ran:
        return frozenset(site.order for site in trace.sites if site.fed)
    main = [site.order for site in trace.sites if site.kind in MAIN or site.kind == "embedding"]
    return frozenset(main[:1])


def _words(move: Move, link: Link, theirs: Trace, ours: Trace) -> list[str]:
    """What is done, in words."""
    said = []
    if move.taken.transposed != move.put.transposed:
        said.append("transpose")
    if math.prod(link.target.shape) < math.prod(ours.shapes[link.target.tensor]):
        said.append("fuse")
    if math.prod(link.source.shape) < math.prod(theirs.shapes.get(link.source.tensor, ())):
        said.append("split")
    if move.added:
        said.append("add")
    return said + [rule.name for rule in move.rules] or ["copy"]
