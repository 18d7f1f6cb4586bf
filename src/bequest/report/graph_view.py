"""A graph of models and tasks as plain values, and packed for the page that draws it.

Names, facts and evidence are other people's text: they leave here as JSON that holds no ``<``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import numpy as np

from bequest.core import Verdict
from bequest.report.amounts import reading_of
from bequest.report.graph_layout import lay_out

__all__ = ["GraphEdge", "GraphNode", "HubGraph", "pack", "said", "spoken"]

EdgeKind = Literal["trained on", "made from", "transfer"]
NodeKind = Literal["model", "task", "elsewhere"]
KINDS, NODES = get_args(EdgeKind), get_args(NodeKind)
VERDICTS = ("helps", "hurts", "undecided")
FULL = 0.9  # share of a metric's gains that the colours tell apart; the largest share one colour
# How strongly an edge draws its ends together: what helps stands near, what hurts does not matter.
PULL = {"trained on": 1.0, "made from": 1.0, "helps": 0.6, "undecided": 0.1, "hurts": 0.02}


@final
@dataclass(frozen=True)
class GraphNode:
    """A model or a task."""

    key: str  # unique in the graph
    name: str  # as people read it
    kind: NodeKind = "model"  # elsewhere: a model that others name and that is not in the hub
    licence: str = ""  # SPDX identifier; empty for a task
    facts: tuple[tuple[str, str], ...] = ()  # the card, as label and value


@final
@dataclass(frozen=True)
class GraphEdge:
    """What joins two nodes, by their keys.

    A model and the task that it was trained on; a parent and what was made from it; a model and the
    task that it was transferred to.
    """

    source: str
    target: str
    kind: EdgeKind
    method: str = ""  # of a transfer
    verdict: Verdict | None = None  # what came of a transfer
    verified: bool | None = None  # of "made from", by the weights; None where these cannot tell
    evidence: str = ""  # one line on that


@final
@dataclass(frozen=True)
class HubGraph:
    """Models, tasks and what joins them; edges whose ends are not among the nodes are refused."""

    title: str  # what people call the hub
    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()

    def __post_init__(self) -> None:
        known = {node.key for node in self.nodes}
        if len(known) < len(self.nodes):
            raise ValueError("two nodes of the graph have one key.")
        for edge in self.edges:
            if not {edge.source, edge.target} <= known:
                raise ValueError(f"{edge.source!r} and {edge.target!r} are not both nodes.")

    @property
    def counts(self) -> Counter[str]:
        """How many nodes and edges there are of each kind, and transfers of each verdict."""
        found = Counter[str](node.kind for node in self.nodes)
        found.update(edge.kind for edge in self.edges)
        found.update(edge.verdict.kind for edge in self.edges if edge.verdict)
        return found


def pack(graph: HubGraph) -> str:
    """The graph with positions as JSON for a script element: it holds no ``<``, ``>`` or ``&``.

    Columns: ``nodes`` and ``edges`` with one list per field, and the tables they point into.

    Examples
    --------
    >>> graph = HubGraph("h", (GraphNode("a", "</script>"),))
    >>> "</script>" in pack(graph), json.loads(pack(graph))["nodes"]["name"]
    (False, ['</script>'])
    """
    place = {node.key: n for n, node in enumerate(graph.nodes)}
    ends = np.array([(place[e.source], place[e.target]) for e in graph.edges], dtype=np.int64)
    ends = ends.reshape(-1, 2)
    pull = np.array([PULL[e.verdict.kind if e.verdict else e.kind] for e in graph.edges])
    order = sorted(range(len(graph.nodes)), key=lambda n: graph.nodes[n].key)
    rank = np.argsort(order) if order else np.zeros(0, dtype=np.int64)
    spots = lay_out(len(order), rank[ends], pull)[rank]  # not by the order in which they came
    packed = {
        "nodes": _nodes(graph.nodes, spots),
        "edges": _edges(graph.edges, ends),
        "kinds": [NODES, KINDS, VERDICTS],
        "scales": _scales(graph.edges),
    }
    text = json.dumps(packed, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _nodes(nodes: Sequence[GraphNode], spots: Any) -> dict[str, Any]:
    licences, licence = _table(node.licence for node in nodes)
    labels, _ = _table(label for node in nodes for label, _ in node.facts)
    known = {label: n for n, label in enumerate(labels)}
    return {
        "name": [node.name for node in nodes],
        "kind": [NODES.index(node.kind) for node in nodes],
        "licence": licence,
        "licences": licences,
        "x": [round(float(x), 2) for x in spots[:, 0]],
        "y": [round(float(y), 2) for y in spots[:, 1]],
        "labels": labels,
        "facts": [[part for k, v in node.facts for part in (known[k], v)] for node in nodes],
    }


def _edges(edges: Sequence[GraphEdge], ends: Any) -> dict[str, Any]:
    methods, method = _table(edge.method for edge in edges)
    scales = _largest(edges)
    return {
        "source": ends[:, 0].tolist(),
        "target": ends[:, 1].tolist(),
        "kind": [KINDS.index(edge.kind) for edge in edges],
        "method": method,
        "methods": methods,
        "verdict": [VERDICTS.index(e.verdict.kind) if e.verdict else -1 for e in edges],
        "tone": [_tone(edge.verdict, scales) for edge in edges],
        "verified": [-1 if e.verified is None else int(e.verified) for e in edges],
        "said": [said(edge) for edge in edges],
    }


def _table(texts: Iterable[str]) -> tuple[list[str], list[int]]:
    """The different texts, the most frequent first, and the place of each."""
    given = list(texts)
    counts = Counter(given)
    table = sorted(counts, key=lambda text: (-counts[text], text))
    known = {text: n for n, text in enumerate(table)}
    return table, [known[text] for text in given]


def _largest(edges: Iterable[GraphEdge]) -> dict[str, float]:
    """The gain at which the colours end, by metric."""
    gains: dict[str, list[float]] = {}
    for edge in edges:
        if edge.verdict and math.isfinite(edge.verdict.gain):
            gains.setdefault(edge.verdict.metric, []).append(abs(edge.verdict.gain))
    found = {metric: float(np.quantile(sizes, FULL)) for metric, sizes in gains.items()}
    return {metric: scale or max(gains[metric]) or 1.0 for metric, scale in found.items()}


def _scales(edges: Iterable[GraphEdge]) -> list[list[str]]:
    """For the legend: what is measured, and the gains at both ends of the colours."""
    known = [(reading_of(metric), scale) for metric, scale in sorted(_largest(edges).items())]
    return [[reading.label, reading.gain(-scale), reading.gain(scale)] for reading, scale in known]


def _tone(verdict: Verdict | None, scales: Mapping[str, float]) -> int:
    """The place of a gain among the colours, from -100 to 100."""
    if verdict is None or math.isnan(verdict.gain):
        return 0
    return round(100 * max(-1.0, min(1.0, verdict.gain / scales.get(verdict.metric, 1.0))))


def said(edge: GraphEdge) -> str:
    """A transfer's gain and its interval, or the evidence for another edge, as text."""
    return "{} ({})".format(*spoken(edge.verdict)) if edge.verdict else edge.evidence


def spoken(verdict: Verdict) -> tuple[str, str]:
    """The gain with its unit, and its interval without.

    Examples
    --------
    >>> spoken(Verdict(gain=0.12, low=0.08, high=0.16, metric="accuracy"))
    ('+12.0 points', '+8.0 to +16.0')
    """
    reading = reading_of(verdict.metric)
    decimals = 1 if reading.factor == 100 else None
    gain, low, high = (
        reading.gain(value, decimals) for value in (verdict.gain, verdict.low, verdict.high)
    )
    return gain, " to ".join(end.removesuffix(reading.unit).rstrip() for end in (low, high))
