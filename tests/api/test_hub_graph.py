from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bequest as bq
from bequest.api.hub_graph import hub_graph
from bequest.core import Card, Outcome, TaskSummary, Verdict
from bequest.errors import HubError

WARD = TaskSummary(name="ward 7", fingerprint="f00d" * 4, rows=40, metric="accuracy")


def outcome(source, gain=0.1, target=WARD):
    verdict = Verdict(gain, gain - 0.02, gain + 0.02, "accuracy")
    return Outcome(
        target=target, source=source, method="probe", selected="transfer", verdict=verdict
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = bq.train(bq.Task.from_arrays(X, X[:, 0] > 0, name="ward 3"), net="linear")
    hub = bq.Hub(tmp_path_factory.mktemp("hubs") / "hub")
    base = hub.publish(model, "wards/base", licence="MIT")
    child = model.with_card(replace(model.card, name="", method="fine-tune"))
    hub.publish(child, "wards/child", licence="MIT", parents=["wards/base"])
    hub.publish(child, "wards/child", licence="MIT", parents=[base.digest])
    hub.publish(child, "wards/child", licence="MIT", parents=["wards/child", "far/away@3"])
    bare = model.with_card(Card())
    hub.publish(bare, "other", licence="Apache-2.0")
    for source, gain in (("wards/base@1", 0.1), ("wards/child", -0.1), ("stranger", 0.0), ("", 0)):
        hub.record(outcome(source, gain))
    hub.record(outcome("other@1", 0.2, {"name": "unmarked"}))
    return hub


def found(graph):
    names = {node.key: node.name for node in graph.nodes}
    return sorted((names[e.source], e.kind, names[e.target]) for e in graph.edges)


def test_one_node_stands_for_all_versions_of_a_name(hub):
    graph = hub_graph(hub)
    models = {node.name: node for node in graph.nodes if node.kind == "model"}
    assert set(models) == {"other", "wards/base", "wards/child"}
    assert dict(models["wards/child"].facts)["version"] == "3"
    assert models["other"].licence == "Apache-2.0"
    assert found(graph) == [
        ("far/away@3", "made from", "wards/child"),
        ("other", "transfer", "unmarked"),
        ("stranger", "transfer", "ward 7"),
        ("wards/base", "trained on", "ward 3"),
        ("wards/base", "transfer", "ward 7"),
        ("wards/child", "trained on", "ward 3"),
        ("wards/child", "transfer", "ward 7"),
    ]
    assert {node.name for node in graph.nodes if node.kind == "elsewhere"} == {
        "far/away@3",
        "stranger",
    }


def test_with_every_version_parents_are_the_versions_that_were_meant(hub):
    made = [e for e in found(hub_graph(hub, every=True)) if e[1] == "made from"]
    assert made == [
        ("far/away@3", "made from", "wards/child@3"),
        ("wards/base@1", "made from", "wards/child@1"),
        ("wards/base@1", "made from", "wards/child@2"),
        ("wards/child@2", "made from", "wards/child@3"),
    ]


def test_failures_and_tasks_without_a_source_are_there(hub):
    graph = hub_graph(hub)
    assert graph.counts["hurts"] == 1
    assert graph.counts["undecided"] == 1
    task = next(node for node in graph.nodes if node.name == "ward 7")
    assert ("rows", "40") in task.facts
    assert ("fingerprint", WARD.fingerprint) in task.facts


def test_only_what_begins_with_a_prefix(hub):
    graph = hub_graph(hub, prefix="wards/")
    assert "other" not in {node.name for node in graph.nodes}
    assert "stranger" not in {node.name for node in graph.nodes}
    assert graph.counts["transfer"] == 2


def test_claims_are_checked_where_that_is_asked(hub):
    declared = [e for e in hub_graph(hub, every=True).edges if e.kind == "made from"]
    assert {e.verified for e in declared} == {None}
    checked = {
        (e.source, e.target): e.verified
        for e in hub_graph(hub, every=True, check=True).edges
        if e.kind == "made from"
    }
    assert checked["model wards/base@1", "model wards/child@1"] is True
    assert checked["model wards/base@1", "model wards/child@2"] in (True, None)
    assert checked["elsewhere far/away@3", "model wards/child@3"] is None


def test_the_title_is_what_people_call_the_hub(hub):
    assert hub_graph(hub).title == "hub"
    assert hub_graph(hub, title="our models").title == "our models"


def test_no_hub_is_one_line(tmp_path):
    with pytest.raises(HubError, match="there is no hub"):
        hub_graph(bq.Hub(tmp_path / "nothing"))
