"""What is looked at before a model is published: the folder it comes in, and its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bequest.core import Card, Model, Task
from bequest.core.given import checked_path, checked_task
from bequest.errors import HubError
from bequest.frameworks.folder import foreign_config, load
from bequest.hub.foreign import ForeignFolder, read_folder
from bequest.hub.sketch import sketch

__all__ = ["given_model", "published_card"]


def given_model(
    model: Model | str | Path, modules: Sequence[type], base_of: Callable[[Path], Model | None]
) -> ForeignFolder | Model:
    """A model as it is, or its folder, found sound; one of the Hugging Face Hub is loaded.

    Parameters
    ----------
    model : Model or path
    modules : sequence of classes
        As in `bequest.load`.
    base_of : callable
        Finds what the adapter in a folder was made on.

    Raises
    ------
    HubError, ModelError
        As `read_folder` raises them.
    """
    if isinstance(model, Model):
        return model
    place = checked_path(model, "a model folder", HubError).resolve()
    if foreign_config(place) is not None:  # of the Hugging Face Hub: written anew, as ours
        return load(place)
    return read_folder(place, modules, base_of(place))


def published_card(
    card: Card,
    name: str,
    licence: str,
    parents: tuple[str, ...],
    task: Task | None = None,
    epsilon: float | None = None,
) -> Card:
    """The card under which a model is published.

    Raises
    ------
    HubError
        It names another licence already, or there is an epsilon and no task to make a sketch of.
    DataError
        Epsilon is out of range.
    """
    if card.licence and card.licence.lower() != licence.lower():
        raise HubError(
            f"the card says {card.licence}, not {licence}: publish it under {card.licence}, or "
            f"give the model another card first (model.with_card)."
        )
    about = dict(card.task if task is None else checked_task(task).describe())
    if epsilon is not None:
        if task is None:
            raise HubError("a sketch is made of a task's rows: give task, or leave epsilon out.")
        about["sketch"] = sketch(task, epsilon=epsilon).to_dict()
    parents = parents or card.parents
    return replace(card, name=name, licence=licence, task=about, parents=parents)
