"""The knowledge graph: what it says, what it refuses, and that the registry brings it back."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import rdflib

from bequest.core import Outcome, TaskSummary, Verdict
from bequest.errors import HubError
from bequest.hub import Hub, Iri
from bequest.hub.graph.triples import Teller

DCTERMS = "http://purl.org/dc/terms/"


def outcome(source: str, verdict: Verdict, name: str = "ward 7") -> Outcome:
    target = TaskSummary(name=name, fingerprint="0f" * 8, kind="classification", metric="accuracy")
    return Outcome(
        target=target, source=source, method="probe", selected="transfer", verdict=verdict
    )


@pytest.fixture
def known(hub, tiny):
    """A grandparent, a parent, a child, and a transfer that helped and one that hurt."""
    hub.publish(tiny([1.0]), "a/old", licence="MIT")
    hub.publish(tiny([2.0]), "a/middle", licence="MIT", parents=["a/old@1"])
    hub.publish(tiny([3.0]), "a/new", licence="Apache-2.0", parents=["a/middle@1"])
    hub.record(outcome("a/old@1", Verdict(0.06, 0.03, 0.09, "accuracy")))
    hub.record(outcome("a/middle@1", Verdict(-0.05, -0.09, -0.01, "accuracy"), "ward 8"))
    return hub


def test_licences_are_answered_by_name(known):
    found = known.query("SELECT ?m ?l { ?m a fair4ml:MLModel ; dcterms:license ?l } ORDER BY ?m")
    assert len(found) == 3
    assert [row["l"].rpartition("/")[2] for row in found] == ["MIT", "Apache-2.0", "MIT"]


def test_lineage_is_followed_to_the_end(known):
    found = known.query(
        "SELECT ?p { ?m prov:wasDerivedFrom+ ?p }",
        bindings={"m": Iri("urn:bequest:model:a/new@1")},
    )
    assert {row["p"] for row in found} == {
        "urn:bequest:model:a/middle@1",
        "urn:bequest:model:a/old@1",
    }


def test_gains_and_failures_are_both_there(known):
    found = known.query("SELECT ?g ?v { ?e bq:gain ?g ; bq:verdict ?v } ORDER BY ?g")
    assert [row["g"] for row in found] == [-0.05, 0.06]
    assert [str(row["v"]).rpartition("/")[2].rpartition("#")[2] for row in found] == [
        "hurts",
        "helps",
    ]


def test_what_is_published_is_there_at_once_and_for_another_reader(known, tiny):
    count = "SELECT (COUNT(?m) AS ?n) { ?m a fair4ml:MLModel }"
    assert known.query(count) == [{"n": 3}]
    known.publish(tiny([4.0]), "b/one", licence="MIT")
    assert known.query(count) == [{"n": 4}]
    assert Hub(known.folder).query(count) == [{"n": 4}]


def test_changes_leave_nothing_behind_that_grows_with_their_number(known, tiny):
    for number in range(6):
        known.publish(tiny([float(number)]), f"c/{number}", licence="MIT")
        known.query("ASK { ?s ?p ?o }")
    assert len(list((known.folder / "graph" / "store").glob("LOG*"))) <= 2


def test_a_bound_text_is_no_part_of_the_query(known):
    evil = 'x" } ; DROP ALL ; SELECT * { ?s ?p "'
    assert known.query("SELECT ?m { ?m schema:name ?n }", bindings={"n": evil}) == []
    assert known.query("ASK { ?s ?p ?o }") != []


@pytest.mark.parametrize(
    "sparql",
    [
        "DROP ALL",
        "INSERT DATA { <urn:a> <urn:b> <urn:c> }",
        "LOAD <http://127.0.0.1:9/x>",
        "SELECT * { SERVICE <http://127.0.0.1:9/> { ?s ?p ?o } }",
        "SELECT * { SERV\\u0049CE <http://127.0.0.1:9/> { ?s ?p ?o } }",
        "SELECT",
        "",
        "SELECT * { " + "(" * 10_000,
        "SELECT * { ?s ?p ?o FILTER(" + "(" * 5000 + "1" + ")" * 5000 + ") }",
        "x" * 2_000_000,
    ],
    ids=range(10),
)
def test_what_is_no_question_is_one_line_and_changes_nothing(known, sparql):
    before = known.query("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }")
    with pytest.raises(HubError) as told:
        known.query(sparql)
    assert "\n" not in str(told.value)
    assert known.query("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }") == before


def test_a_query_without_end_is_ended(known):
    endless = (
        "SELECT (COUNT(*) AS ?n) { " + " ".join(f"?a{i} ?b{i} ?c{i} ." for i in range(8)) + " }"
    )
    start = time.monotonic()
    with pytest.raises(HubError, match="longer than 1 s"):
        known.query(endless, timeout=1)
    assert time.monotonic() - start < 20
    assert known.query("ASK { ?s ?p ?o }") != []


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5"])
def test_a_timeout_that_is_none_is_refused(known, timeout):
    with pytest.raises(HubError):
        known.query("ASK { ?s ?p ?o }", timeout=timeout)


def test_the_graph_comes_back_from_the_registry(known):
    count = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
    before = known.query(count)
    shutil.rmtree(known.folder / "graph")
    assert Hub(known.folder).query(count) == before
    assert Hub(known.folder).rebuild_graph() == before[0]["n"]


def test_a_graph_of_random_bytes_is_rebuilt(known):
    count = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
    before = known.query(count)
    for path in (known.folder / "graph").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\x07" * 100)
    assert Hub(known.folder).query(count) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["ttl", "nt", "jsonld"])
def test_an_export_holds_what_rdflib_reads(known, form, tmp_path):
    text = known.export(form, tmp_path / "graph.txt")
    assert (tmp_path / "graph.txt").read_text() == text
    name = {"ttl": "turtle", "nt": "nt", "jsonld": "json-ld"}[form]
    read = rdflib.Graph().parse(data=text, format=name)
    assert len(read) == known.query("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }")[0]["n"]


def test_an_unknown_format_is_refused(known):
    with pytest.raises(HubError, match="ttl, jsonld, nt"):
        known.export("xml")


def test_answers_are_plain_values(known):
    found = known.query("SELECT ?g ?v ?m { ?e bq:gain ?g ; bq:verdict ?v . ?m a fair4ml:MLModel }")
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("address", ["no address", "ftp://x", "http://"])
def test_an_address_of_no_server_is_one_line(tmp_path, address):
    with pytest.raises(HubError):
        Hub(tmp_path / "hub", graph=address).query("ASK { ?s ?p ?o }")


def test_models_that_hold_the_same_features_are_found(hub, tiny):
    hub.publish(tiny([1.0]), "alone", licence="MIT")
    teller = Teller(lambda said, child: said, lambda task, sketch: None)
    weights = {"digest": "ab" * 32, "size": 9}
    card = {"parents": [], "licence": "MIT"}
    lines = []
    for name, files in (
        ("base", {"model.safetensors": weights, "card.json": {"digest": "cd" * 32, "size": 1}}),
        ("probe", {"source/model.safetensors": weights, "card.json": {"digest": "cd" * 32}}),
        ("other", {"model.skops": {"digest": "ef" * 32}, "head/model.safetensors": weights}),
    ):
        entry = {"name": name, "version": 1, "digest": name, "published": "", "card": card}
        lines += teller.of_entry((name, 1), entry | {"files": files})
    found = rdflib.Graph().parse(data="\n".join(lines), format="nt")
    shared = "SELECT ?a ?b { ?a dcterms:hasPart/^dcterms:hasPart ?b FILTER(str(?a) < str(?b)) }"
    pairs = [tuple(map(str, row)) for row in found.query(shared, initNs={"dcterms": DCTERMS})]
    assert pairs == [("urn:bequest:model:base@1", "urn:bequest:model:probe@1")]
