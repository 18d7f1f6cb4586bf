"""A large hub: open, list, publish, its graph built, followed and asked.

The hub is made by `benchmarks.hub_made`. Every step runs in a process of its own, whose CPU
seconds and peak memory (its own, and of the largest process that it started) are told. The same
three-hop questions are asked of rdflib and of SQLite over the same facts.

    python -m benchmarks.hub_graph [--quick] [--hub FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyoxigraph
import rdflib
from rdflib.plugins.sparql import prepareQuery

from benchmarks.hub_made import entries, fill, make
from bequest.hub import Hub, Iri
from bequest.hub.graph.vocabulary import PREFIXES, node
from bequest.hub.storage.folder.registry import Records
from bequest.hub.storage.folder.rows import Rows

SIZES = {  # by quick
    True: {"models": 2_000, "tasks": 400, "outcomes": 6_000},
    False: {"models": 100_000, "tasks": 20_000, "outcomes": 300_000},
}
TARGETS = {"open_s": 1.0, "build_s": 60.0, "memory_mb": 1024, "hops_ms": 30.0}
# task <- outcome -> source <- derived model -> licence
HOPS = """SELECT ?model ?gain ?licence {
  ?run mls:achieves ?task ; bq:verdict "helps" ; bq:gain ?gain ; prov:used ?source .
  ?model prov:wasDerivedFrom ?source ; dcterms:license ?licence }"""
SQL = """SELECT derived.model, outcome.gain, licence.licence FROM outcome
  JOIN derived ON derived.source = outcome.source JOIN licence ON licence.model = derived.model
  WHERE outcome.task = ? AND outcome.verdict = 'helps'"""


def cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def memory() -> dict[str, float]:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "peak_mb_of_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit,
    }


def timed(work: Callable[[], Any]) -> dict[str, float]:
    start, first = time.perf_counter(), cpu()
    work()
    return {"cpu_s": cpu() - first, "wall_s": time.perf_counter() - start}


def spread(seconds: list[float]) -> dict[str, float]:
    values = sorted(1e3 * one for one in seconds)
    return {"median_ms": statistics.median(values), "p95_ms": values[int(0.95 * len(values))]}


def build(folder: Path) -> dict:
    """The graph anew from the registry."""
    triples = []
    taken = timed(lambda: triples.append(Hub(folder).rebuild_graph()))
    return taken | {"triples": triples[0]} | memory()


def opening(folder: Path) -> dict:
    """A hub that has its graph: what a process waits for at first."""
    hub = Hub(folder)
    return {
        "open": timed(hub.check),
        "list_a_prefix": timed(lambda: hub.list("team1/")),
        "first_query": timed(lambda: hub.query("ASK { ?s ?p ?o }")),
        "list_all": timed(hub.list),
    } | memory()


def following(folder: Path) -> dict:
    """One more entry in the registry, and the question in which it is seen."""
    hub, records = Hub(folder), Records(folder / "registry.sqlite", 30.0)
    hub.query("ASK { ?s ?p ?o }")
    seen, entered, first = [], [], cpu()
    for number, made in enumerate(islice(entries(make(**SIZES[True], seed=1)), 1000, 1020)):
        entry = replace(made, name=f"new/{number}-{time.time_ns()}")
        start = time.perf_counter()
        with records.writing() as db:
            Rows(db, records.path.parent).enter(entry)
        entered.append(time.perf_counter() - start)
        model = node("model", str(entry))
        start = time.perf_counter()
        assert hub.query("ASK { ?m a fair4ml:MLModel }", bindings={"m": model})[0]["answer"]
        seen.append(time.perf_counter() - start)
    spent = {"cpu_ms_of_both": 1e3 * (cpu() - first) / len(seen)}
    return {"registry": spread(entered), "graph": spread(seen)} | spent | memory()


def asking(folder: Path) -> dict:
    """Three hops from random tasks, of the graph, of rdflib and of SQLite."""
    hub = Hub(folder)
    every = hub.query("SELECT ?t { ?t a mls:Task }", timeout=60)
    tasks = [row["t"] for row in random.Random(0).sample(every, min(len(every), 200))]
    facts = read_facts(folder)
    graph = spread_of(lambda task: hub.query(HOPS, bindings={"task": task}, timeout=60), tasks)
    found = {"tasks": len(tasks), "facts": sum(map(len, facts.values())), "graph": graph}
    with closing(tables(facts)) as db:
        found["sqlite"] = spread_of(lambda task: db.execute(SQL, (task,)).fetchall(), tasks)
    with_rdflib = triples(facts)
    prepared = prepareQuery(HOPS, initNs=PREFIXES)
    few = tasks[:20]  # a question takes seconds there
    found["rdflib"] = spread_of(
        lambda task: list(with_rdflib.query(prepared, initBindings={"task": rdflib.URIRef(task)})),
        few,
    )
    same = spread_of(lambda task: hub.query(HOPS, bindings={"task": task}, timeout=60), few)
    assert (same["rows"], graph["rows"]) == (found["rdflib"]["rows"], found["sqlite"]["rows"])
    found["ratio_to_sqlite"] = graph["median_ms"] / found["sqlite"]["median_ms"]
    found["ratio_to_rdflib"] = same["median_ms"] / found["rdflib"]["median_ms"]
    return found | memory()


PREDICATES = {
    "achieves": "mls:achieves",
    "gain": "bq:gain",
    "verdict": "bq:verdict",
    "used": "prov:used",
    "derived": "prov:wasDerivedFrom",
    "licence": "dcterms:license",
}


def read_facts(folder: Path) -> dict[str, list[tuple]]:
    """All triples of the predicates that the question needs."""
    current = json.loads((folder / "graph" / "current.json").read_text())
    store = pyoxigraph.Store.read_only(str(folder / "graph" / current["view"]))
    return {
        name: [
            (quad.subject.value, _plain(quad.object))
            for quad in store.quads_for_pattern(None, pyoxigraph.NamedNode(_iri(name)), None)
        ]
        for name in PREDICATES
    }


def _plain(term: Any) -> Any:
    if isinstance(term, pyoxigraph.NamedNode):
        return Iri(term.value)
    return float(term.value) if term.datatype.value.endswith("double") else term.value


def _iri(name: str) -> str:
    prefix, _, local = PREDICATES[name].partition(":")
    return PREFIXES[prefix] + local


def tables(facts: dict[str, list[tuple]]) -> sqlite3.Connection:
    """The facts as a person would lay them out in SQL, with the indexes that they need."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE outcome (task TEXT, source TEXT, gain REAL, verdict TEXT)")
    db.execute("CREATE TABLE derived (model TEXT, source TEXT)")
    db.execute("CREATE TABLE licence (model TEXT PRIMARY KEY, licence TEXT)")
    source, gain, verdict = (dict(facts[name]) for name in ("used", "gain", "verdict"))
    rows = [(task, source[run], gain[run], verdict[run]) for run, task in facts["achieves"]]
    db.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO derived VALUES (?, ?)", facts["derived"])
    db.executemany("INSERT INTO licence VALUES (?, ?)", facts["licence"])
    db.execute("CREATE INDEX of_task ON outcome (task)")
    db.execute("CREATE INDEX of_source ON derived (source)")
    db.execute("ANALYZE")
    return db


