"""What an entry calls its parents: settled when it is published, and read by one rule."""

import json
import logging

import numpy as np
import pytest
from hub_places import everywhere

from bequest.api.hub_graph import hub_graph
from bequest.core import Card, Outcome, TaskSummary, Verdict
from bequest.errors import Conflict, HubError
from bequest.hub import Hub
from bequest.hub.records.facts import made

DERIVED = "SELECT ?m ?p { ?m prov:wasDerivedFrom ?p } ORDER BY ?m ?p"


@pytest.fixture
def base(tiny):
    return tiny(np.random.default_rng(0).normal(size=64))


@pytest.fixture
def stranger(tiny):
    return tiny(np.random.default_rng(1).normal(size=64))


def derived(hub):
    """Child and parent, as the graph has them."""
    nodes = "urn:bequest:model:"
    return {
        (row["m"].removeprefix(nodes), row["p"].removeprefix(nodes)) for row in hub.query(DERIVED)
    }


def drawn(hub):
    """The same, as the page has them."""
    graph = hub_graph(hub, every=True)
    names = {node.key: node.name for node in graph.nodes}
    return {(names[e.target], names[e.source]) for e in graph.edges if e.kind == "made from"}


def traced(hub, name):
    return [edge.parent for edge in hub.lineage(name).edges]


@everywhere
def test_what_comes_later_does_not_change_what_a_parent_is(hub, base, stranger):
    hub.publish(base, "base", licence="MIT")
    child = hub.publish(base, "child", licence="MIT", parents=["base"])
    assert child.card.parents == ("base@1",)
    assert hub.pull("child").card == child.card
    hub.publish(stranger, "base", licence="MIT")
    assert [(e.parent, e.verified) for e in hub.lineage("child").edges] == [("base@1", True)]
    assert derived(hub) == drawn(hub) == {("child@1", "base@1")}
    assert not [finding for finding in hub.verify() if finding.wrong]


@everywhere
def test_a_parent_that_is_named_in_several_ways_is_one(hub, base):
    first = hub.publish(base, "base", licence="MIT")
    ways = ["base", "base@1", first.digest, f"sha256:{first.digest}", first]
    for number, way in enumerate(ways):
        child = hub.publish(base, f"child{number}", licence="MIT", parents=[way])
        assert child.card.parents == ("base@1",)
        assert traced(hub, child.name) == ["base@1"]
    assert hub.publish(base, "all", licence="MIT", parents=ways).card.parents == ("base@1",)
    assert {parent for _, parent in derived(hub)} == {"base@1"}


def test_a_folder_is_published_with_its_parents_settled(hub, base, tmp_path):
    hub.publish(base, "base", licence="MIT")
    base.with_card(Card(parents=("base", "A Title"))).save(tmp_path / "model")
    child = hub.publish(tmp_path / "model", "child", licence="MIT")
    hub.fetch("child", tmp_path / "fetched")
    card = json.loads((tmp_path / "fetched" / "card.json").read_text())
    assert card["parents"] == list(child.card.parents) == ["base@1", "A Title"]
    weights = [(tmp_path / folder / "weights.f64").read_bytes() for folder in ("model", "fetched")]
    assert weights[0] == weights[1]


@everywhere
def test_a_parent_that_is_not_here_stays_as_it_is_written(hub, base, caplog):
    with caplog.at_level(logging.INFO):
        child = hub.publish(base, "child", licence="MIT", parents=["later"])
    assert caplog.text.count("later, whose licence this hub does not know") == 1
    assert child.card.parents == ("later",)
    hub.publish(base, "later", licence="MIT")
    assert traced(hub, "child") == ["later"]
    assert derived(hub) == drawn(hub) == {("child@1", "later")}


@everywhere
def test_a_version_comes_from_the_one_before(hub, base):
    hub.publish(base, "net", licence="MIT", parents=["net"])  # there is none yet
    second = hub.publish(base, "net", licence="MIT", parents=["net"])
    third = hub.publish(base, "net", licence="MIT", parents=["net"])
    assert (second.card.parents, third.card.parents) == (("net@1",), ("net@2",))
    assert (
        derived(hub)
        == drawn(hub)
        == {
            ("net@1", "net"),
            ("net@2", "net@1"),
            ("net@3", "net@2"),
        }
    )


def test_a_digest_that_is_not_here_yet_is_a_content_and_found_when_it_comes(
    hub, tiny, base, tmp_path
):
    elsewhere = Hub(tmp_path / "elsewhere")
    digest = elsewhere.publish(base, "base", licence="MIT").digest
    elsewhere.bundle("base", tmp_path / "base.bundle")
    hub.publish(base, "child", licence="MIT", parents=[f"sha256:{digest}"])
    content = {("child@1", f"urn:bequest:content:{digest}")}
    assert derived(hub) == content
    hub.unbundle(tmp_path / "base.bundle")
    assert traced(hub, "child") == ["base@1"]
    followed = hub.query("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }")[0]["n"]
    assert hub.rebuild_graph() == followed
    assert derived(hub) == content


