"""What shapes and names leave open is settled by numbers: both networks run on one input.

After each site of the target stands what should stand after its partner in the source, perhaps in
another layout. So the first site where the two differ tells which open choice was wrong, and the
choices are settled one after the other, in the order in which they run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.errors import MapError
from bequest.mapping.disambiguation.layout_candidates import layout_candidates, with_layout
from bequest.mapping.matching.correspondence import Choice, Correspondence, Matching, chosen
from bequest.mapping.plans.entry import Entry
from bequest.mapping.plans.materialise import borrowed
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.ops import MAIN, Op, Trace
from bequest.mapping.tracing.randomise import randomise_constants, randomise_parameters
from bequest.mapping.tracing.trace import (
    REFUSED,
    named_tensors,
    summary,
    watched_run,
    watched_tensors,
)

__all__ = ["Ambiguous", "Decided", "disambiguate"]

CLOSE = 2e-3  # relative difference of two summaries that rounding explains
SAME = 1e-4  # largest difference of outputs of one function, times the outputs' spread
MOST_RUNS = 200  # of the target, four times what any pair in the tests takes to be settled

MOST_NUMBERS = 10**9  # of the target, over all its runs
MOST_ORDERS = 24  # of all choices, told apart by the output alone


@final
@dataclass(frozen=True)
class Ambiguous:
    """What is mapped, and how: the matching may leave choices open."""

    rematch: Callable[[Mapping[int, int]], Matching]  # the matching under ways of its choices
    entries: Callable[[Sequence[Correspondence]], tuple[Entry, ...]]  # links to the map's entries
    source: Source
    target: nn.Module
    source_trace: Trace
    target_trace: Trace
    named: tuple[Correspondence, ...] | None = None  # by names, where these decide


@final
@dataclass(frozen=True)
class Decided:
    """The links that were chosen, and what running both networks said of them."""

    links: tuple[Correspondence, ...]
    notes: tuple[str, ...] = ()
    equal: bool = False  # both give the same, which confirms every link
    differ: bool = False  # both were run, and do not
    named: bool = False  # they are those of names
    unlike: str = ""  # the first layer of the target that does not give what its namesake gives
    confirmed: frozenset[str] = (
        frozenset()
    )  # tensors of the target before its new parts, which agree


def disambiguate(given: Ambiguous, example: Any) -> Decided:
    """Choose among the open ways, by running both on the example, else on what was made up.

    Names are taken first where they decide. They never override what was measured: where the two
    ought to be one function and are not under their names, the search goes on without them.
    """
    first, open_ = _first(given)
    named = given.named is not None
    if given.source.module is None or not given.source_trace.ran or not given.target_trace.ran:
        return Decided(first, open_, named=named)
    shared = _one_image(given.source_trace.example) if example is None else example
    try:
        runs = _Runs(given, shared)
        if not runs.comparable:
            note = "On this input the source's outputs are empty or not finite: they say nothing."
            return Decided(first, (note, *open_), named=named)
        return _by_names(runs, first) if named else _searched(runs, first, open_)
    except (MapError, *REFUSED):
        return Decided(first, open_, named=named)


def _by_names(runs: _Runs, links: tuple[Correspondence, ...]) -> Decided:
    """Namesakes, unless running both shows that they are not each other's."""
    found = runs.compared(links)
    if found.difference is not None:
        return Decided(links, (_same(found.difference),), equal=True, named=True)
    if not found.one_function:  # a new head, or another task: the layers before it decide
        return _before_new_parts(runs, links, found)
    by_layout = runs.search(lambda _: Matching(links, ()))
    if by_layout is not None:  # namesakes still, in another layout: parts of one tensor, heads
        return Decided(by_layout[0], (_same(by_layout[1]),), equal=True, named=True)
    searched = _searched(runs, links, ())
    note = "Paired by their names the two do not give the same."
    notes = (*searched.notes, note) if searched.equal else searched.notes
    return replace(searched, notes=notes, named=not searched.equal)


def _before_new_parts(runs: _Runs, links: tuple[Correspondence, ...], found: _Compared) -> Decided:
    """Namesakes, unless the layers before the target's new parts show that they are not."""
    if not found.unlike:
        equal, known = found.layers and found.all_before, found.before if found.layers else ()
        said = (
            ("Run on one input, all layers that have a namesake give the same.",) if equal else ()
        )
        return Decided(links, said, equal=equal, named=True, confirmed=frozenset(known))
    by_name = runs.search(lambda _: Matching(links, ()), before=found.before)
    other = by_name or runs.search(before=found.before)
    if other is None:
        note = f"Run on one input, {found.unlike!r} does not give what its source gives."
        differ = runs.repeatable()
        return Decided(links, (note,), differ=differ, named=True, unlike=found.unlike)
    notes = ["Run on one input, all layers before the new parts give the same."]
    if by_name is None:
        notes.append("Paired by their names they do not.")
    return Decided(
        other[0], tuple(notes), named=by_name is not None, confirmed=runs.compared(other[0]).before
    )


