"""Lineage that is checked, not declared: what the weights say of a claimed parent."""

from bequest.hub.lineage.findings import Finding, findings
from bequest.hub.lineage.relate import ensemble_of, merge_of, relate
from bequest.hub.lineage.sketches import SketchIndex, index_in
from bequest.hub.lineage.tree import Lineage, refresh, trace
from bequest.hub.records.edge import Edge

__all__ = [
    "Edge",
    "Finding",
    "Lineage",
    "SketchIndex",
    "ensemble_of",
    "findings",
    "index_in",
    "merge_of",
    "refresh",
    "relate",
    "trace",
]
