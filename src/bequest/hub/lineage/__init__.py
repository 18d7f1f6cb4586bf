"""Lineage that is checked, not declared: what the weights say of a claimed parent."""

from bequest.hub.lineage.findings import Finding, findings
from bequest.hub.lineage.relate import Relation, merge_of, relate
from bequest.hub.lineage.sketches import SketchIndex
from bequest.hub.lineage.tree import Edge, Lineage, refresh, trace

__all__ = [
    "Edge",
    "Finding",
    "Lineage",
    "Relation",
    "SketchIndex",
    "findings",
    "merge_of",
    "refresh",
    "relate",
    "trace",
]