def triples(facts: dict[str, list[tuple]]) -> rdflib.Graph:
    """The same facts in rdflib's memory."""
    graph = rdflib.Graph()
    for name, rows in facts.items():
        predicate = rdflib.URIRef(_iri(name))
        for subject, value in rows:
            term = rdflib.URIRef(value) if isinstance(value, Iri) else rdflib.Literal(value)
            graph.add((rdflib.URIRef(subject), predicate, term))
    return graph


def spread_of(ask: Callable[[Any], Any], tasks: list) -> dict[str, float]:
    ask(tasks[0])
    seconds, rows = [], []
    for task in tasks:
        start = time.perf_counter()
        rows.append(len(ask(task)))
        seconds.append(time.perf_counter() - start)
    return spread(seconds) | {"rows": statistics.mean(rows)}


STEPS = {
    "build": build,
    "open": opening,
    "ask": asking,
    "publish": following,
}


def step(name: str, folder: Path) -> dict:
    """One step in a process of its own, whose peak memory is its own, too."""
    command = [sys.executable, "-m", "benchmarks.hub_graph", "--step", name, "--hub", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    print(f"{name}: {done.stdout.strip()}", file=sys.stderr)
    figures: dict = json.loads(done.stdout)
    return figures


def run(quick: bool = False, hub: Path | None = None) -> dict:
    """Every figure; in the small form a fiftieth of everything."""
    sizes = SIZES[quick]
    with tempfile.TemporaryDirectory() as work:
        folder = hub or Path(work, "hub")
        figures: dict[str, Any] = dict(sizes)
        if not folder.exists():
            figures["made_in"] = timed(lambda: fill(folder, **sizes))
        figures["registry_mb"] = (folder / "registry.sqlite").stat().st_size / 2**20
        figures |= {name: step(name, folder) for name in STEPS}
        small = Path(work, "small")
        fill(small, **SIZES[True])
        figures["publish_with_2000_models"] = step("publish", small)
        graph = (folder / "graph" / "store").rglob("*")
        figures["graph_mb"] = sum(path.stat().st_size for path in graph) / 2**20
    return figures | {"targets": TARGETS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--hub", type=Path, help="a hub of that size that is there already")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        print(json.dumps(STEPS[chosen.step](chosen.hub)))
        return
    print(json.dumps(run(chosen.quick, chosen.hub), indent=1))


if __name__ == "__main__":
    main()
