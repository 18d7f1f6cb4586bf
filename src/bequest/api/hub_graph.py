"""A hub's registry as the graph that a page draws: models, tasks, and what joins them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import final

from bequest.core import Outcome, TaskSummary
from bequest.hub import Entry, Hub
from bequest.hub.lineage import Edge
from bequest.hub.records.facts import card_facts, task_facts
from bequest.hub.records.names import name_and_version
from bequest.report.graph_view import GraphEdge, GraphNode, HubGraph

__all__ = ["hub_graph"]


def hub_graph(
    hub: Hub, *, title: str = "", prefix: str = "", every: bool = False, check: bool = False
) -> HubGraph:
    """What a hub holds, as a graph to draw.

    Parameters
    ----------
    hub : Hub
    title : str
        What people call the hub; the name of its folder where left out.
    prefix : str
        Only models whose name begins with this, the tasks that they touch, and what they were
        made from.
    every : bool
        One node for every version; where False, one for a name, which stands for all of them.
    check : bool
        Whether every claimed parent is held against the weights, which reads the models.

    Returns
    -------
    HubGraph
        Outcomes that no source applied to have no edge; models that others name and that the hub
        does not hold are there as ``elsewhere``.

    Raises
    ------
    HubError
        There is no hub, or it cannot be read.

    Examples
    --------
    >>> hub_graph(Hub("no-such-folder/hub"))
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: there is no hub at ...
    """
    entries = hub.list(prefix, every=every)
    drawn = _Drawn(hub.list(every=True), entries, every)
    for entry, parents in zip(entries, hub.parents(entries), strict=True):
        drawn.add_entry(entry, parents, _checked(hub, entry) if check else {})
    for outcome in hub.outcomes(prefix):
        drawn.add_outcome(outcome, prefix)
    return HubGraph(title or hub.folder.name, tuple(drawn.nodes.values()), tuple(drawn.edges))


def _checked(hub: Hub, entry: Entry) -> Mapping[str, Edge]:
    """What the weights say of each parent that the card claims, in the card's order."""
    if not entry.card.parents:
        return {}
    edges = hub.lineage(entry.name, entry.version).edges
    said = [edge for edge in edges if edge.child == str(entry) and edge.declared]
    return dict(zip(dict.fromkeys(map(str, entry.card.parents)), said, strict=False))


@final
class _Drawn:
    """Nodes and edges as they come in, each node once."""

    def __init__(self, known: Iterable[Entry], shown: Iterable[Entry], every: bool) -> None:
        self.nodes: dict[str, GraphNode] = {}
        self.edges: list[GraphEdge] = []
        self._every = every
        self._versions: dict[str, list[int]] = {}
        self._entries: dict[str, Entry] = {}
        for entry in known:
            self._versions.setdefault(entry.name, []).append(entry.version)
            self._entries[self._key(entry)] = entry  # the latest version comes last
        for entry in shown:
            self._model(self._key(entry))

    def add_entry(
        self, entry: Entry, parents: Mapping[str, Entry | None], checked: Mapping[str, Edge]
    ) -> None:
        """Its task, and what it was made from."""
        child = self._key(entry)
        if task := self._task(entry.card.task):
            self.edges.append(GraphEdge(child, task, "trained on"))
        method = entry.card.method or ""
        for parent, meant in parents.items():
            source = self._model(f"elsewhere {parent}" if meant is None else self._key(meant))
            if source == child:  # another version of it, where one node stands for all
                continue
            edge = checked.get(parent)
            verified, evidence = (edge.verified, edge.evidence) if edge else (None, "")
            self.edges.append(
                GraphEdge(source, child, "made from", method, None, verified, evidence)
            )

    def add_outcome(self, outcome: Outcome, prefix: str) -> None:
        """A transfer; one that no source applied to leaves its task alone."""
        if not outcome.source.startswith(prefix):
            return
        task = self._task(outcome.target)
        if outcome.source and task:
            source = self._model(self._source(outcome.source))
            self.edges.append(GraphEdge(source, task, "transfer", outcome.method, outcome.verdict))

    def _key(self, entry: Entry) -> str:
        return f"model {entry if self._every else entry.name}"

    def _source(self, said: str) -> str:
        """The key of the model that an outcome names; without a version, its latest one."""
        name, version = name_and_version(said)
        versions = self._versions.get(name)
        if versions is None or (version is not None and version not in versions):
            return f"elsewhere {said}"
        return f"model {name}@{version or max(versions)}" if self._every else f"model {name}"

    def _model(self, key: str) -> str:
        if key not in self.nodes:
            name = key.partition(" ")[2]
            entry = self._entries.get(key)
            if entry is None:
                self.nodes[key] = GraphNode(key, name, "elsewhere")
            else:
                shown = str(entry) if self._every else entry.name
                facts = tuple(_facts(entry))
                self.nodes[key] = GraphNode(key, shown, "model", entry.licence, facts)
        return key

    def _task(self, task: TaskSummary) -> str:
        """The key of a task's node; empty where nothing tells it from others."""
        name, fingerprint = task.name, task.fingerprint
        if not (name or fingerprint):
            return ""
        key = f"task {fingerprint}" if fingerprint else f"task named {name}"
        if key not in self.nodes:
            facts = [*task_facts(task), ("fingerprint", fingerprint)]
            self.nodes[key] = GraphNode(
                key, name or fingerprint, "task", "", tuple(pair for pair in facts if pair[1])
            )
        return key


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    """The card without what stands beside it on the page."""
    yield "version", str(entry.version)
    for label, value in card_facts(entry):
        if label not in ("licence", "made from") and not label.startswith("task "):
            yield label, value
