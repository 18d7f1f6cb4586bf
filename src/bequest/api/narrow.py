"""From a hub, or a long list, to the few sources that are worth opening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bequest.api.sources import Sources, expanded, named_apart
from bequest.core import Source, Task, TaskSummary
from bequest.core.wording import pluralise
from bequest.errors import HubError
from bequest.hub import Hub

__all__ = ["narrowed"]

SHORTLIST = 16  # sources that are opened; of fewer none is cut

Order = tuple[bool, bool, bool, int, float, bool, str]


def narrowed(given: Sources, task: Task) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Of more than 16 sources, those that promise most before any is opened.

    Those for inputs of another kind, by their cards, stand last, and are not opened where there are
    others. Before the models of a hub come the sources that were named one by one; those of a hub
    are in the order of `bequest.hub.Hub.suggest`, as far as its outcomes and sketches tell one.
    Then, and in lists, the cards decide: shared labels, the kind of the task, and the name.

    No label of a row is looked at, and of the task's own outcomes none: so nothing is chosen here
    by what it is judged by, and the race chooses among those that are left on each fold's training
    rows.

    Parameters
    ----------
    given : Hub, or iterable of Source, Model, Task, path and Hub
    task : Task

    Returns
    -------
    tuple of Source
        At most 16, unless fewer were given; none is opened.
    tuple of str
        What was left out and why, in a line; empty where nothing was.

    Raises
    ------
    DataError, ModelError
        As in `bequest.api.sources.as_sources`.

    Examples
    --------
    >>> task = Task.from_arrays([[0.0], [1.0]], ["a", "b"], name="near")
    >>> sources, notes = narrowed([task] * 20, task)
    >>> len(sources), notes[0][:40]
    (16, '16 of 20 sources are opened: those that ')
    """
    found = list(expanded(given))
    if len(found) <= SHORTLIST:
        return named_apart(source for source, _ in found), ()
    hubs = dict.fromkeys(hub for _, hub in found if hub is not None)
    places, notes = _suggested(tuple(hubs), task)
    order = sorted(found, key=lambda one: _order(one[0], one[1], task, places))
    fit = sum(_fits(_about(source), task) for source, _ in order)
    kept = order[: min(SHORTLIST, fit or SHORTLIST)]
    if len(kept) == len(found):
        return named_apart(source for source, _ in kept), notes
    by = "the hub's outcomes and sketches, then by " if places else ""
    said = f"{len(kept)} of {pluralise(len(found), 'source')} are opened"
    said += f": those that promise most by {by}their cards"
    if fit < len(found):
        said += f"; {len(found) - fit} are for other inputs by their cards"
    return named_apart(source for source, _ in kept), (f"{said}.", *notes)


def _suggested(
    hubs: Sequence[Hub], task: Task
) -> tuple[Mapping[tuple[Hub, str], int], tuple[str, ...]]:
    """The place of each model in its hub's suggestions of which something is known, and faults."""
    places: dict[tuple[Hub, str], int] = {}
    notes = []
    for hub in hubs:
        try:
            found = hub.suggest(task, SHORTLIST)
        except HubError as error:  # the models are there all the same
            notes.append(f"{hub!r} suggests nothing: {error}")
            continue
        known = [one.name for one in found if one.known or one.likeness is not None]
        places |= {(hub, name): place for place, name in enumerate(known)}
    return places, tuple(notes)


def _order(
    source: Source, hub: Hub | None, task: Task, places: Mapping[tuple[Hub, str], int]
) -> Order:
    about = _about(source)
    place = SHORTLIST if hub is None else places.get((hub, source.name), SHORTLIST)
    return (
        not _fits(about, task),
        about.fingerprint == task.fingerprint,  # it has seen these very rows
        hub is not None,
        place,
        -_shared(about.classes, task.classes),
        about.kind != task.kind,
        source.name,
    )


def _about(source: Source) -> TaskSummary:
    """What is known of the task that it was trained on, without opening it."""
    data = source.data
    if data is None or source.card.task != TaskSummary():
        return source.card.task
    return TaskSummary(modality=data.modality, kind=data.kind, classes=data.classes)


def _fits(about: TaskSummary, task: Task) -> bool:
    return about.modality in ("", task.modality)


def _shared(classes: Sequence[Any], own: Sequence[Any]) -> float:
    """Share of the target's classes that a source knows by name, from 0 to 1."""
    known = {str(label) for label in classes}
    return sum(str(label) in known for label in own) / max(len(own), 1)
