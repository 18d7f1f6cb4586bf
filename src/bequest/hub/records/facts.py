"""What an entry's card says, as pairs of text, and which outcomes speak of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bequest.core import Outcome, TaskSummary
from bequest.hub.records.entry import Entry
from bequest.hub.records.names import name_and_version

__all__ = ["came_of", "card_facts", "made", "task_facts", "taught"]

_TASK = ("kind", "modality", "rows", "metric")
_SHORT = 12  # classes that are named


def card_facts(entry: Entry) -> Iterator[tuple[str, str]]:
    """The card of an entry, line by line: a label and a value."""
    card = entry.card
    yield "licence", entry.licence
    yield "published", entry.published
    yield "digest", entry.digest
    if card.task.name:
        yield "task name", card.task.name
    yield from ((f"task {label}", value) for label, value in task_facts(card.task))
    for metric, value in card.metrics.items():
        yield metric, f"{value:.4g}"
    if card.parents:
        yield "made from", ", ".join(map(str, card.parents))
    if card.method:
        yield "method", " ".join([card.method, *(f"{k}={v}" for k, v in card.settings.items())])
    for part in card.transferred:
        yield "transferred", ", ".join(f"{key}: {value}" for key, value in part.items())


def task_facts(task: TaskSummary) -> Iterator[tuple[str, str]]:
    """What a card or an outcome says of a task, without its name.

    Examples
    --------
    >>> list(task_facts(TaskSummary(name="ward 7", rows=1200, classes=("ill", "well"))))
    [('rows', '1200'), ('classes', 'ill, well')]
    """
    yield from ((word, str(said)) for word in _TASK if (said := getattr(task, word)))
    if classes := task.classes:
        named = ", ".join(map(str, classes[:_SHORT]))
        more = len(classes) - _SHORT
        yield "classes", f"{named} and {more} more" if more > 0 else named


def made(entry: Entry, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The transfers that produced an entry: its task, its parent and its method."""
    card = entry.card
    task, parents = card.task.fingerprint, {str(parent) for parent in card.parents}
    # An outcome may name a model of a folder, which the card calls by its name and version here.
    parents |= {name_and_version(parent)[0] for parent in parents}
    for outcome in outcomes:
        if (
            task
            and outcome.target.fingerprint == task
            and outcome.selected == "transfer"
            and outcome.method == card.method
            and outcome.source in parents
        ):
            yield outcome


def taught(name: str, outcomes: Iterable[Outcome], version: int | None = None) -> Iterator[Outcome]:
    """The transfers whose source was an entry of this name, the oldest first.

    With a version, only those of it; a source without a version may be any.
    """
    for outcome in outcomes:
        said, number = name_and_version(outcome.source)
        if said == name and (version is None or number in (None, version)):
            yield outcome


def came_of(outcome: Outcome) -> dict[str, Any]:
    """One transfer in short, as plain values.

    Examples
    --------
    >>> from bequest.core import Verdict
    >>> verdict = Verdict(gain=0.12, low=0.08, high=0.16, metric="accuracy")
    >>> outcome = Outcome(target=TaskSummary(name="ward 7"), source="ward3@1", method="probe",
    ...                   selected="transfer", verdict=verdict)
    >>> came_of(outcome)["verdict"], came_of(outcome)["target"]
    ('helps', 'ward 7')
    """
    verdict = outcome.verdict
    return {
        "source": outcome.source,
        "target": outcome.target.name,
        "fingerprint": outcome.target.fingerprint,
        "method": outcome.method,
        "metric": verdict.metric,
        "gain": verdict.gain,
        "low": verdict.low,
        "high": verdict.high,
        "verdict": verdict.kind,
        "selected": outcome.selected,
    }
