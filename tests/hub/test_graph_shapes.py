"""Every node and edge that a graph may hold: shapes, words, and that each is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyshacl
import pytest
import rdflib

from bequest.core import Card, Outcome, Task, TaskSummary, Verdict
from bequest.hub import Iri
from bequest.hub.graph import vocabulary
from bequest.hub.lineage import Edge
from bequest.hub.sketches.task_sketch import sketch
from bequest.hub.storage.folder import findings as verified

SHAPES = Path(__file__).with_name("graph_shapes.ttl")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def check(parent: str, child: str, verdict: bool | None, declared: str = "fine-tune") -> Edge:
    return Edge(parent, child, "fine-tuned" if verdict else "unrelated", declared, verdict, "0.08.")


@pytest.fixture
def rich(hub, tiny):
    """Every kind of node and edge."""
    task = TaskSummary(name="ward 7", fingerprint="0f" * 8, kind="classification")
    made = Card(task=task, metrics={"accuracy": 0.9, "auc": 0.8})
    hub.publish(tiny([1.0], made), "base", licence="MIT")
    tuned = Card(
        task=task, method="fine-tune", settings={"lr": 0.1}, parameter_map={"coverage": 0.75}
    )
    hub.publish(tiny([2.0], tuned), "tuned", licence="LicenseRef-team", parents=["base"])
    hub.publish(tiny([3.0]), "merged", licence="LicenseRef-team", parents=["base@1", "tuned"])
    hub.publish(tiny([4.0]), "liar", licence="MIT", parents=["base"])
    for source, gain in (("base@1", 0.05), ("tuned@1", -0.05), ("elsewhere/one@2", 0.0)):
        verdict = Verdict(gain, gain - 0.02, gain + 0.02, "accuracy")
        target = replace(task, metric="accuracy")
        hub.record(
            Outcome(
                target=target,
                source=source,
                method="probe",
                selected="transfer",
                verdict=verdict,
            )
        )
    with hub._store.records.writing() as db:
        verified.keep(
            db,
            [
                check("base@1", "tuned@1", True),
                check("tuned@1", "merged@1", None),
                check("base@1", "liar@1", False),
                check("merged@1", "base@1", True, declared=""),
            ],
        )
    return hub


@pytest.fixture
def sketched(rich):
    """Tasks with sketches: two of one distribution, and two of others."""
    rng = np.random.default_rng(0)
    for number, shift in enumerate((0.0, 0.0, 40.0)):
        rows = rng.normal(size=(2000, 3)) + shift
        rich.record(about(Task.from_arrays(rows, rows[:, 0] > shift, name=f"rows {number}")))
    return rich


def about(task: Task) -> Outcome:
    """A transfer to a task that publishes its sketch."""
    made = sketch(task, rng=np.random.default_rng(len(task.name)))
    target = replace(task.describe(), sketch=made.to_dict())
    verdict = Verdict(0.01, 0.0, 0.02, "accuracy")
    return Outcome(
        target=target, source="base@1", method="probe", selected="transfer", verdict=verdict
    )


def test_tasks_with_close_sketches_are_similar(sketched):
    found = sketched.query(
        "SELECT ?a ?b { ?x schema:isSimilarTo ?y . ?x schema:name ?a . ?y schema:name ?b }"
    )
    assert {(row["a"], row["b"]) for row in found} == {("rows 0", "rows 1"), ("rows 1", "rows 0")}


def test_a_task_that_comes_later_is_held_against_the_earlier_ones(sketched):
    count = "SELECT (COUNT(*) AS ?n) { ?x schema:isSimilarTo ?y }"
    assert sketched.query(count) == [{"n": 2}]
    store = (sketched.folder / "graph" / "store").stat().st_ino
    rows = np.random.default_rng(1).normal(size=(2000, 3)) + 40.0
    sketched.record(about(Task.from_arrays(rows, rows[:, 0] > 40.0, name="later")))
    assert sketched.query(count) == [{"n": 4}]
    assert (sketched.folder / "graph" / "store").stat().st_ino == store
    followed = set(sketched.export("nt").splitlines())
    sketched.rebuild_graph()
    assert set(sketched.export("nt").splitlines()) == followed


def test_sketches_that_were_lost_or_altered_are_read_anew(sketched):
    sketched.query("ASK { ?s ?p ?o }")
    place = sketched.folder / "graph" / "tasks.sqlite"
    head = place.read_bytes()[:200]
    for number, content in enumerate((None, b"\x07" * 5000, head + b"\x07" * 20_000)):
        place.unlink() if content is None else place.write_bytes(content)
        rows = np.random.default_rng(number).normal(size=(2000, 3))
        sketched.record(about(Task.from_arrays(rows, rows[:, 0] > 0, name="one more")))
        before = set(sketched.export("nt").splitlines())
        sketched.rebuild_graph()
        assert set(sketched.export("nt").splitlines()) == before


def test_what_is_no_sketch_says_nothing(rich):
    target = TaskSummary(name="x", fingerprint="ab" * 8, metric="accuracy", sketch={"sums": "no"})
    verdict = Verdict(0.01, 0.0, 0.02, "accuracy")
    rich.record(Outcome(target=target, source="", method="", selected="transfer", verdict=verdict))
    assert rich.query("ASK { ?t schema:name 'x' }") == [{"answer": True}]
    assert rich.query("ASK { ?x schema:isSimilarTo ?y }") == [{"answer": False}]


def test_every_node_has_its_shape(sketched):
    data = rdflib.Graph().parse(data=sketched.export("ttl"), format="turtle")
    conforms, _, report = pyshacl.validate(data, shacl_graph=str(SHAPES))
    assert conforms, report


def test_the_shapes_refuse_what_is_wrong(rich):
    text = rich.export("ttl").replace('"helps"', '"perhaps"')
    data = rdflib.Graph().parse(data=text, format="turtle")
    assert not pyshacl.validate(data, shacl_graph=str(SHAPES))[0]


def test_one_file_holds_every_word_of_the_graph(sketched):
    data = rdflib.Graph().parse(data=sketched.export("nt"), format="nt")
    known = {str(word) for word in vars(vocabulary).values() if isinstance(word, Iri)}
    used = {str(p) for p in data.predicates()} | {
        str(o) for o in data.objects(None, rdflib.RDF.type)
    }
    assert used <= known
    unused = {vocabulary.POSITION, vocabulary.FILE}
    nodes = {vocabulary.GRAPH, vocabulary.STATE, vocabulary.HUB}
    assert known - used <= unused | nodes | {vocabulary.HAS_PART}


def test_what_is_declared_and_what_is_verified_are_two_edges(rich):
    declared = rich.query("SELECT ?m ?p { ?m prov:wasDerivedFrom ?p }")
    shown = rich.query("SELECT ?m ?p { ?m bq:verifiedFrom ?p }")
    node = "urn:bequest:model:"
    assert {(r["m"], r["p"]) for r in declared} == {
        (f"{node}tuned@1", f"{node}base@1"),
        (f"{node}merged@1", f"{node}base@1"),
        (f"{node}merged@1", f"{node}tuned@1"),
        (f"{node}liar@1", f"{node}base@1"),
    }
    assert {(r["m"], r["p"]) for r in shown} == {
        (f"{node}tuned@1", f"{node}base@1"),
        (f"{node}base@1", f"{node}merged@1"),
    }


def test_a_false_claim_is_shown_as_such(rich):
    found = rich.query(
        'SELECT ?m ?p ?why { ?m prov:qualifiedDerivation ?c . ?c bq:verdict "false" ; '
        "prov:entity ?p ; dcterms:description ?why }"
    )
    assert found == [
        {"m": "urn:bequest:model:liar@1", "p": "urn:bequest:model:base@1", "why": "0.08."}
    ]


def test_a_finding_that_is_made_anew_takes_the_place_of_the_old_one(rich):
    query = "SELECT ?v { ?c prov:entity ?p ; bq:verdict ?v . ?m prov:qualifiedDerivation ?c }"
    both = {"m": Iri("urn:bequest:model:merged@1"), "p": Iri("urn:bequest:model:tuned@1")}
    assert rich.query(query, bindings=both) == [{"v": "not told"}]
    with rich._store.records.writing() as db:
        assert verified.keep(db, [check("tuned@1", "merged@1", True)]) == 1
    assert rich.query(query, bindings=both) == [{"v": "verified"}]
    assert len(rich.query("SELECT ?c { ?c a prov:Derivation }")) == 4


def test_a_finding_on_a_new_model_is_added_without_building_anew(rich, tiny, caplog):
    rich.query("ASK { ?s ?p ?o }")
    rich.publish(tiny([5.0]), "next", licence="MIT", parents=["base"])
    with rich._store.records.writing() as db:
        verified.keep(db, [check("base@1", "next@1", True)])
    store = (rich.folder / "graph" / "store").stat().st_ino
    assert len(rich.query("SELECT ?c { ?c a prov:Derivation }")) == 5
    assert (rich.folder / "graph" / "store").stat().st_ino == store
    shown = set(rich.export("nt").splitlines())
    rich.rebuild_graph()
    assert set(rich.export("nt").splitlines()) == shown
