"""`bequest report`: the page of an outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bequest.cli._options import COMMON, Common, command
from bequest.cli._outcome import read_outcome
from bequest.cli._paths import new_file
from bequest.report import write_report

__all__ = ["app"]

app = command("report", "bequest report ward7/outcome.json --out ward7.html")


@app.default
def report(
    outcome: Annotated[Path, Parameter(help="outcome.json, or the folder that transfer left.")],
    /,
    *,
    out: Path,
    common: Common = COMMON,
) -> None:
    """Write the HTML page of an outcome.

    Parameters
    ----------
    out
        The page to write; it opens without a network.
    """
    with new_file(out) as place:
        write_report(read_outcome(outcome), place)
    common.answer({"written": out}, f"Written: {out}")
