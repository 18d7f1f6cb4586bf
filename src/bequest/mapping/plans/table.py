"""A parameter map as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bequest.mapping.plans.entry import Amounts, Entry

if TYPE_CHECKING:
    from bequest.mapping.plans.parameter_map import ParameterMap

__all__ = ["table"]

WIDEST = 44  # characters of a name; of a longer one the end is kept


def table(plan: ParameterMap) -> str:
    """One line a tensor, and a summary."""
    rows = [("target", "shape", "rule", "source", "confidence")]
    rows += [_row(entry) for entry in plan.entries]
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    warning = [f"Do not apply this: {plan.contradiction}", ""] if plan.contradiction else []
    return "\n".join([*warning, *lines, "", *summary(plan)])


def summary(plan: ParameterMap) -> list[str]:
    """Totals, and what a person should know before applying it."""
    found = Amounts.of(plan.entries)
    still = f"{found.neutral:,} set to change nothing, " if found.neutral else ""
    lines = [
        f"{plan.from_source:.1%} of {found.total:,} parameters come from the source: "
        f"{found.copied:,} copied, {found.reshaped:,} reshaped; {still}"
        f"{found.initialised:,} initialised."
    ]
    if plan.unused:
        names = ", ".join(plan.unused[:3]) + (", ..." if len(plan.unused) > 3 else "")
        count = len(plan.unused)
        goes = "goes" if count == 1 else "go"
        lines.append(f"{count} of the source's tensors {goes} nowhere: {names}")
    lines += plan.notes
    lines += [f"refused: {problem}" for problem in plan.problems]
    lines += [f"discrepancy: {line}" for line in plan.discrepancies[:5]]
    return lines


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    shape = "×".join(map(str, entry.shape)) or "1"
    confidence = f"{entry.confidence:.2f}" if entry.moves else ""
    rule = "refused" if entry.problem else entry.rule
    return _short(entry.target), shape, rule, _short(", ".join(entry.sources)), confidence


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else "…" + text[1 - WIDEST :]
