"""What is looked at before a model is published: the folder it comes in, and its card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bequest.core import Card, Model, Task
from bequest.core.plain_values import escaped
from bequest.core.validation import validate_path, validate_task
from bequest.errors import HubError
from bequest.frameworks.files.folder import foreign_config, is_peft, load
from bequest.frameworks.files.original_folder import files_of
from bequest.frameworks.hugging_face.name import is_huggingface_name
from bequest.hub.publishing.folder_import import ForeignFolder, read_folder
from bequest.hub.records.entry import Entry
from bequest.hub.records.names import checked_version
from bequest.hub.sketches.task_sketch import sketch, with_sketch

__all__ = ["checked_expect", "given_model", "given_parents", "published_card"]


def checked_expect(expect: int | None) -> int | None:
    """Give the version that must be the latest back; `HubError` where it cannot be one."""
    found = checked_version(expect, "expect")
    if found is not None and found < 0:
        raise HubError(f"expect is the latest version now, or 0 for a new name; not {found}.")
    return found


def given_model(
    model: Model | str | Path, modules: Sequence[type], base_of: Callable[[Path], Model | None]
) -> ForeignFolder | Model:
    """A model as it is, or its folder, found sound; one that came from elsewhere is loaded.

    `base_of` finds what the adapter in a folder was made on; errors are those of `read_folder`.
    """
    if isinstance(model, Model):
        return model
    if is_huggingface_name(model):
        return load(model, modules=modules)
    place = validate_path(model, "a model folder", HubError).resolve()
    if foreign_config(place) is not None:
        files_of(place)  # refused here where they cannot be kept
        return load(place, modules=modules)
    if is_peft(place):
        return load(place, modules=modules, base=base_of(place))
    return read_folder(place, modules, base_of)


def given_parents(parents: Iterable[str | Entry]) -> tuple[str, ...]:
    """What a person calls the parents, as a card does.

    Examples
    --------
    >>> given_parents(["wards/ward3"])
    ('wards/ward3',)
    >>> given_parents("wards/ward3")
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: parents is a list: write parents=['wards/ward3'].
    """
    if isinstance(parents, str | bytes):  # which would be taken letter by letter
        name = parents if isinstance(parents, str) else parents.decode("utf-8", "backslashreplace")
        raise HubError(f"parents is a list: write parents=[{name!a:.140}].")
    if not isinstance(parents, Iterable):
        raise HubError(f"parents is a list of names or entries, not a {type(parents).__name__}.")
    called: tuple[Any, ...] = tuple(parents)
    for parent in called:
        if not isinstance(parent, str | Entry):
            kind = type(parent).__name__
            raise HubError(f"a parent is a name or an Entry, not a {kind}: {parent!a:.80}.")
    return tuple(map(str, called))


def published_card(
    card: Card,
    name: str,
    licence: str,
    parents: tuple[str, ...],
    task: Task | None = None,
    epsilon: float | None = None,
) -> Card:
    """The card under which a model is published; `parents` come behind its own.

    `HubError` where it names another licence already, or there is an epsilon and no task to make a
    sketch of.
    """
    if card.licence and card.licence.lower() != licence.lower():
        said = escaped(card.licence)
        raise HubError(
            f"the card says {said}, not {licence}: publish it under {said}, or give the model "
            "another card first (model.with_card)."
        )
    if task is not None:
        card = replace(card, task=validate_task(task).describe())
    if epsilon is not None:
        if task is None:
            raise HubError("a sketch is made of a task's rows: give task, or leave epsilon out.")
        card = with_sketch(card, sketch(task, epsilon=epsilon))
    # Its own count, too: whoever names another parent does not get rid of their licences.
    named = tuple(dict.fromkeys([*card.parents, *parents]))
    return replace(card, name=name, licence=licence, parents=named).checked()
