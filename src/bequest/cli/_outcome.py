"""What a person reads of a transfer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bequest as bq
from bequest.cli._console import line, prose, table
from bequest.cli._paths import read_record
from bequest.core.wording import pluralise
from bequest.errors import DataError
from bequest.hub.suggestions.suggest import Suggestion
from bequest.report.sentences import summary

__all__ = ["print_result", "print_suggestions", "read_outcome"]

NOTED = 4  # notes that a terminal shows; the report has all


def read_outcome(path: Path) -> bq.Outcome:
    """Read an outcome's file, or the one in the folder that `transfer` left."""
    place = path.expanduser()
    place = place / "outcome.json" if place.is_dir() else place
    return read_record(place, "outcome", DataError, bq.Outcome.from_json)


def print_result(result: bq.Result) -> None:
    """The ranking, the verdict, which model was handed over, and what a reader must know."""
    outcome = result.outcome
    line(result.ranking)
    line()
    for paragraph in summary(outcome):
        prose(paragraph)
    for remark in outcome.notes[:NOTED]:
        prose(f"Note: {remark}")
    if len(outcome.notes) > NOTED:
        prose(f"{pluralise(len(outcome.notes) - NOTED, 'more note')} in the report.")


def print_suggestions(found: Sequence[Suggestion], metric: str) -> None:
    """The models that a hub suggests, the most promising one first."""
    rows = [(one.name, *_gain(one), one.licence, one.why) for one in found]
    table(("model", f"gain in {metric}", "95 % interval", "licence", "why"), rows)
    if not any(one.known for one in found):
        line()
        prose(
            "No gain is known of any of them: too few outcomes on such tasks were recorded. "
            "bequest rank opens and scores them; publish what bequest transfer leaves, and the hub "
            "remembers."
        )


def _gain(one: Suggestion) -> tuple[str, str]:
    if not one.known:
        return "not known", ""
    return f"{one.gain:+z.3f}", f"{one.low:+z.3f} to {one.high:+z.3f}"
