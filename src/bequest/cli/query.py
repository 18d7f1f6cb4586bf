"""`bequest query`: a question to a hub's knowledge graph."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._console import line, print_json, table
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.errors import DataError
from bequest.hub import Iri

__all__ = ["app"]

app = command(
    "query",
    "bequest query 'SELECT ?model ?licence { ?model dcterms:license ?licence }'",
    "bequest query 'SELECT ?parent { ?model prov:wasDerivedFrom+ ?parent }' "
    "--bind 'model=<urn:bequest:model:wards/ward7@1>' --hub /team/hub --json",
)


@app.default
def query(
    sparql: str,
    /,
    *,
    bind: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    timeout: float = 5.0,
    graph: Annotated[str | None, Parameter(show_default=False)] = None,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """Ask a hub's knowledge graph: who taught whom, what it brought, who may use it.

    Parameters
    ----------
    sparql
        SELECT, ASK, CONSTRUCT or DESCRIBE, in SPARQL 1.1.
    bind
        NAME=TEXT or NAME=<IRI>: the value of a variable, which never becomes a part of the query;
        may be given several times.
    timeout
        Seconds after which the query is ended.
    graph
        Address of the SPARQL server that keeps the graph, where the hub itself does not.
    """
    found = bq.Hub(hub, graph=graph).query(
        sparql, bindings=dict(map(_bound, bind)), timeout=timeout
    )
    if common.json:
        print_json(found)
    elif found:
        rows = [["" if value is None else value for value in row.values()] for row in found]
        table(tuple(found[0]), rows)
    else:
        line("Nothing fits.")


def _bound(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise DataError(f"{text!a} binds nothing: write NAME=TEXT or NAME=<IRI>.")
    node = value.startswith("<") and value.endswith(">")
    return name, Iri(value[1:-1]) if node else value
