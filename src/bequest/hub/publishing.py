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
    card: Card, name: str, licence: str, task: Task | None, parents: tuple[str, ...]
) -> Card:
    """The card under which a model is published.

    Raises
    ------
    HubError
        It names another licence already.
    """
    if card.licence and card.licence.lower() != licence.lower():
        raise HubError(
            f"the card says {card.licence}, not {licence}: publish it under {card.licence}, or "
            f"give the model another card first (model.with_card)."
        )
    about = card.task if task is None else checked_task(task).describe()
    parents = parents or card.parents
    return replace(card, name=name, licence=licence, task=about, parents=parents)
