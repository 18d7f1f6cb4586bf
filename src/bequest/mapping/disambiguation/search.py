"""The choices and layouts under which the target gives what the source gives.

Each operation of the target should give what its partner in the source gives, perhaps in another
layout. So the first operation where the two differ shows which open choice was wrong, and the
choices are decided one after the other, in the order in which they run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, final

from torch import Tensor

from bequest.mapping.disambiguation.comparison import outputs_difference
from bequest.mapping.disambiguation.layout_candidates import layout_candidates, with_layout
from bequest.mapping.disambiguation.trial_runs import TrialRuns
from bequest.mapping.matching.correspondence import Choice, Correspondence, Links, Matching, chosen

__all__ = ["search"]

Found = tuple[Links, float]  # with the largest difference of the outputs

MOST_RUNS = 200  # of the target, four times what any pair in the tests takes to be decided
MOST_PARAMETERS = 10**9  # of the target, over all its runs
MOST_ORDERS = 24  # of all choices, compared by the output alone


def search(
    runs: TrialRuns,
    rematch: Callable[[Mapping[int, int]], Matching] | None = None,
    before: frozenset[str] | None = None,
) -> Found | None:
    """Correspondences under which both networks give the same; None where none were found.

    With `before`, tensors of the target before its new parts, the layers that hold these have to
    give the same, in place of the outputs.
    """
    return _Search(runs, rematch or runs.given.rematch, before).result()


@final
@dataclass
class _State:
    """What has been decided: a way per choice, and layouts of links by the target's tensor."""

    ways: dict[int, int] = field(default_factory=dict)
    layouts: dict[str, Any] = field(default_factory=dict)


@final
class _Search:
    def __init__(
        self, runs: TrialRuns, rematch: Callable[[Mapping[int, int]], Matching],
        before: frozenset[str] | None,
    ) -> None:  # fmt: skip
        self.runs, self.given, self.rematch, self.before = runs, runs.given, rematch, before
        size = sum(map(math.prod, self.given.target_trace.shapes.values()))
        self.count, self.most = 0, min(MOST_RUNS, max(10, MOST_PARAMETERS // max(1, size)))

    def result(self) -> Found | None:
        """Changes one choice after the other, as long as the two agree further."""
        state = _State()
        links = self._links(state)
        depth, difference = self._try(links)
        found = self._by_output() if difference is None and self.before is None else None
        if found is not None:
            return found
        while difference is None:
            better = self._better(state, depth)
            if better is None:
                return None
            state, depth, difference = better
        return self._links(state), difference

    def _by_output(self) -> Found | None:
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
            difference = outputs_difference(self.runs.output, self._run(links)[1])
            if difference is not None:
                return links, difference
        return None

    def _better(self, state: _State, depth: float) -> tuple[_State, float, float | None] | None:
        """The first change at or before `depth` that lets the two agree further."""
        for trial in self._trials(state, depth):
            if self.count > self.most:
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
                self._links(state), self.given.source_trace, self.given.target_trace, depth
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

    def _links(self, state: _State) -> Links:
        matching = self.rematch(state.ways)
        links = chosen(matching.links, matching.choices, state.ways)
        return tuple(
            with_layout(
                link,
                state.layouts.get(link.key, link.rules),
                self.given.source_trace,
                self.given.target_trace,
            )
            for link in links
        )

    def _try(self, links: Sequence[Correspondence]) -> tuple[float, float | None]:
        """How deep the two agree, and by how much the outputs differ where they agree wholly."""
        results, output = self._run(links)
        if self.before is not None:
            links = self.runs.before(self.runs.initialised(links), links)
        unlike = self.runs.unlike(links, results)
        if unlike:
            return min(op.depth for op in unlike), None
        if self.before is None:
            difference = outputs_difference(self.runs.output, output)
        else:
            difference = 0.0 if self.before <= {link.target.tensor for link in links} else None
        last = max((op.depth for op in self.given.target_trace.ops), default=0) + 1
        return (last, None) if difference is None else (math.inf, difference)

    def _run(self, links: Sequence[Correspondence]) -> tuple[Mapping[int, Tensor], list[Tensor]]:
        self.count += 1
        return self.runs.run(links)


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