def test_a_bundle_keeps_what_its_parents_are(hub, base, stranger, tmp_path):
    hub.publish(base, "base", licence="MIT")
    hub.publish(base, "child", licence="MIT", parents=["base"])
    hub.bundle("child", tmp_path / "child.bundle")
    second = Hub(tmp_path / "second")
    second.unbundle(tmp_path / "child.bundle")
    second.publish(stranger, "base", licence="MIT")
    assert traced(second, "child") == ["base@1"]
    assert second.show("child") == hub.show("child")
    third = Hub(tmp_path / "third")
    third.publish(stranger, "base", licence="MIT")
    with pytest.raises(Conflict, match="base@1 is another model here"):
        third.unbundle(tmp_path / "child.bundle")


@pytest.fixture
def meanwhile(monkeypatch):
    """Something that happens once, after a card was settled and before its entry begins."""

    def arrange(hub, happens):
        enter, done = hub._store.enter, []

        def late(*given):
            if not done:
                done.append(True)
                happens()
            return enter(*given)

        monkeypatch.setattr(hub._store, "enter", late)

    return arrange


@everywhere
@pytest.mark.parametrize("called", ["late", "late@1"])
def test_a_parent_that_is_published_at_the_same_moment_counts(hub, base, meanwhile, called):
    hub.publish(base, "other", licence="MIT")
    meanwhile(hub, lambda: hub.publish(base, "late", licence="MIT"))
    child = hub.publish(base, "child", licence="MIT", parents=[called, "other"])
    assert child.card.parents == ("late@1", "other@1")
    assert hub.pull("child").card == child.card
    assert traced(hub, "child") == ["late@1", "other@1"]


@everywhere
@pytest.mark.parametrize("called", ["late", "late@1"])
def test_a_licence_that_comes_at_the_same_moment_is_obeyed(hub, base, meanwhile, called):
    meanwhile(hub, lambda: hub.publish(base, "late", licence="GPL-3.0-only"))
    with pytest.raises(HubError, match=rf"its parent {called} is under GPL-3\.0-only"):
        hub.publish(base, "child", licence="MIT", parents=[called])
    assert hub.names() == ("late",)
    assert not any((hub.folder / "tmp").iterdir())


def test_parents_that_are_given_come_beside_those_of_the_card(hub, base):
    hub.publish(base, "gpl", licence="GPL-3.0-only")
    hub.publish(base, "mit", licence="MIT")
    child = base.with_card(Card(parents=("gpl",)))
    with pytest.raises(HubError, match=r"its parent gpl is under GPL-3\.0-only"):
        hub.publish(child, "child", licence="MIT", parents=["mit"])
    entry = hub.publish(child, "child", licence="GPL-3.0-only", parents=["mit", "gpl@1"])
    assert entry.card.parents == ("gpl@1", "mit@1")


@pytest.mark.parametrize("name", ["gpl/x", b"gpl/x"])
def test_one_name_is_no_list_of_parents(hub, base, name):
    hub.publish(base, "gpl/x", licence="GPL-3.0-only")
    with pytest.raises(HubError, match=r"^parents is a list: write parents=\['gpl/x'\]\.$"):
        hub.publish(base, "child", licence="MIT", parents=name)
    assert hub.names() == ("gpl/x",)


@pytest.mark.parametrize("given", [[3], [None], [("base",)], [b"base"], 3])
def test_a_parent_that_is_no_name_and_no_entry_is_one_line(hub, base, given):
    with pytest.raises(HubError, match="not a ") as told:
        hub.publish(base, "child", licence="MIT", parents=given)
    assert "\n" not in str(told.value)


def test_one_entry_is_no_list_of_parents(hub, base):
    entry = hub.publish(base, "base", licence="MIT")
    with pytest.raises(HubError, match="a list of names or entries, not a Entry"):
        hub.publish(base, "child", licence="MIT", parents=entry)


def test_the_parents_of_entries_are_told(hub, base):
    first = hub.publish(base, "base", licence="MIT")
    child = hub.publish(base, "child", licence="MIT", parents=["base", "elsewhere"])
    assert hub.parents([first, child]) == [{}, {"base@1": first, "elsewhere": None}]


def test_a_damaged_parent_is_told_from_none_and_keeps_no_child_out(hub, base):
    hub.publish(base, "base", licence="MIT")
    with hub._store.records.writing() as db:
        db.execute("UPDATE entries SET record = replace(record, 'MIT', 'BSD')")
    child = hub.publish(base, "child", licence="MIT", parents=["base"])
    assert child.card.parents == ("base@1",)
    assert hub.parents([child]) == [{"base@1": None}]


def test_the_transfer_that_made_an_entry_is_known_by_the_name_of_its_source(hub, tiny):
    task = TaskSummary(name="ward 7", fingerprint="0f" * 8)
    hub.publish(tiny([1.0]), "base", licence="MIT")
    card = Card(task=task, method="probe", parents=("base",))
    entry = hub.publish(tiny([2.0], card), "child", licence="MIT")
    verdict = Verdict(0.1, 0.0, 0.2, "accuracy")
    for source in ("base", "base@1", "base@2", "other"):
        hub.record(
            Outcome(
                target=task, source=source, method="probe", selected="transfer", verdict=verdict
            )
        )
    assert [outcome.source for outcome in made(entry, hub.outcomes())] == ["base", "base@1"]