def _searched(runs: _Runs, first: tuple[Correspondence, ...], open_: tuple[str, ...]) -> Decided:
    """The links under which both give the same, if any are found."""
    found = runs.search()
    if found is not None:
        links, difference = found
        return Decided(links, (_same(difference),), equal=True)
    if not runs.repeatable():
        return Decided(first, ("The source gives other outputs each time it is run.", *open_))
    return Decided(first, ("Run on one input, the two do not give the same.", *open_), differ=True)


def _first(given: Ambiguous) -> tuple[tuple[Correspondence, ...], tuple[str, ...]]:
    """The links before anything is run, and notes on what stays open."""
    if given.named is not None:
        return given.named, ()
    matching = given.rematch({})
    return chosen(matching.links, matching.choices, {}), _open(matching)


def _same(difference: float) -> str:
    return f"Run on one input, both give the same (to {difference:.1e})."


def _one_image(example: Any) -> Any:
    """Two tell the trace which axis counts rows; numbers are compared on one, in half the time."""
    return example[:1] if isinstance(example, Tensor) and example.ndim == 4 else example


def _open(matching: Matching) -> tuple[str, ...]:
    """The choices that could swap two layers, as notes."""
    notes = []
    for choice in matching.choices:
        names = sorted({link.target.tensor for way in choice.ways for link in way})
        sure = choice.ways[0][0].confidence if choice.ways[0] else 0.0
        if names and sure < 0.9:
            notes.append(
                f"{', '.join(names[:4])}{' ...' if len(names) > 4 else ''} could be swapped: "
                f"{len(choice.ways)} orders fit."
            )
    return tuple(notes[:10]) + ((f"{len(notes) - 10} more such.",) if len(notes) > 10 else ())


@final
@dataclass(frozen=True)
class _Compared:
    """What one run of the target beside the source's says."""

    difference: float | None  # of the outputs; None where one is not the other's
    before: frozenset[str]  # tensors of the target that no new part comes before
    all_before: bool  # these are all that are linked
    layers: bool  # all layers of these that were seen in both give the same
    one_function: bool  # the two could be one: all tensors are filled, the outputs of one shape
    unlike: str  # the first layer that does not, although all before it is filled; else empty


@final
@dataclass
class _State:
    """What has been decided: a way per choice, and layouts of links by the target's tensor."""

    ways: dict[int, int] = field(default_factory=dict)
    layouts: dict[str, Any] = field(default_factory=dict)


