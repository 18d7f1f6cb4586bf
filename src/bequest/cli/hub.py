"""`bequest hub`: the care of a hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._options import HUB, Common, HubPlace, command
from bequest.cli._say import line, print_json
from bequest.hub import Entry, split_reference

__all__ = ["app"]

app = command(
    "hub",
    "bequest hub rebuild-graph --hub /team/hub",
    "bequest hub bundle wards/ward7 ward7.bundle",
    "bequest hub unbundle ward7.bundle --hub /other/hub",
)
_COMMON = Common()


@app.command(name="rebuild-graph")
def rebuild_graph(
    *,
    graph: Annotated[str | None, Parameter(show_default=False)] = None,
    hub: HubPlace = HUB,
    common: Common = _COMMON,
) -> None:
    """Build the knowledge graph anew from the registry.

    Parameters
    ----------
    graph
        Address of the SPARQL server that keeps the graph, where the hub itself does not.
    """
    triples = bq.Hub(hub, graph=graph).rebuild_graph()
    if common.json:
        print_json({"triples": triples})
    else:
        line(f"Rebuilt the graph of {hub} from its registry: {triples} triples.")


@app.command(name="bundle")
def bundle(
    name: str,
    out: Path,
    /,
    *,
    hub: HubPlace = HUB,
    common: Common = _COMMON,
) -> None:
    """Write an entry, and what it was made from, to one file for another hub.

    Parameters
    ----------
    name
        The latest version of this name, or NAME@VERSION.
    out
        The file to write.
    """
    wanted, version = split_reference(name)
    _told(bq.Hub(hub).bundle(wanted, out, version), "Bundled", common, out)


@app.command(name="unbundle")
def unbundle(
    file: Path,
    /,
    *,
    hub: HubPlace = HUB,
    common: Common = _COMMON,
) -> None:
    """Take in the entries of a bundle, every hash computed again: all of them or none.

    Parameters
    ----------
    file
        What bundle wrote.
    """
    _told(bq.Hub(hub).unbundle(file), "Taken in", common, hub)


def _told(entries: Sequence[Entry], done: str, common: Common, place: Path | str) -> None:
    if common.json:
        print_json({"entries": [str(entry) for entry in entries], "written": place})
        return
    listed = ", ".join(map(str, entries)) or "nothing, all of it is here already"
    line(f"{done}: {listed}")
