"""The target run with the source's parameters, and compared with the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.mapping.disambiguation.comparison import outputs_difference, same_values
from bequest.mapping.matching.correspondence import Correspondence, Links, Matching
from bequest.mapping.plans.entry import Entry
from bequest.mapping.plans.materialise import borrowed
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.ops import MAIN, Op, Trace
from bequest.mapping.tracing.randomise import randomise_constants, randomise_parameters
from bequest.mapping.tracing.running import named_tensors, watched_run, watched_tensors

__all__ = ["Ambiguous", "Compared", "TrialRuns"]


@final
@dataclass(frozen=True)
class Ambiguous:
    """What is to be decided: a matching that may leave choices open."""

    rematch: Callable[[Mapping[int, int]], Matching]  # the matching under ways of its choices
    entries: Callable[[Sequence[Correspondence]], tuple[Entry, ...]]  # of the map
    source: Source
    target: nn.Module
    source_trace: Trace
    target_trace: Trace
    named: Links | None = None  # by names, where these decide


@final
@dataclass(frozen=True)
class Compared:
    """What one run of the target, compared with the source's, shows."""

    difference: float | None  # of the outputs; None where one is not the other's
    before: frozenset[str]  # tensors of the target that no new part comes before
    all_before: bool  # these are all that are linked
    layers: bool  # all layers of these that were seen in both give the same
    one_function: bool  # the two could be one: all tensors are filled, the outputs of one shape
    unlike: str  # the first layer that does not, although all before it is filled; else empty


@final
class TrialRuns:
    """The source's results once, the target's for each trial."""

    def __init__(self, given: Ambiguous, example: Any) -> None:
        self.given, source = given, given.source
        assert source.module is not None
        self.example = randomise_constants(example)
        own, same = named_tensors(source.module)
        values = randomise_parameters(own, watched_tensors(source.module, own))
        watch, self.output = watched_run(source.module, values, self.example)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.output):
            values, self.example = own, example
            watch, self.output = watched_run(source.module, {}, example)
        self.expected = watch.results
        self.source = replace(source, read=lambda name: values[same.get(name, name)].detach())
        self._made: dict[Any, Tensor] = {}

    @property
    def comparable(self) -> bool:
        """Whether the source's outputs can be compared: some values are finite."""
        return any(bool(torch.isfinite(tensor).any()) for tensor in self.output)

    def compared(self, links: Sequence[Correspondence]) -> Compared:
        """What one run under these correspondences shows."""
        results, output = self.run(links)
        shapes = [t.shape for t in output] == [t.shape for t in self.output]
        new = self.initialised(links)
        known = self.before(new, links)
        unlike = self.unlike(known, results)
        return Compared(
            outputs_difference(self.output, output),
            frozenset(link.target.tensor for link in known),
            len(known) == sum(link.target.tensor not in new for link in links),
            bool(self._partners(known, results)) and not unlike,
            shapes and not new,
            min(unlike, key=lambda op: op.depth).name if unlike else "",
        )

    def initialised(self, links: Sequence[Correspondence]) -> set[str]:
        """The target's tensors that keep values of their own."""
        return {entry.target for entry in self.given.entries(links) if entry.initialised}

    def before(self, new: Set[str], links: Sequence[Correspondence]) -> list[Correspondence]:
        """Those of operations that no tensor of `new` has a part in: the others ought to differ."""
        changed: set[int] = set()
        for op in self.given.target_trace.ops:
            if op.reads & changed or any(p.tensor in new for p in op.pieces.values()):
                changed.add(op.order)
        return [link for link in links if link.ops[0].order not in changed]

    def repeatable(self) -> bool:
        """Whether the source gives the same outputs when it is run again."""
        module = self.given.source.module
        assert module is not None
        values = {name: self.source.read(name) for name in named_tensors(module)[0]}
        again = watched_run(module, values, self.example)[1]
        return outputs_difference(self.output, again) is not None

    def run(self, links: Sequence[Correspondence]) -> tuple[Mapping[int, Tensor], list[Tensor]]:
        """What each operation of the target gives, and its outputs."""
        watch, output = watched_run(self.given.target, self._tensors(links), self.example)
        return watch.results, output

    def _tensors(self, links: Sequence[Correspondence]) -> dict[str, Tensor]:
        """The target's tensors under these links; those that were made before are kept."""
        own = dict(named_tensors(self.given.target)[0])
        result = {}
        for entry in self.given.entries(links):
            if entry.target not in own:
                continue  # another name of a shared tensor
            key = (entry.target, entry.moves)
            if key not in self._made:
                self._made[key] = borrowed(entry, self.source, own[entry.target].detach())
            result[entry.target] = self._made[key]
        return result

    def unlike(self, links: Sequence[Correspondence], actual: Mapping[int, Tensor]) -> list[Op]:
        """The target's operations whose results are not their partners'."""
        return [
            self.given.target_trace.ops[place]
            for place, origin in self._partners(links, actual)
            if not same_values(actual[place], self.expected[origin])
        ]

    def _partners(
        self, links: Sequence[Correspondence], actual: Mapping[int, Tensor]
    ) -> list[tuple[int, int]]:
        """Places of the operations whose results ought to be the same values."""
        partners: dict[int, int | None] = {}
        wider: set[int] = set()
        for link in links:
            if link.extra:
                continue
            place, origin = link.ops[0].order, link.ops[1].order
            if link.target.shape[:1] > link.source.shape[:1]:
                wider.add(place)  # it gives the same values, some of them several times
            partners[place] = origin if partners.get(place, origin) == origin else None
        return [
            (place, origin)
            for place, origin in partners.items()
            if origin is not None
            and place in actual
            and self.given.target_trace.ops[place].kind in MAIN
            and origin in self.expected
            and (
                actual[place].numel() == self.expected[origin].numel()
                or (place in wider and actual[place].numel() > self.expected[origin].numel())
            )
        ]
