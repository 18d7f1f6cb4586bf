"""The page of a hub's graph: models and tasks drawn by a script, and the same as tables without."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bequest.report import template
from bequest.report.graph_view import HubGraph, pack, said
from bequest.report.template import PAGES, write_page

__all__ = ["render_graph", "write_graph"]

MOST = 1000  # rows of a table; who wants more has --json
CLAIMS = {True: " (verified)", False: " (FALSE CLAIM)", None: ""}
SCRIPTS = (
    *("vendor/graphology.min.js", "vendor/sigma.min.js"),
    *("graph.js", "graph_card.js", "graph_draw.js", "graph_start.js"),
)


def render_graph(graph: HubGraph) -> str:
    """A graph as a whole page of HTML that needs no other file and no network.

    All names and cards are escaped, or stand in a block of data that runs as no script; the scripts
    (ours, and the two libraries that draw) are named to the browser by their sha256. Without
    scripts, or without WebGL, the graph is there as tables.

    Examples
    --------
    >>> from bequest.report.graph_view import GraphNode
    >>> "wards/ward7" in render_graph(HubGraph("our hub", (GraphNode("a", "wards/ward7"),)))
    True
    """
    scripts = [_script(name) for name in SCRIPTS]
    return PAGES.get_template("graph_page.html").render(
        graph=graph,
        data=Markup(pack(graph)),  # JSON without "<", in an element that runs as no script
        tables=_tables(graph),
        scripts=[Markup(script) for script in scripts],  # files of this package
        digests=[template.digest(script) for script in scripts],
        licences=template.source("vendor/LICENCES.txt"),
        version=version("bequest"),
    )


def write_graph(graph: HubGraph, path: str | Path) -> Path:
    """Write the page of a graph to a file, see `write_page`."""
    return write_page(path, render_graph(graph))


def _tables(graph: HubGraph) -> list[dict[str, Any]]:
    names = {node.key: node.name for node in graph.nodes}
    tasks: dict[str, list[str]] = {}
    parents: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.kind == "trained on":
            tasks.setdefault(edge.source, []).append(names[edge.target])
        elif edge.kind == "made from":
            parents.setdefault(edge.target, []).append(names[edge.source] + CLAIMS[edge.verified])
    models = [
        (node.name, node.licence, *(", ".join(of.get(node.key, ())) for of in (tasks, parents)))
        for node in graph.nodes
        if node.kind != "task"
    ]
    transfers = [
        (names[e.source], names[e.target], e.method, said(e), e.verdict.kind if e.verdict else "")
        for e in graph.edges
        if e.kind == "transfer"
    ]
    return [
        _table("Models", ("Model", "Licence", "Trained on", "Made from"), models),
        _table("Transfers", ("Source", "Task", "Method", "Gain", "Verdict"), transfers),
    ]


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    more = max(0, len(rows) - MOST)
    return {"title": title, "head": head, "rows": rows[:MOST], "more": more}


def _script(name: str) -> str:
    # A map of the source is another file, which a browser's tools would ask for.
    return template.source(name).partition("//# sourceMappingURL=")[0].strip()