@final
class _Runs:
    """The source's results once, the target's for each trial."""

    def __init__(self, given: Ambiguous, example: Any) -> None:
        self.given, self.rematch, self.target = given, given.rematch, given.target
        self.source_trace, self.target_trace, source = (
            given.source_trace,
            given.target_trace,
            given.source,
        )
        assert source.module is not None
        self.example = randomise_constants(example)
        own, same = named_tensors(source.module)
        numbers = randomise_parameters(own, watched_tensors(source.module, own))
        watch, self.output = watched_run(source.module, numbers, self.example)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.output):
            numbers, self.example = own, example
            watch, self.output = watched_run(source.module, {}, example)
        self.expected = watch.results
        self.source = replace(source, read=lambda name: numbers[same.get(name, name)].detach())
        self.runs = 0
        self.before: frozenset[str] | None = None  # what is compared in place of the outputs
        size = sum(math.prod(shape) for shape in self.target_trace.shapes.values())
        self.most = min(MOST_RUNS, max(10, MOST_NUMBERS // max(1, size)))
        self._made: dict[Any, Tensor] = {}

    @property
    def comparable(self) -> bool:
        """Whether the source's outputs can be told from others: some numbers are finite."""
        return any(bool(torch.isfinite(tensor).any()) for tensor in self.output)

    def compared(self, links: Sequence[Correspondence]) -> _Compared:
        """What one run under some links says of them."""
        results, output = self._run(links)
        shapes = [t.shape for t in output] == [t.shape for t in self.output]
        new = self._initialised(links)
        known = self._before(new, links)
        unlike = self._unlike(known, results)
        return _Compared(
            _difference(self.output, output),
            frozenset(link.target.tensor for link in known),
            len(known) == sum(link.target.tensor not in new for link in links),
            bool(self._partners(known, results)) and not unlike,
            shapes and not new,
            min(unlike, key=lambda op: op.depth).name if unlike else "",
        )

    def _initialised(self, links: Sequence[Correspondence]) -> set[str]:
        """The target's tensors that keep numbers of their own."""
        return {entry.target for entry in self.given.entries(links) if entry.initialised}

    def _before(self, new: Set[str], links: Sequence[Correspondence]) -> list[Correspondence]:
        """The links of sites that no tensor of these has a part in: the others ought to differ."""
        changed: set[int] = set()
        for op in self.target_trace.ops:
            if op.reads & changed or any(p.tensor in new for p in op.pieces.values()):
                changed.add(op.order)
        return [link for link in links if link.ops[0].order not in changed]

    def repeatable(self) -> bool:
        """Whether the source gives the same outputs when it is run again."""
        module = self.given.source.module
        assert module is not None
        numbers = {name: self.source.read(name) for name in named_tensors(module)[0]}
        again = watched_run(module, numbers, self.example)[1]
        return _difference(self.output, again) is not None

    def search(
        self,
        rematch: Callable[[Mapping[int, int]], Matching] | None = None,
        before: frozenset[str] | None = None,
    ) -> tuple[tuple[Correspondence, ...], float] | None:
        """Links under which both networks give the same; None where none were found.

        With `before`, tensors of the target before its new parts, the layers that hold these have
        to give the same, in place of the outputs.
        """
        self.rematch, self.runs, self.before = rematch or self.given.rematch, 0, before
        state = _State()
        links = self._links(state)
        depth, difference = self._try(links)
        found = self._by_output() if difference is None and before is None else None
        if found is not None:
            return found
        while difference is None:
            better = self._better(state, depth)
            if better is None:
                return None
            state, depth, difference = better
        return self._links(state), difference

    def _by_output(self) -> tuple[tuple[Correspondence, ...], float] | None:
        """Choices by the output alone: what is between may be computed in another order.

        Choices that look the same, those of a repeated block, are taken alike.
        """
        choices = self.rematch({}).choices
        groups: dict[Any, list[int]] = {}
        for place, choice in enumerate(choices):
            groups.setdefault(_look(choice), []).append(place)
        sizes = [len(choices[group[0]].ways) for group in groups.values()]
        if math.prod(sizes) > min(MOST_ORDERS, self.most):
            return None
        for ways in product(*map(range, sizes)):
            chosen = zip(groups.values(), ways, strict=True)
            taken = {place: way for group, way in chosen for place in group}
            links = self._links(_State(taken))
            difference = _difference(self.output, self._run(links)[1])
            if difference is not None:
                return links, difference
        return None

    def _better(self, state: _State, depth: float) -> tuple[_State, float, float | None] | None:
        """The first change of what stands before `depth` that lets the two agree further."""
        for trial in self._trials(state, depth):
            if self.runs > self.most:
                return None
            links = self._links(trial)
            reached, difference = self._try(links)
            if difference is not None or reached > depth:
                return trial, reached, difference
        return None

    def _trials(self, state: _State, depth: float) -> Iterator[_State]:
        """Changes of choices at or before the first difference, the nearest first."""
        matching = self.rematch(state.ways)
        near = sorted(
            (n for n, choice in enumerate(matching.choices) if choice.depth <= depth),
            key=lambda n: -matching.choices[n].depth,
        )
        for place in near[:4]:
            yield from _changed(matching.choices, state, [place])
        layouts = [
            {**state.layouts, **found}
            for found in layout_candidates(
                self._links(state), self.source_trace, self.target_trace, depth
            )
        ]
        yield from (_State(dict(state.ways), found) for found in layouts)
        if len(near) > 1:
            yield from _changed(matching.choices, state, near[:2])
        few = math.prod(len(matching.choices[place].ways) for place in near[:3]) <= 16
        if len(near) > 2 and few:
            yield from _changed(matching.choices, state, near[:3])
        for found in layouts:
            for place in near[:2]:
                for trial in _changed(matching.choices, state, [place]):
                    yield _State(trial.ways, found)
        if len(near) > 2 and not few:
            yield from _changed(matching.choices, state, near[:3])

    def _links(self, state: _State) -> tuple[Correspondence, ...]:
        matching = self.rematch(state.ways)
        links = chosen(matching.links, matching.choices, state.ways)
        return tuple(
            with_layout(
                link, state.layouts.get(link.key, link.rules), self.source_trace, self.target_trace
            )
            for link in links
        )

    def _try(self, links: Sequence[Correspondence]) -> tuple[float, float | None]:
        """How deep the two agree, and by how much the outputs differ where they agree wholly."""
        results, output = self._run(links)
        if self.before is not None:
            links = self._before(self._initialised(links), links)
        depth = self._agreed(links, results)
        if depth is not None:
            return depth, None
        if self.before is None:
            difference = _difference(self.output, output)
        else:
            difference = 0.0 if self.before <= {link.target.tensor for link in links} else None
        last = max((op.depth for op in self.target_trace.ops), default=0) + 1
        return (last, None) if difference is None else (math.inf, difference)

    def _run(self, links: Sequence[Correspondence]) -> tuple[Mapping[int, Tensor], list[Tensor]]:
        self.runs += 1
        watch, output = watched_run(self.target, self._tensors(links), self.example)
        return watch.results, output

    def _tensors(self, links: Sequence[Correspondence]) -> dict[str, Tensor]:
        """The target's tensors under these links; those that were made before are kept."""
        own = dict(named_tensors(self.target)[0])
        result = {}
        for entry in self.given.entries(links):
            if entry.target not in own:
                continue  # another name of a shared tensor
            key = (entry.target, entry.moves)
            if key not in self._made:
                self._made[key] = borrowed(entry, self.source, own[entry.target].detach())
            result[entry.target] = self._made[key]
        return result

    def _agreed(
        self, links: Sequence[Correspondence], actual: Mapping[int, Tensor]
    ) -> float | None:
        """Depth of the first site whose result is not its partner's; None where there is none."""
        return min((op.depth for op in self._unlike(links, actual)), default=None)

    def _unlike(self, links: Sequence[Correspondence], actual: Mapping[int, Tensor]) -> list[Op]:
        """The target's sites whose results are not their partners'."""
        return [
            self.target_trace.ops[place]
            for place, origin in self._partners(links, actual)
            if not _alike(actual[place], self.expected[origin])
        ]

    def _partners(
        self, links: Sequence[Correspondence], actual: Mapping[int, Tensor]
    ) -> list[tuple[int, int]]:
        """Places of the sites whose results ought to be the same numbers."""
        partners: dict[int, int | None] = {}
        wider: set[int] = set()
        for link in links:
            if link.extra:
                continue
            place, origin = link.ops[0].order, link.ops[1].order
            if link.target.shape[:1] > link.source.shape[:1]:
                wider.add(place)  # it gives the same numbers, some of them several times
            partners[place] = origin if partners.get(place, origin) == origin else None
        return [
            (place, origin)
            for place, origin in partners.items()
            if origin is not None
            and place in actual
            and self.target_trace.ops[place].kind in MAIN
            and origin in self.expected
            and (
                actual[place].numel() == self.expected[origin].numel()
                or (place in wider and actual[place].numel() > self.expected[origin].numel())
            )
        ]


def _changed(choices: Sequence[Choice], state: _State, places: Sequence[int]) -> Iterator[_State]:
    """Every other combination of ways at these places; choices of one kind go together first."""
    now = tuple(state.ways.get(place, 0) for place in places)
    for ways in product(*(range(len(choices[place].ways)) for place in places)):
        if ways == now:
            continue
        changed = dict(zip(places, ways, strict=True))
        yield _State({**state.ways, **_alike_choices(choices, changed)}, dict(state.layouts))
        yield _State({**state.ways, **changed}, dict(state.layouts))


def _alike_choices(choices: Sequence[Choice], changed: Mapping[int, int]) -> dict[int, int]:
    """The same change for the choices after it that look the same: the other blocks'."""
    result = dict(changed)
    for place, way in changed.items():
        look = _look(choices[place])
        for other in range(place + 1, len(choices)):
            if _look(choices[other]) == look:
                result[other] = way
    return result


def _look(choice: Choice) -> Any:
    return tuple(
        tuple((link.target.shape, link.source.shape) for link in way) for way in choice.ways
    )


def _difference(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float | None:
    """Largest difference of two networks' results; None where one is not the other's.

    Where one gives more than the other (a library adds what it has in memory), all that the other
    gives must be found among it, in order.
    """
    few, many = sorted((list(expected), list(actual)), key=len)
    rest = iter(many)
    worst = None
    for tensor in few:
        differences = (_close(other, tensor) for other in rest)
        found = next((value for value in differences if value is not None), None)
        if found is None:
            return None
        worst = max(found, worst or 0.0)
    return worst


def _close(one: Tensor, other: Tensor) -> float | None:
    if one.shape != other.shape:
        return None
    if not one.numel():
        return 0.0
    difference = float((one.double() - other.double()).abs().max())
    low, high = torch.aminmax(one.double())
    size = max(abs(float(low)), abs(float(high)))
    spread = max(float(high - low), 0.01 * size) if one.numel() > 1 else size
    return difference if difference <= SAME * spread else None


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether the two hold the same numbers, in any order, those of `one` perhaps several times."""
    first, second = summary(one), summary(other)
    if one.numel() % max(1, other.numel()):  # some more often than others: the extremes tell
        first, second = first[2:], second[2:]
    scale = first.abs().clamp_min(second.abs()).clamp_min(1e-6)
    return bool(((first - second).abs() <= CLOSE * scale.max()).all())
