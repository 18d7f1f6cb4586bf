"""From two networks to a map: the four stages in order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import nn

from bequest.core import HasMembers, Model, Trains
from bequest.core.model import NO_SINGLE_NETWORK
from bequest.errors import MapError
from bequest.mapping.blocks import Depth
from bequest.mapping.entry import Entry, Move
from bequest.mapping.experts import upcycled
from bequest.mapping.links import Link
from bequest.mapping.load import Source, source_of
from bequest.mapping.match import match
from bequest.mapping.names import likeness
from bequest.mapping.parametrised import kept, plain
from bequest.mapping.plan import ParameterMap
from bequest.mapping.registered import named_sites
from bequest.mapping.resolve import Known, axes_of, resolve
from bequest.mapping.rules.layout import Zero
from bequest.mapping.rules.woven import Woven
from bequest.mapping.settle import Open, settle
from bequest.mapping.shared import refused, unshared
from bequest.mapping.sites import MAIN, Piece, Shape, Site, Trace
from bequest.mapping.trace import named_tensors, trace, trace_both

__all__ = ["map_parameters"]

UNSEEN = 0.7  # the most that is sure where a network was not seen running and names do not agree
ALIKE = 0.6  # names that agree, from 0 to 1


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
    """Plan which numbers of `source` go where in `target`; neither is touched.

    Parameters
    ----------
    source : torch.nn.Module, Model, path, or mapping of str to Tensor
        A path is that of a .safetensors file, of the index of several, or of a folder with either.
        Of a file, a mapping or a TorchScript module only names and shapes are looked at; states of
        an optimiser, counters and what is no tensor are left out, and the map says so.
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
        A network does not run on the example, is lazy or quantised, or `skip` or `prefix` names
        nothing; a checkpoint holds an adapter, several networks, or no network.
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
    100.0% of 131 numbers come from the source: 83 copied, 48 reshaped; 0 initialised.
    Both networks were run on a made-up input.
    Run on one input, both give the same (to ...).
    """
    giver, wanted = _part(_network(source), prefix), _network(target)
    if not isinstance(wanted, nn.Module):
        raise MapError(f"a target is a network, not a {type(target).__name__}.")
    taker = plain(wanted)
    if isinstance(giver, nn.Module):
        giver = plain(giver)
    known = Known(classes or _classes(source, target), columns, vocabulary)
    held = source_of(giver, _shapes(taker), prefix)
    if isinstance(giver, nn.Module):
        theirs, ours = trace_both(giver, taker, example)
    else:
        sites, how = tuple(named_sites(held.shapes)), "read by names and shapes"
        theirs, ours = Trace(held.shapes, sites, how, False), trace(taker, example)
    known = replace(known, image=any(s.kind == "conv" and s.fed for s in ours.sites))
    build = _Builder(held, theirs, ours, known, _skipped(skip, ours))
    build.fixed |= unshared(theirs, ours) | upcycled(held.shapes, ours.shapes)
    rematch = partial(match, theirs, ours, depth)
    links, settled, note = settle(Open(rematch, build.entries, held, taker, theirs, ours), example)
    made = build.plan(links, taker, settled=settled, notes=(*held.notes, *note))
    if not settled:
        entries = refused(made.entries, held, ours)
        made = replace(made, entries=entries, opinion=entries)
    if taker is not wanted:
        made = kept(made, wanted)
    if plan is None:
        return made
    return replace(plan, source=held, target=wanted, opinion=made.entries)


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
        self, source: Source, theirs: Trace, ours: Trace, known: Known, skipped: frozenset[str]
    ) -> None:
        self.source, self.theirs, self.ours = source, theirs, ours
        self.known, self.skipped = known, skipped
        self.fixed: dict[str, Entry] = {}  # what was found before the matching, by tensor
        self._heads = _heads(ours), _heads(theirs)
        self._fed = _fed(ours), _fed(theirs)
        self._sites: dict[str, tuple[Site, str, Piece]] = {}
        for site in ours.sites:
            for role, piece in site.pieces.items():
                self._sites.setdefault(piece.tensor, (site, role, piece))

    def plan(
        self, links: Sequence[Link], target: nn.Module, *, settled: bool, notes: Sequence[str]
    ) -> ParameterMap:
        """The whole map."""
        entries = tuple(
            replace(entry, confidence=1.0) if settled and entry.moves else entry
            for entry in self.entries(links)
        )
        used = {name for entry in entries for name in entry.sources}
        unused = tuple(
            name
            for name in self.source.shapes
            if self.theirs.same.get(name, name) not in used
            and name not in used
            and name not in self.theirs.constants
        )
        heads = {
            piece.tensor
            for site in self.ours.sites
            if site.order in self._heads[0]
            for piece in site.pieces.values()
        }
        body = frozenset(entry.target for entry in entries if entry.target not in heads)
        how = f"The target was {self.ours.how}, the source {self.theirs.how}."
        if self.ours.how == self.theirs.how:
            how = f"Both networks were {self.ours.how}."
        return ParameterMap(entries, unused, (how, *notes), body, self.source, target, entries)

    def entries(self, links: Sequence[Link]) -> tuple[Entry, ...]:
        """One for every tensor of the target, in its order."""
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
        if name in self.ours.constants:
            return self._constant(name, partners)
        axes: tuple[str, ...] = ()
        role, site = "parameter", None
        if seen is not None:
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
            head = link.sites[0].order in self._heads[0] and link.sites[1].order in self._heads[1]
            fed = link.sites[0].order in self._fed[0] or link.sites[1].order in self._fed[1]
            if link.still is not None:
                nothing = Piece("", link.target.shape)
                moves[place] = Move("", nothing, link.target, (link.still,), link.added)
                words |= {link.still.name: None}
                sure = min(sure, link.confidence)
                continue
            found = resolve(link, self.known, head=head, fed=fed)
            problem = problem or found.problem
            rules = (*link.rules, *found.rules)
            moves[place] = Move(link.source.tensor, found.taken, found.put, rules, link.added)
            words |= dict.fromkeys(_words(moves[place], link, self.theirs, self.ours))
            sure = min(sure, self._sure(link, moves[place]))
        if problem:
            return Entry(name, self.ours.shapes[name], role, axes, (), "refused", 0.0, problem)
        rule = ", ".join(words) or "copy"
        ordered = tuple(sorted(moves.values(), key=lambda move: move.added))
        entry = Entry(name, self.ours.shapes[name], role, axes, ordered, rule, round(sure, 4))
        if entry.initialised > 0:
            return replace(entry, rule=f"{entry.rule}; rest initialised")
        return entry

    def _sure(self, link: Link, move: Move) -> float:
        if link.source.tensor == link.target.tensor and not move.rules:
            return max(link.confidence, 0.99)
        ran = self.ours.ran and self.theirs.ran
        if not ran and likeness(link.source.tensor, link.target.tensor) < ALIKE:
            return min(link.confidence, UNSEEN)
        return link.confidence

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
                return Entry(name, shape, role, axes, (move,), Zero.name, sure)
        return Entry(name, shape, role, axes, (), "initialised", 1.0)

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
