"""The parents of an entry that stand in the same hub, by what its card calls them.

A card that is published calls each parent that is here ``name@version`` (`settled`), so that
nothing that comes later changes what it means. What was not here keeps its name, or its digest, by
which it is found when it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bequest.core import Card
from bequest.errors import BequestError, Damaged, HubError
from bequest.hub.records.compatibility import check_derived
from bequest.hub.records.entry import Entry
from bequest.hub.records.names import digest_in, split_reference
from bequest.hub.storage.store import ParentCame, Reference, Snapshot

__all__ = [
    "check_settled",
    "find_parent",
    "parents_of",
    "resolve",
    "settled",
    "with_parents",
]


def resolve(state: Snapshot, parent: str) -> Reference | None:
    """Which entry of this hub is meant by ``name@version``, a digest, or the name of its latest.

    Of several entries with one digest it is the first.
    """
    if digest := digest_in(parent):
        return state.with_digest(digest)
    try:
        name, version = split_reference(parent)
    except HubError:  # a card may name what is in no hub
        return None
    found = (name, state.latest(name) if version is None else version)
    return found if state.has(*found) else None


def find_parent(state: Snapshot, parent: str, child: Entry) -> Entry | None:
    """The entry that a published card calls a parent; `Damaged` where its row was altered."""
    if "@" not in parent and digest_in(parent) is None:  # it was not here when the card was settled
        return None
    found = resolve(state, parent)
    return None if found in (None, (child.name, child.version)) else state.find(*found)


def parents_of(state: Snapshot, entry: Entry) -> dict[str, Entry | None]:
    """What a card calls its parents, and which entries these are.

    None stands for one that this hub does not hold, or cannot read.
    """
    found: dict[str, Entry | None] = {}
    for parent in map(str, entry.card.parents):
        try:
            found[parent] = find_parent(state, parent, entry)
        except Damaged:
            found[parent] = None
    return found


def settled(state: Snapshot, name: str, card: Card) -> Card:
    """A card about to be published, with every parent that is here as ``name@version``, once.

    What this hub does not hold stays as it is written, and the log names it. `HubError` where a
    parent's licence does not allow that of its child.
    """
    found = {parent: resolve(state, parent) for parent in card.parents}
    check_derived(
        name, card.licence, {said: _licence(state, place) for said, place in found.items()}
    )
    called = (said if place is None else _called(place) for said, place in found.items())
    return replace(card, parents=tuple(dict.fromkeys(called)))


def check_settled(state: Snapshot, name: str, card: Card) -> None:
    """Look at a settled card again in the transaction that enters it, before it does.

    `ParentCame` where a parent was published since and has a version now; `HubError` where its
    licence does not allow that of its child.
    """
    found = {parent: resolve(state, parent) for parent in card.parents}
    here = {said: place for said, place in found.items() if place is not None}
    if any(said != _called(place) for said, place in here.items()):
        raise ParentCame
    held = {said: _licence(state, place) for said, place in here.items()}
    # Those that nobody knows were named in the log once.
    known = {said: licence for said, licence in held.items() if licence is not None}
    check_derived(name, card.licence, known)


def with_parents(state: Snapshot, entry: Entry) -> tuple[Entry, ...]:
    """An entry and all that it was made from as far as the hub holds it, parents first."""
    ordered: dict[Reference, Entry] = {}
    seen = {(entry.name, entry.version)}
    # A stack of our own: a lineage may be deeper than Python's.
    stack = [(entry, _parents(state, entry))]
    while stack:
        current, rest = stack[-1]
        parent = next(rest, None)
        if parent is None:
            stack.pop()
            ordered[current.name, current.version] = current
        elif (parent.name, parent.version) not in seen:
            seen.add((parent.name, parent.version))
            stack.append((parent, _parents(state, parent)))
    return tuple(ordered.values())


def _parents(state: Snapshot, entry: Entry) -> Iterator[Entry]:
    for parent in entry.card.parents:
        found = find_parent(state, str(parent), entry)
        if found is not None:
            yield found


def _called(place: Reference) -> str:
    return f"{place[0]}@{place[1]}"


def _licence(state: Snapshot, place: Reference | None) -> str | None:
    """None for one that this hub does not hold, or cannot read."""
    if place is None:
        return None
    try:
        return state.find(*place).licence
    except BequestError:  # an altered row of another entry does not keep this one out
        return None
