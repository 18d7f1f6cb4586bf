"""What the weights said of a model's parents, kept in the registry: one row a finding.

Rows are never changed. A later finding on the same two models stands in the place of an earlier
one; one that says the same is not kept again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, replace

from bequest.errors import HubError
from bequest.hub.records.edge import Edge
from bequest.hub.records.names import split_reference
from bequest.hub.storage.folder.registry import Records
from bequest.hub.storage.row_hash import seal_of, sealed

__all__ = ["keep", "save_findings", "unkept"]

logger = logging.getLogger(__name__)

_LONGEST = 1000  # characters of evidence, which is a sentence


def unkept(db: sqlite3.Connection, edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Those of these findings of `trace` that the registry does not hold yet."""
    known: dict[tuple[str, int], dict[str, Edge]] = {}
    new: dict[Edge, None] = {}
    for edge in edges:
        name, version = split_reference(edge.child)
        if version is None:
            raise HubError(f"a finding is on one version, not on {edge.child}.")
        of_child = known.setdefault((name, version), {})
        if not of_child:
            of_child.update(_newest(db, name, version))
        if of_child.get(edge.parent) != _short(edge):
            new[_short(edge)] = None
    return tuple(new)


def keep(db: sqlite3.Connection, edges: Iterable[Edge]) -> int:
    """Add what is not kept yet, in a transaction that has begun; gives the number of new rows."""
    new = unkept(db, edges)
    for edge in new:
        name, version = split_reference(edge.child)
        record = json.dumps(asdict(edge), allow_nan=False)
        db.execute(
            "INSERT INTO lineage (name, version, parent, record, seal) VALUES (?, ?, ?, ?, ?)",
            (name, version, edge.parent, record, seal_of(record)),
        )
    return len(new)


def save_findings(records: Records, edges: Iterable[Edge]) -> int:
    """Keep what is not kept yet, and give the number of new findings.

    A registry that holds them all is not written to.
    """
    with records.reading() as db:
        new = unkept(db, edges)
    if not new:
        return 0
    with records.writing() as db:
        return keep(db, new)


def _newest(db: sqlite3.Connection, name: str, version: int) -> dict[str, Edge]:
    """The newest finding on each parent of an entry; rows that were altered are left out."""
    rows = db.execute(
        "SELECT record, seal FROM lineage WHERE name = ? AND version = ? ORDER BY parent, number",
        (name, version),
    )
    found: dict[str, Edge] = {}
    for record, seal in rows:
        try:
            edge = Edge(**sealed(record, seal))
        except (TypeError, ValueError, RecursionError) as error:
            logger.warning("a finding on %s@%d is left out: %s.", name, version, error)
        else:
            found[edge.parent] = edge
    return found


def _short(edge: Edge) -> Edge:
    return replace(edge, evidence=edge.evidence[:_LONGEST])
