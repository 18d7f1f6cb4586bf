"""`bequest report`: the page of an outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bequest.cli._options import Common, command
from bequest.cli._outcome import read_outcome
from bequest.cli._places import new_file
from bequest.cli._say import line, print_json
from bequest.report import write_report

__all__ = ["app"]

app = command("report", "bequest report ward7/outcome.json --out ward7.html")
_COMMON = Common()


@app.default
def report(
    outcome: Annotated[Path, Parameter(help="outcome.json, or the folder that transfer left.")],
    /,
    *,
    out: Path,
    common: Common = _COMMON,
) -> None:
    """Write the HTML page of an outcome.

    Parameters
    ----------
    out
        The page to write; it opens without a network.
    """
    with new_file(out) as place:
        write_report(read_outcome(outcome), place)
    if common.json:
        print_json({"written": out})
    else:
        line(f"Written: {out}")
