"""What shapes and names leave open is decided by running both networks on one input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

from torch import Tensor

from bequest.errors import MapError
from bequest.mapping.disambiguation.search import search
from bequest.mapping.disambiguation.trial_runs import Ambiguous, Compared, TrialRuns
from bequest.mapping.matching.correspondence import Links, Matching, chosen
from bequest.mapping.tracing.running import REFUSED

__all__ = ["Decided", "disambiguate"]


@final
@dataclass(frozen=True)
class Decided:
    """The correspondences that were chosen, and what running both networks showed of them."""

    links: Links
    notes: tuple[str, ...] = ()
    equal: bool = False  # both give the same, which confirms every one
    differ: bool = False  # both were run, and do not
    named: bool = False  # they are those of names
    unlike: str = ""  # the first layer of the target that does not give what its namesake gives
    # Tensors of the target before its new parts, which agree.
    confirmed: frozenset[str] = frozenset()


def disambiguate(given: Ambiguous, example: Any) -> Decided:
    """Choose among the open ways, by running both on the example, else on a dummy input.

    Names are taken first where they decide. They never override what was measured: where the two
    ought to be one function and are not under their names, the search goes on without them.
    """
    first, open_ = _first(given)
    named = given.named is not None
    if given.source.module is None or not given.source_trace.ran or not given.target_trace.ran:
        return Decided(first, open_, named=named)
    shared = _one_image(given.source_trace.example) if example is None else example
    try:
        runs = TrialRuns(given, shared)
        if not runs.comparable:
            note = "On this input the source's outputs are empty or not finite: they say nothing."
            return Decided(first, (note, *open_), named=named)
        return _by_names(runs, first) if named else _searched(runs, first, open_)
    except (MapError, *REFUSED):
        return Decided(first, open_, named=named)


def _by_names(runs: TrialRuns, links: Links) -> Decided:
    """Namesakes, unless running both shows that they are not each other's."""
    found = runs.compared(links)
    if found.difference is not None:
        return Decided(links, (_same(found.difference),), equal=True, named=True)
    if not found.one_function:  # a new head, or another task: the layers before it decide
        return _before_new_parts(runs, links, found)
    by_layout = search(runs, lambda _: Matching(links, ()))
    if by_layout is not None:  # namesakes still, in another layout: parts of one tensor, heads
        return Decided(by_layout[0], (_same(by_layout[1]),), equal=True, named=True)
    searched = _searched(runs, links, ())
    note = "Paired by their names the two do not give the same."
    notes = (*searched.notes, note) if searched.equal else searched.notes
    return replace(searched, notes=notes, named=not searched.equal)


def _before_new_parts(runs: TrialRuns, links: Links, found: Compared) -> Decided:
    """Namesakes, unless the layers before the target's new parts show that they are not."""
    if not found.unlike:
        equal, known = found.layers and found.all_before, found.before if found.layers else ()
        note = "Run on one input, all layers that have a namesake give the same."
        confirmed = frozenset(known)
        return Decided(links, (note,) * equal, equal=equal, named=True, confirmed=confirmed)
    by_name = search(runs, lambda _: Matching(links, ()), before=found.before)
    other = by_name or search(runs, before=found.before)
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


def _searched(runs: TrialRuns, first: Links, open_: tuple[str, ...]) -> Decided:
    """The correspondences under which both give the same, if any are found."""
    found = search(runs)
    if found is not None:
        links, difference = found
        return Decided(links, (_same(difference),), equal=True)
    if not runs.repeatable():
        return Decided(first, ("The source gives other outputs each time it is run.", *open_))
    return Decided(first, ("Run on one input, the two do not give the same.", *open_), differ=True)


def _first(given: Ambiguous) -> tuple[Links, tuple[str, ...]]:
    """The correspondences before anything is run, and notes on what stays open."""
    if given.named is not None:
        return given.named, ()
    matching = given.rematch({})
    return chosen(matching.links, matching.choices, {}), _open(matching)


def _same(difference: float) -> str:
    return f"Run on one input, both give the same (to {difference:.1e})."


def _one_image(example: Any) -> Any:
    """Two show the trace which axis counts rows; values are compared on one, in half the time."""
    return example[:1] if isinstance(example, Tensor) and example.ndim == 4 else example


def _open(matching: Matching) -> tuple[str, ...]:
    """The choices that could swap two layers, as notes."""
    notes = []
    for choice in matching.choices:
        names = sorted({link.target.tensor for way in choice.ways for link in way})
        confidence = choice.ways[0][0].confidence if choice.ways[0] else 0.0
        if names and confidence < 0.9:
            notes.append(
                f"{', '.join(names[:4])}{' ...' if len(names) > 4 else ''} could be swapped: "
                f"{len(choice.ways)} orders fit."
            )
    return tuple(notes[:10]) + ((f"{len(notes) - 10} more such.",) if len(notes) > 10 else ())
