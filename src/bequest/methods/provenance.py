"""What the methods share: the checks before, and the card after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bequest.core import Baseline, Label, Model, Source, Task, TransferMethod
from bequest.core.card import Card
from bequest.errors import DataError, NotApplicable
from bequest.frameworks.boosting import BoostedTrees

__all__ = [
    "answers_otherwise",
    "check_setting",
    "match_label",
    "model_of",
    "named_for",
    "with_provenance",
]


def check_setting(method: Baseline | TransferMethod, name: str, sound: bool, wanted: str) -> None:
    """Raise `DataError` unless a setting is sound."""
    if not sound:
        raise DataError(f"{method.name}: {name} must be {wanted}, it is {getattr(method, name)!r}.")


def model_of(sources: Sequence[Source]) -> Model:
    """The model of the one source that `takes` asks for."""
    [source] = sources
    if source.model is None:
        raise NotApplicable(f"it needs a model, and {source.name} brings data only.")
    return source.model


def named_for(model: Model, task: Task) -> Model:
    """The model with its columns under the task's names, where its library has renamed them."""
    return model.named_as(task.inputs) if isinstance(model, BoostedTrees) else model


def answers_otherwise(source: Model, task: Task) -> NotApplicable | None:
    """Why the source's own outputs do not answer the task: another kind, or unknown classes."""
    if source.kind != task.kind:
        return NotApplicable(f"the source does {source.kind}, the task is {task.kind}.")
    unknown = [label for label in task.classes if match_label(label, source.classes) is None]
    if unknown:
        said = ", ".join(map(str, unknown[:5]))
        return NotApplicable(f"the source does not know the target's classes {said}.")
    return None


def match_label(label: Label, classes: Sequence[Label]) -> int | None:
    """Place of `label` among `classes`: the same value, else the same word but for case.

    Examples
    --------
    >>> match_label("Healthy", ("ill", "healthy")), match_label(3, ("1", "2"))
    (1, None)
    """
    if label in classes:
        return list(classes).index(label)
    words = [str(other).strip().casefold() for other in classes]
    word = str(label).strip().casefold()
    return words.index(word) if words.count(word) == 1 else None


def with_provenance(
    model: Model,
    method: Baseline | TransferMethod,
    sources: Sequence[Source],
    task: Task,
    moved: Sequence[Mapping[str, Any]] = (),
    parameter_map: Mapping[str, Any] | None = None,
) -> Model:
    """The model under a card that says how it was made, from what, on what."""
    licences = {source.card.licence for source in sources}
    card = Card(
        name=f"{task.name} ({method.name})",
        task=task.describe(),
        parents=tuple(source.name for source in sources),
        transferred=tuple(moved),
        method=method.name,
        settings=method.settings(),
        licence=licences.pop() if len(licences) == 1 else "",
        parameter_map=parameter_map or {},
    )
    return model.with_card(card)
