"""The processes behind the graph: forks, damage, bombs and endless work."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import threading
import time

import pytest

from bequest.core import Outcome, TaskSummary, Verdict
from bequest.errors import HubError
from bequest.hub import Hub

EVERY = " ".join(f"?a{i} ?b{i} ?c{i} ." for i in range(8))
ENDLESS = f"SELECT (COUNT(*) AS ?n) {{ {EVERY} }}"
COUNT = "SELECT (COUNT(?m) AS ?n) { ?m a fair4ml:MLModel }"


def forked(work):
    """What `work` gives in a process that was forked from this one."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        os.close(here)
        try:
            said = json.dumps(work())
        except BaseException as error:
            said = json.dumps(repr(error))
        os.write(there, said.encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        said = json.loads(pipe.read())
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_asks_and_updates_the_graph(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    assert hub.query(COUNT) == [{"n": 1}]

    def publish_and_ask():
        hub.publish(tiny([2.0]), "two", licence="MIT")
        return hub.query(COUNT), hub.rebuild_graph()

    found, triples = forked(publish_and_ask)
    assert found == [{"n": 2}]
    assert hub.query(COUNT) == [{"n": 2}]
    assert hub.rebuild_graph() == triples


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_asks_does_not_hang(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    hub.query(COUNT)

    def ask_without_end():
        with pytest.raises(HubError, match="longer than"):
            hub.query(ENDLESS, timeout=2)

    asks = threading.Thread(target=ask_without_end)
    asks.start()
    time.sleep(0.3)
    assert forked(lambda: hub.query(COUNT)) == [{"n": 1}]
    asks.join()


def ask_spawned(folder):
    return Hub(folder).query(COUNT)


def test_a_spawned_process_asks_the_graph(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    hub.query(COUNT)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(ask_spawned, [hub.folder]) == [{"n": 1}]


def test_a_process_that_somebody_ended_is_replaced(hub, tiny):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    hub.query(COUNT)
    view = (hub.folder / "graph" / "current.json").read_text()
    os.kill(hub._graph._asker._worker._process.pid, signal.SIGKILL)
    assert hub.query(COUNT) == [{"n": 1}]
    assert (hub.folder / "graph" / "current.json").read_text() == view


def test_a_graph_is_asked_where_less_memory_may_be_had_than_is_asked_for(
    hub, tiny, little_memory, caplog
):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    assert hub.query(COUNT) == [{"n": 1}]
    assert caplog.text == ""


def laughs(levels: int) -> str:
    """A text that is ten times as long at each level."""
    binds = ['BIND("laughs ten" AS ?a0)']
    for level in range(levels):
        binds.append(f"BIND(CONCAT({', '.join([f'?a{level}'] * 10)}) AS ?a{level + 1})")
    return f"SELECT (STRLEN(?a{levels}) AS ?n) {{ {' '.join(binds)} }}"


BOMBS = {
    "a billion laughs": laughs(10),
    "an answer without end": f"SELECT * {{ {EVERY} }}",
    "groups without end": f"SELECT (GROUP_CONCAT(STR(?a0)) AS ?n) {{ {EVERY} }}",
    "an order without end": f"SELECT * {{ {EVERY} }} ORDER BY ?a0 ?c7",
    "nested patterns": "SELECT * " + "{" * 3000 + " ?s ?p ?o " + "}" * 3000,
    "nested options": "SELECT * { ?s ?p ?o " + "OPTIONAL { ?s ?p ?o " * 3000 + "}" * 3001,
    "nested paths": "SELECT * { ?s " + "(" * 3000 + "prov:used" + ")*" * 3000 + " ?o }",
    "nested triples": "SELECT * { ?s ?p " + "<<( ?s ?p " * 3000 + "1" + " )>>" * 3000 + " }",
    "nested negations": "ASK { FILTER(" + "!" * 20_000 + "true) }",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_one_line_in_bounded_time_and_memory(hub, tiny, name):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    hub.query(COUNT)
    start = time.monotonic()
    said = ""
    try:
        hub.query(BOMBS[name], timeout=3)
    except HubError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 300
    assert said or name.startswith("nested")  # what is only deep may have an answer
    assert time.monotonic() - start < 20
    assert hub.query(COUNT) == [{"n": 1}]


def test_a_row_that_is_nested_without_end_is_left_out_and_said(hub, tiny, caplog):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    deep = "[" * 100_000 + "]" * 100_000
    seal = hashlib.sha256(deep.encode()).hexdigest()
    with hub._store.records.writing() as db:
        db.execute("INSERT INTO entries VALUES ('two', 1, ?, ?)", (deep, seal))
        db.execute("INSERT INTO outcomes (digest, record) VALUES (?, ?)", (seal, deep))
    with caplog.at_level(logging.WARNING):
        assert hub.query(COUNT) == [{"n": 1}]
    assert caplog.text.count("left out") == 2


def test_laughs_in_a_name_stay_text(hub):
    name = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]><lolz>&lol2;</lolz>'
    target = TaskSummary(name=name, fingerprint="", kind="classification", metric="accuracy")
    verdict = Verdict(0.1, 0.0, 0.2, "accuracy")
    hub.record(Outcome(target=target, source="", method="", selected="transfer", verdict=verdict))
    found = hub.query("SELECT ?n { ?t a mls:Task ; schema:name ?n }")
    assert found == [{"n": name}]
    assert name.replace('"', '\\"') in hub.export("nt")
