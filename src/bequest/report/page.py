"""The page: an outcome laid out by the templates, and written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bequest.core import Outcome
from bequest.report import charts, sentences
from bequest.report.amounts import Reading, count, duration, number, plain, reading_of
from bequest.report.map_page import map_of
from bequest.report.map_view import MapView
from bequest.report.template import PAGES, write_page

__all__ = ["render", "write_report"]

NOT_MOVED = ("new", "fresh", "a linear probe")  # how the rule of such a layer begins
NOTED = 5  # notes before the rest folds away
SHOWN = 12  # rows of a table before the rest folds away


def render(outcome: Outcome) -> str:
    """The report as a whole page of HTML that needs no other file, no script and no network.

    Names of models and tasks are escaped.

    Examples
    --------
    >>> from bequest.core import TaskSummary, Verdict
    >>> verdict = Verdict(gain=0.12, low=0.08, high=0.16, metric="accuracy")
    >>> outcome = Outcome(target=TaskSummary(name="digits 5-9"), source="digits 0-4",
    ...                   method="fine-tune", selected="transfer", verdict=verdict)
    >>> "about 12 more right answers in 100" in render(outcome)
    True
    """
    reading = reading_of(outcome.verdict.metric)
    plan = map_of(outcome)
    return PAGES.get_template("page.html").render(
        outcome=outcome,
        verdict=outcome.verdict,
        reading=reading,
        sentences=sentences,
        shown=SHOWN,
        noted=NOTED,
        level=f"{100 * outcome.verdict.level:g}",
        facts=_facts(outcome, reading),
        gain=charts.gain_rows(outcome, reading),
        folds=charts.folds_chart(outcome, reading),
        ranking=charts.ranking_rows(outcome.ranking),
        unfit=[entry for entry in outcome.ranking if entry.reason],
        curve=outcome.labels_saved and charts.curve_chart(outcome.labels_saved, reading),
        moved=_moved(outcome.transferred, plan),
        map=plan,
        arms=charts.arm_rows(outcome, reading),
        details=_details(outcome),
        version=version("bequest"),
    )


def write_report(outcome: Outcome, path: str | Path) -> Path:
    """Write the report of one transfer to a file, see `write_page`."""
    return write_page(path, render(outcome))


def _facts(outcome: Outcome, reading: Reading) -> list[tuple[str, str]]:
    """The few numbers that stand under the verdict."""
    facts = []
    for name, label in (("transfer", "With transfer"), ("from-scratch", "From scratch")):
        folds = [value for value in outcome.folds.get(name, ()) if math.isfinite(value)]
        if folds:
            facts.append((label, reading.value(sum(folds) / len(folds))))
    saved = outcome.labels_saved
    if saved is not None and saved.saved >= 1 and outcome.verdict.kind == "helps":
        sure = math.isfinite(saved.needed)
        text = number(saved.saved, 0) if sure else sentences.at_least(saved)
        facts += [("Labels saved", text)] if text else []
    if outcome.target.rows:
        facts.append(("Your labelled rows", f"{outcome.target.rows:,}"))
    seconds = outcome.cost.get("seconds")
    if seconds is not None:
        facts.append(("Time taken", duration(seconds)))
    return facts


def _moved(moved: tuple[Mapping[str, Any], ...], plan: MapView | None) -> dict[str, Any]:
    """Layers with their share of all parameters, and how many are the source's for sure."""
    if plan is not None:  # the page shows the map whole instead of the layers
        mapped = plan.amounts.copied + plan.amounts.reshaped
        return {"rows": (), "kept": mapped, "total": plan.amounts.total}
    counts = [max(0.0, float(entry.get("numbers", 0))) for entry in moved]
    rules = [str(entry.get("rule", "")) for entry in moved]
    total = sum(counts)
    rows = [
        {
            "part": str(entry.get("part", "")),
            "rule": rule,
            "numbers": number(amount, 0),
            "share": 100.0 * amount / max(total, 1.0),
            "new": rule.startswith(NOT_MOVED),
        }
        for entry, rule, amount in zip(moved, rules, counts, strict=True)
    ]
    pairs = list(zip(rules, counts, strict=True))
    kept = sum(amount for rule, amount in pairs if not rule.startswith((*NOT_MOVED, "rows of")))
    whole = set(rules) <= {"as it is", "frozen"}  # the source as one piece: nothing to list
    return {"rows": () if whole else rows, "kept": kept, "total": total}


def _details(outcome: Outcome) -> dict[str, Mapping[str, str]]:
    """Everything that a reader needs to run it again, by heading."""
    cost = {name.replace("_", " "): _cost(name, value) for name, value in outcome.cost.items()}
    target = {name: _target(name, value) for name, value in outcome.target.to_dict().items()}
    return {
        "The target": target,
        "Settings": {name: plain(value) for name, value in outcome.settings.items()},
        "Cost": cost,
        "Versions": {name: plain(value) for name, value in outcome.versions.items()},
        "Seed": {"seed": str(outcome.seed)},
    }


def _cost(name: str, value: float) -> str:
    if name == "seconds":
        return duration(value)
    return f"{number(value, 0)} MB" if "memory" in name else number(value)


def _target(name: str, value: Any) -> str:
    if name == "classes" and isinstance(value, list | tuple):
        if not value:
            return "none"
        more = f" and {len(value) - 20:,} more" if len(value) > 20 else ""
        return f"{count(len(value), 'class')}: {plain(value[:20])}{more}"
    return plain(value)
