"""`bequest hub`: the care of a hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import bequest as bq
from bequest.cli._console import line
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.cli._outcome import read_outcome
from bequest.cli._progress import progress
from bequest.core.wording import pluralise
from bequest.errors import Damaged
from bequest.hub import Entry, split_reference

__all__ = ["app"]

app = command(
    "hub",
    "bequest hub verify",
    "bequest hub record ward7/outcome.json --hub /team/hub",
    "bequest hub export ttl --out hub.ttl",
    "bequest hub rebuild-graph --hub /team/hub",
    "bequest hub bundle wards/ward7 ward7.bundle",
    "bequest hub unbundle ward7.bundle --hub /other/hub",
)
Graph = Annotated[
    str | None,
    Parameter(
        show_default=False,
        help="Address of the SPARQL server that keeps the graph, where the hub itself does not.",
    ),
]


@app.command(name="verify")
def verify(name: str | None = None, /, *, hub: HubPlace = HUB, common: Common = COMMON) -> None:
    """Check every file's hash, every row's seal and every claimed parent.

    Ends with 1 where something is wrong; what only cannot be told does not count.

    Parameters
    ----------
    name
        All versions of this name only.
    """
    with progress("reading all of it"):
        found = bq.Hub(hub).verify(name)
    wrong = [finding for finding in found if finding.wrong]
    sound = [] if wrong else [f"Nothing is wrong in {hub if name is None else name}."]
    common.answer([asdict(finding) for finding in found], *found, *sound)
    if wrong:
        raise Damaged(f"{pluralise(len(wrong), 'finding')} of what is wrong in {hub}.")


@app.command(name="record")
def record(outcome: Path, /, *, hub: HubPlace = HUB, common: Common = COMMON) -> None:
    """Keep what came of a transfer, helpful or not; one that is kept already is not kept twice.

    Parameters
    ----------
    outcome
        outcome.json, or the folder that transfer left.
    """
    digest = bq.Hub(hub).record(read_outcome(outcome))
    common.answer({"outcome": digest}, f"Recorded {outcome} ({digest[:12]}) in {hub}")


@app.command(name="export")
def export(
    form: Literal["ttl", "jsonld", "nt"],
    /,
    *,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    graph: Graph = None,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """Write the knowledge graph as text: Turtle, JSON-LD or N-Triples.

    Parameters
    ----------
    form
        Which of them.
    out
        The file to write; printed where left out.
    """
    text = bq.Hub(hub, graph=graph).export(form, out)
    if out is None:
        line(text.rstrip("\n"))
    else:
        common.answer({"written": out}, f"Written: {out}")


@app.command(name="rebuild-graph")
def rebuild_graph(*, graph: Graph = None, hub: HubPlace = HUB, common: Common = COMMON) -> None:
    """Build the knowledge graph anew from the registry."""
    triples = bq.Hub(hub, graph=graph).rebuild_graph()
    said = f"Rebuilt the graph of {hub} from its registry: {triples} triples."
    common.answer({"triples": triples}, said)


@app.command(name="bundle")
def bundle(name: str, out: Path, /, *, hub: HubPlace = HUB, common: Common = COMMON) -> None:
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
def unbundle(file: Path, /, *, hub: HubPlace = HUB, common: Common = COMMON) -> None:
    """Take in the entries of a bundle, every hash computed again: all of them or none.

    Parameters
    ----------
    file
        What bundle wrote.
    """
    _told(bq.Hub(hub).unbundle(file), "Taken in", common, hub)


def _told(entries: Sequence[Entry], done: str, common: Common, place: Path | str) -> None:
    names = [str(entry) for entry in entries]
    listed = ", ".join(names) or "nothing, all of it is here already"
    common.answer({"entries": names, "written": place}, f"{done}: {listed}")
