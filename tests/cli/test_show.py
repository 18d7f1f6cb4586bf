"""`bequest show`: the card, where a model comes from, and what came of it; `bequest graph`."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import bequest as bq
from bequest.core import Outcome, TaskSummary, Verdict

LONG = "a task with a name that nobody could ever read to its end in one line of a terminal"


def outcome(source, target, gain, method="probe", selected="transfer"):
    verdict = Verdict(gain, gain - 0.02, gain + 0.02, "accuracy")
    return Outcome(target=target, source=source, method=method, selected=selected, verdict=verdict)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    X = np.random.default_rng(0).normal(size=(40, 3))
    task = bq.Task.from_arrays(X, X[:, 0] > 0, name="ward 7")
    model = bq.train(task, net="linear")
    hub = bq.Hub(tmp_path_factory.mktemp("hubs") / "hub")
    hub.publish(model, "wards/base", licence="MIT")
    made = model.with_card(replace(model.card, method="probe", settings={"strength": 1.0}))
    hub.publish(made, "wards/made", licence="MIT", parents=["wards/base@1"])
    about = task.describe()
    hub.record(outcome("wards/base@1", about, 0.1))
    hub.record(outcome("wards/base@1", about, 0.3, "fine-tune"))  # another method
    hub.record(outcome("wards/base@1", about, 0.2, selected="from-scratch"))
    for number in range(20):
        target = TaskSummary(name=f"{LONG} {number}", fingerprint=f"{number:016x}")
        hub.record(outcome("wards/made@1", target, number / 100 - 0.1))
    hub.record(outcome("wards/made@9", TaskSummary(name="of another hub"), 0.5))
    hub.record(outcome("wards/made-up@1", TaskSummary(name="of another name"), 0.5))
    return hub


def test_show_tells_what_made_it_and_what_it_taught(cli, hub):
    said = cli("show", "wards/made@1", "--hub", hub.folder).out
    assert "Made by probe from wards/base@1: +10.0 points (+8.0 to +12.0)" in said
    assert said.count("Made by") == 1
    assert "└─ wards/base@1 [declared probe, verified, identical" in said
    assert "Source of 20 recorded transfers: 7 helped, 9 hurt, 4 undecided" in said
    assert re.search(r"\+9\.0 points +\+7\.0 to \+11\.0 +helps\n", said)
    assert "and 5 more, which --json has." in said
    assert "of another" not in said


def test_without_a_version_the_transfers_of_all_are_told(cli, hub):
    assert "Source of 21 recorded transfers" in cli("show", "wards/made", "--hub", hub.folder).out


@pytest.mark.parametrize("name", ["wards/made", "wards/base"])
def test_in_a_pipe_no_line_is_longer_than_80_columns(cli, hub, name):
    lines = cli("show", name, "--hub", hub.folder).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]


def test_json_holds_the_same_facts(cli, hub):
    found = cli("show", "wards/made@1", "--hub", hub.folder, "--json").json
    assert [m["gain"] for m in found["made_by"]] == [0.1]
    assert len(found["taught"]) == 20
    assert {t["verdict"] for t in found["taught"]} == {"helps", "hurts", "undecided"}
    [edge] = found["lineage"]
    assert (edge["parent"], edge["verified"], edge["declared"]) == ("wards/base@1", True, "probe")


def test_what_taught_nothing_says_so(cli, hub, tmp_path):
    alone = bq.Hub(tmp_path / "alone")
    alone.publish(hub.pull("wards/base"), "base", licence="MIT")
    said = cli("show", "base", "--hub", alone.folder).out
    assert "Source of no recorded transfer" in said
    assert "Made from" not in said


def test_names_of_tasks_move_no_cursor(cli, hub, tmp_path):
    other = bq.Hub(tmp_path / "other")
    other.publish(hub.pull("wards/base"), "base", licence="MIT")
    other.record(outcome("base@1", {"name": "\x1b[31mred\x9b2J\u202e"}, 0.1))
    said = cli("show", "base", "--hub", other.folder).out
    assert "\N{REPLACEMENT CHARACTER}[31mred" in said
    assert not [c for c in said if not c.isprintable() and c != "\n"]


def test_an_unknown_name_is_one_line_with_the_name_that_was_meant(cli, hub):
    done = cli("show", "wards/mode", "--hub", hub.folder)
    assert (done.code, "Did you mean 'wards/made'?" in done.line) == (1, True)
    assert "the latest is 1" in cli("show", "wards/made@7", "--hub", hub.folder).line
    assert "there is no hub" in cli("show", "wards/made", "--hub", "nowhere").line


def test_an_altered_entry_and_an_altered_outcome_are_one_line(cli, tmp_path, hub):
    broken = bq.Hub(tmp_path / "broken")
    for name in ("base", "other"):
        broken.publish(hub.pull("wards/base"), name, licence="MIT")
    for gain in (0.1, 0.5):
        broken.record(outcome("base@1", {"name": "t"}, gain))
    with closing(sqlite3.connect(broken.folder / "registry.sqlite")) as db:
        db.execute("UPDATE outcomes SET record = replace(record, '0.1', '0.9')")
        db.commit()
        done = cli("show", "base", "--hub", broken.folder)
        assert (done.code, "was altered" in done.line) == (1, True)
        db.execute("UPDATE entries SET seal = 'x' WHERE name = 'base'")
        db.commit()
    done = cli("show", "base", "--hub", broken.folder)
    assert (done.code, "the row of base@1" in done.line) == (1, True)


def test_graph_writes_its_page_and_says_what_is_in_it(cli, hub):
    done = cli("graph", "--hub", hub.folder, "--out", "hub.html")
    assert (done.code, done.err) == (0, "")
    assert done.out == "Written: hub.html (2 models, 23 tasks, 25 transfers)\n"
    with open("hub.html", encoding="utf-8") as file:
        assert "wards/made" in file.read()


def test_graph_as_json_holds_nodes_and_edges(cli, hub):
    found = cli("graph", "--check", "--hub", hub.folder, "--out", "hub.html", "--json").json
    assert found["written"] == "hub.html"
    assert {node["kind"] for node in found["nodes"]} == {"model", "task", "elsewhere"}
    made = [edge for edge in found["edges"] if edge["kind"] == "made from"]
    assert [edge["verified"] for edge in made] == [True]
    kinds = {edge["verdict"]["kind"] for edge in found["edges"] if edge["verdict"]}
    assert kinds == {"helps", "hurts", "undecided"}


def test_graph_of_no_hub_is_one_line_and_writes_nothing(cli):
    done = cli("graph", "--hub", "nowhere", "--out", "hub.html")
    assert (done.code, "there is no hub" in done.line) == (1, True)
    assert os.listdir() == []
