"""The small form of the benchmark of a large hub, and the hub that it makes."""

from __future__ import annotations

import pytest
from benchmarks.hub_graph import HOPS, build, following, opening, read_facts, tables, triples
from benchmarks.hub_made import fill

from bequest.hub import Hub

TINY = {"models": 200, "tasks": 40, "outcomes": 600}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "hub"
    fill(place, **TINY)
    return place


def test_a_made_hub_is_a_hub(folder):
    hub = Hub(folder)
    entries = hub.list()
    assert len(entries) == TINY["models"]
    assert len(hub.outcomes()) == TINY["outcomes"]
    assert {str(hub.show(e.name).card.licence) for e in entries[:20]} > {"MIT"}
    assert any(entry.card.parents for entry in entries)
    kinds = {outcome.verdict.kind for outcome in hub.outcomes()}
    assert kinds == {"helps", "hurts", "undecided"}


def test_the_same_seed_makes_the_same_hub(folder, tmp_path):
    fill(tmp_path / "again", **TINY)
    assert Hub(tmp_path / "again").list() == Hub(folder).list()


def test_graph_rdflib_and_sqlite_hold_the_same_facts(folder):
    hub = Hub(folder)
    assert build(folder)["triples"] > 10 * TINY["outcomes"]
    facts = read_facts(folder)
    assert len(facts["gain"]) == TINY["outcomes"]
    held = tables(facts)
    assert held.execute("SELECT count(*) FROM outcome").fetchone()[0] == TINY["outcomes"]
    assert len(triples(facts)) == sum(map(len, facts.values()))
    everything = "SELECT count(*) FROM outcome JOIN derived USING (source) WHERE verdict = 'helps'"
    rows = hub.query(HOPS.replace("SELECT ?model ?gain ?licence", "SELECT (COUNT(*) AS ?n)"))
    assert rows[0]["n"] == held.execute(everything).fetchone()[0]
    held.close()


def test_opening_and_publishing_are_measured(folder):
    assert opening(folder)["first_query"]["wall_s"] > 0
    assert following(folder)["graph"]["median_ms"] > 0
    assert len(Hub(folder).list("new/")) == 20
