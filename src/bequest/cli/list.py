"""`bequest list`: what a hub holds."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._console import line, print_json, sized, table
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command

__all__ = ["app"]

app = command(
    "list",
    "bequest list",
    "bequest list wards/ --all --hub /team/hub --json",
)


@app.default
def list_entries(
    prefix: str = "",
    /,
    *,
    every: Annotated[bool, Parameter(name="--all", show_default=False)] = False,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """List what a hub holds.

    Parameters
    ----------
    prefix
        Only names that begin with this.
    every
        Every version, not the latest of each name only.
    """
    entries = bq.Hub(hub).list(prefix, every=every)
    if common.json:
        print_json([entry.to_dict() for entry in entries])
        return
    rows = [
        (entry, entry.licence, entry.card.task.name, sized(entry.size), entry.published)
        for entry in entries
    ]
    if rows:
        table(("name", "licence", "trained on", "size", "published"), rows)
    else:
        line(f"Nothing in {hub} begins with {prefix!r}." if prefix else f"{hub} is empty.")
