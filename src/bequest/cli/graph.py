"""`bequest graph`: the page of a hub's graph."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import bequest as bq
from bequest.api.hub_graph import hub_graph
from bequest.cli._console import line, print_json
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.cli._paths import new_file
from bequest.cli._progress import progress
from bequest.core.wording import pluralise
from bequest.report.graph_page import write_graph
from bequest.report.graph_view import GraphEdge

__all__ = ["app"]

app = command(
    "graph",
    "bequest graph --out hub.html",
    "bequest graph wards/ --check --hub /team/hub --out wards.html --json",
)


@app.default
def graph(
    prefix: str = "",
    /,
    *,
    out: Path,
    every: Annotated[bool, Parameter(name="--all", show_default=False)] = False,
    check: Annotated[bool, Parameter(show_default=False)] = False,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """Write the HTML page of a hub's graph: who taught whom, and what it brought.

    Models and tasks are drawn as points, transfers as lines in the colour of their gain; a card
    opens on a click. The page opens without a network.

    Parameters
    ----------
    prefix
        Only models whose name begins with this.
    out
        The page to write.
    every
        Every version, not one point for all versions of a name.
    check
        Hold what models were made from against their weights, which reads them.
    """
    with new_file(out) as place:
        with progress("reading the hub"):
            found = hub_graph(bq.Hub(hub), title=hub, prefix=prefix, every=every, check=check)
        with progress("laying it out"):
            write_graph(found, place)
    if common.json:
        nodes, edges = map(asdict, found.nodes), map(_edge, found.edges)
        print_json({"written": out, "nodes": list(nodes), "edges": list(edges)})
        return
    counts = found.counts
    parts = ", ".join(pluralise(counts[kind], kind) for kind in ("model", "task", "transfer"))
    line(f"Written: {out} ({parts})")


def _edge(edge: GraphEdge) -> dict[str, Any]:
    values = asdict(edge)
    if edge.verdict is not None:
        values["verdict"]["kind"] = edge.verdict.kind
    return values
