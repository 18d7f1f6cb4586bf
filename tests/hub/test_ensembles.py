"""An ensemble in a hub: published, checked, asked for, handed on."""

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.core import Card, Source, Task
from bequest.errors import HubError
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.hub import Hub
from bequest.hub.lineage import ensemble_of
from bequest.hub.lineage.relate import Relation
from bequest.methods.probe import Probe
from bequest.methods.stack import Stack

X = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
TASK = Task.from_arrays(X, np.where(X[:, 0] > 0, "a", "b"), name="signs")


def network(seed, name):
    torch.manual_seed(seed)
    layers = (nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 32), nn.ReLU(), nn.Linear(32, 2))
    return bq.wrap(nn.Sequential(*layers).eval(), classes=["a", "b"], example=X, name=name)


def arms(source, name):
    given = [Source(source, name=name)]
    methods = (Probe(), Stack(inputs=False), Stack(inputs=False, learner="boosting"))
    return tuple(method.fit(given, TASK, rng=np.random.default_rng(0)) for method in methods)


def averaged(members, *parents):
    card = Card(name="four", task=TASK.describe(), parents=parents, method="ensemble")
    return Ensemble(members, card=card)


@pytest.fixture
def base(hub):
    source = network(0, "base")
    hub.publish(source, "base", licence="MIT")
    return source


def test_published_and_pulled_it_gives_the_same(hub, base):
    model = averaged(arms(base, "base"), "base")
    entry = hub.publish(model, "ward7", licence="MIT")
    again = hub.pull("ward7")
    np.testing.assert_array_equal(again.output(X), model.output(X))
    assert entry.card.parents == ("base@1",)
    assert again.members[0].source.module is again.members[1].source.module


def test_its_lineage_says_of_what_it_is_an_ensemble(hub, base):
    hub.publish(averaged(arms(base, "base"), "base"), "ward7", licence="MIT")
    [edge] = hub.lineage("ward7").edges
    assert (edge.parent, edge.relation, edge.verified) == ("base@1", "ensemble of", True)
    assert edge.evidence == "of 3 members 3 identical."
    assert "declared ensemble, verified, ensemble of" in str(edge)
    assert hub.verify() == ()


def test_an_ensemble_over_two_sources_is_one_of_both(hub, base):
    other = network(1, "other")
    hub.publish(other, "other", licence="MIT")
    members = (*arms(base, "base")[:2], *arms(other, "other")[:1])
    hub.publish(averaged(members, "base", "other"), "both", licence="MIT")
    edges = {edge.parent: edge for edge in hub.lineage("both").edges}
    assert {name: edge.relation for name, edge in edges.items()} == {
        "base@1": "ensemble of",
        "other@1": "ensemble of",
    }
    assert edges["base@1"].evidence == "of 3 members 2 identical, 1 unrelated."


def test_a_member_that_is_a_published_model_is_found_too(hub, base):
    probe = arms(base, "base")[0]
    hub.publish(probe, "probe", licence="MIT")
    hub.publish(averaged((probe, base), "probe"), "both", licence="MIT")
    edge = next(e for e in hub.lineage("both").edges if e.child == "both@1")
    assert (edge.relation, edge.verified) == ("ensemble of", True)


def test_a_false_claim_is_found(hub, base):
    hub.publish(network(1, "other"), "other", licence="MIT")
    hub.publish(averaged(arms(base, "base"), "other"), "ward7", licence="MIT")
    [edge] = hub.lineage("ward7").false_claims
    assert (edge.parent, edge.relation) == ("other@1", "unrelated")
    assert [finding.wrong for finding in hub.verify()] == [True]


def test_what_cannot_be_compared_accuses_nobody(hub, base):
    trees = bq.train(TASK, net="boosting", name="trees")
    hub.publish(trees, "trees", licence="MIT")
    stacked = Stack(inputs=False).fit(
        [Source(trees, name="trees")], TASK, rng=np.random.default_rng(0)
    )
    hub.publish(averaged((stacked, *arms(base, "base")), "base", "trees"), "all", licence="MIT")
    edges = {edge.parent: edge for edge in hub.lineage("all").edges}
    assert (edges["base@1"].verified, edges["trees@1"].verified) == (True, None)


