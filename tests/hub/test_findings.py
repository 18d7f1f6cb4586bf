"""What the weights said, kept in the registry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bequest.errors import HubError
from bequest.hub import Hub
from bequest.hub.lineage import Edge
from bequest.hub.storage.folder.findings import keep, save_findings, unkept

EDGE = Edge("base@1", "ward@1", "lora", "lora", True, "rank 2.", "not told")


@pytest.fixture
def records(hub, tiny):
    hub.publish(tiny([1.0]), "base", licence="MIT")
    return hub._store.records


def test_a_registry_without_findings_says_so(records):
    with records.reading() as db:
        assert unkept(db, [EDGE]) == (EDGE,)


def test_a_finding_is_kept_once_and_the_newest_counts(records):
    later = replace(EDGE, verified=False, relation="unrelated")
    with records.writing() as db:
        assert keep(db, [EDGE, EDGE]) == 1
        assert keep(db, [EDGE]) == 0
        assert keep(db, [later, replace(EDGE, parent="other@1")]) == 2
    with records.reading() as db:
        assert unkept(db, [later, replace(EDGE, parent="other@1")]) == ()
        assert unkept(db, [EDGE]) == (EDGE,)
        assert unkept(db, [replace(later, child="ward@2")]) == (replace(later, child="ward@2"),)


def test_an_altered_finding_is_left_out(records, caplog):
    with records.writing() as db:
        keep(db, [EDGE])
        db.execute("UPDATE lineage SET record = replace(record, 'rank 2', 'rank 9')")
    with records.reading() as db:
        assert unkept(db, [EDGE]) == (EDGE,)
    assert "it was altered" in caplog.text


def test_a_hub_with_findings_is_read_and_verified_as_before(hub, records):
    with records.writing() as db:
        keep(db, [EDGE])
    other = Hub(hub.folder)
    assert [entry.name for entry in other.list()] == ["base"]
    assert other.verify() == ()


def test_long_evidence_is_cut_and_not_kept_twice(records):
    long = replace(EDGE, evidence="x" * 5000)
    with records.writing() as db:
        assert keep(db, [long]) == 1
        assert keep(db, [long]) == 0


def test_a_finding_on_no_version_is_refused(records):
    with records.reading() as db, pytest.raises(HubError, match="one version"):
        unkept(db, [replace(EDGE, child="ward")])


def test_what_is_known_already_is_not_written(records):
    assert save_findings(records, [EDGE]) == 1
    files = sorted(records.path.parent.glob("registry.sqlite*"))
    before = [path.read_bytes() for path in files if path.suffix != ".sqlite-shm"]
    assert save_findings(records, [EDGE]) == 0
    assert [path.read_bytes() for path in files if path.suffix != ".sqlite-shm"] == before


@pytest.fixture
def family(hub, tiny):
    """A copy that claims what it was made from, and a stranger that claims the same."""
    rng = np.random.default_rng(0)
    parent = tiny(rng.normal(size=64))
    hub.publish(parent, "parent", licence="MIT")
    hub.publish(tiny(parent.weights), "copy", licence="MIT", parents=["parent", "elsewhere"])
    return hub


VERIFIED = "SELECT ?p { ?m bq:verifiedFrom ?p }"
PARENT = [{"p": "urn:bequest:model:parent@1"}]


def test_what_a_lineage_says_is_in_the_graph_from_then_on(family):
    assert family.query(VERIFIED) == []
    edges = family.lineage("copy").edges
    assert {edge.parent: edge.relation for edge in edges} == {
        "parent@1": "identical",
        "elsewhere": "not told",  # it may come to this hub yet
    }
    with family._store.records.reading() as db:
        assert unkept(db, edges) == edges[1:]
    assert family.query(VERIFIED) == PARENT


def test_what_verify_finds_is_in_the_graph_from_then_on(family):
    assert [finding.wrong for finding in family.verify()] == [False]
    assert family.query(VERIFIED) == PARENT


def test_looking_twice_writes_once(family):
    family.lineage("copy")
    with family._store.records.reading() as db:
        before = db.execute("SELECT * FROM lineage").fetchall()
    family.lineage("copy")
    family.verify("copy")
    with family._store.records.reading() as db:
        assert db.execute("SELECT * FROM lineage").fetchall() == before


def test_a_hub_that_may_only_be_read_tells_its_lineage(family, monkeypatch):
    def barred(edges):
        raise HubError("the hub may not be written")

    monkeypatch.setattr(family._store, "save_findings", barred)
    assert family.lineage("copy").edges[0].verified
    assert family.query(VERIFIED) == []
