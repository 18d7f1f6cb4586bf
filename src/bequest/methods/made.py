"""What the methods share: the checks before, and the card after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bequest.core import Label, Model, Task, TransferMethod
from bequest.core.card import Card
from bequest.errors import DataError, NotApplicable

__all__ = ["check_setting", "made", "matched", "needs_source"]


def check_setting(method: TransferMethod, name: str, sound: bool, wanted: str) -> None:
    """Raise `DataError` unless a setting is sound."""
    if not sound:
        raise DataError(f"{method.name}: {name} must be {wanted}, it is {getattr(method, name)!r}.")


def needs_source(source: Model | None, task: Task) -> NotApplicable | None:
    """None where there is a source that reads the task's inputs."""
    if source is None:
        return NotApplicable("this method needs a source.")
    return source.applies(task)


def matched(label: Label, classes: Sequence[Label]) -> int | None:
    """Place of `label` among `classes`: the same value, else the same word but for case.

    Examples
    --------
    >>> matched("Healthy", ("ill", "healthy")), matched(3, ("1", "2"))
    (1, None)
    """
    if label in classes:
        return list(classes).index(label)
    words = [str(other).strip().casefold() for other in classes]
    word = str(label).strip().casefold()
    return words.index(word) if words.count(word) == 1 else None


def made(
    model: Model,
    method: TransferMethod,
    source: Model | None,
    task: Task,
    moved: Sequence[Mapping[str, Any]] = (),
    parameter_map: Mapping[str, Any] | None = None,
) -> Model:
    """The model under a card that says how it was made, from what, on what."""
    card = Card(
        name=f"{task.name} ({method.name})",
        task=task.describe(),
        parents=(source.name,) if source is not None else (),
        moved=tuple(moved),
        method=method.name,
        settings=method.settings(),
        licence=source.card.licence if source is not None else "",
        parameter_map=parameter_map or {},
    )
    return model.with_card(card)