def test_a_parent_that_nobody_named_is_found_by_its_weights(hub, base):
    hub.publish(averaged(arms(base, "base")), "ward7", licence="MIT")
    [edge] = hub.lineage("ward7", search=True).edges
    assert (edge.parent, edge.relation) == ("base@1", "ensemble of")


def test_what_is_made_from_an_ensemble_has_it_as_a_parent(hub, base):
    whole = averaged(arms(base, "base"), "base")
    hub.publish(whole, "ward7", licence="MIT")
    child = Probe().fit([Source(whole, name="ward7")], TASK, rng=np.random.default_rng(0))
    hub.publish(child, "ward8", licence="MIT")
    edge = hub.lineage("ward8").edges[0]
    assert (edge.parent, edge.relation, edge.verified) == ("ward7@1", "identical", True)


def test_the_graph_knows_the_relation(hub, base):
    hub.publish(averaged(arms(base, "base"), "base"), "ward7", licence="MIT")
    hub.lineage("ward7")
    found = hub.query(
        "SELECT ?model ?label { ?check dcterms:type ?sort . ?sort schema:name ?label . "
        "?model prov:qualifiedDerivation ?check }"
    )
    assert [(row["model"].rpartition(":")[2], row["label"]) for row in found] == [
        ("ward7@1", "ensemble of")
    ]


def test_a_bundle_takes_it_with_its_parent_to_another_hub(hub, base, tmp_path):
    model = averaged(arms(base, "base"), "base")
    hub.publish(model, "ward7", licence="MIT")
    hub.bundle("ward7", tmp_path / "ward7.bundle")
    second = Hub(tmp_path / "second")
    assert [str(entry) for entry in second.unbundle(tmp_path / "ward7.bundle")] == [
        "base@1", "ward7@1",
    ]  # fmt: skip
    np.testing.assert_array_equal(second.pull("ward7").output(X), model.output(X))


def test_its_folder_is_published_as_the_model_is(hub, base, tmp_path):
    model = averaged(arms(base, "base"), "base")
    model.save(tmp_path / "ward7")
    hub.publish(tmp_path / "ward7", "ward7", licence="MIT")
    np.testing.assert_array_equal(hub.pull("ward7").output(X), model.output(X))


def test_its_model_card_says_what_it_is(hub, base, tmp_path):
    hub.publish(averaged(arms(base, "base"), "base"), "wards/ward7", licence="MIT")
    hub.fetch("wards/ward7", tmp_path / "ward7")
    card = (tmp_path / "ward7" / "README.md").read_text()
    assert "An ensemble of models that were made from base@1." in card
    assert "license: mit" in card


def test_parents_whose_licences_cannot_be_combined_are_refused(hub, base):
    hub.publish(network(1, "one"), "one", licence="GPL-2.0-only")
    hub.publish(network(2, "two"), "two", licence="CC-BY-SA-4.0")
    with pytest.raises(HubError, match="no licence is allowed by both"):
        hub.publish(averaged(arms(base, "base"), "one", "two"), "both", licence="MIT")


def test_an_ensemble_has_nothing_of_a_model_only_where_all_members_tell():
    unrelated, silent = Relation("unrelated", "u."), Relation("not told", "n.")
    assert ensemble_of([unrelated, unrelated]).kind == "unrelated"
    assert ensemble_of([unrelated, silent]).kind == "not told"
    assert ensemble_of([unrelated, Relation("common origin", "c.")]).kind == "common origin"
    found = ensemble_of([silent, Relation("pruned", "p.", "reversed")])
    assert (found.kind, found.direction) == ("ensemble of", "reversed")
    found = ensemble_of([Relation("grown", "g.", "told"), Relation("pruned", "p.", "reversed")])
    assert found.direction == "told"
