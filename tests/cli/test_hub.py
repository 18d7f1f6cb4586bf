"""`bequest hub`: what cares for a hub, as a person would call it."""

from __future__ import annotations

import json

import pytest

import bequest as bq


@pytest.fixture
def hub(saved, tmp_path):
    place = bq.Hub(tmp_path / "hub")
    place.publish(saved, "ward3", licence="MIT")
    return place


def test_an_outcome_is_recorded_once(cli, hub, result):
    path = hub.folder.parent / "outcome.json"
    path.write_text(result.outcome.to_json(), encoding="utf-8")
    first = cli("hub", "record", path, "--hub", hub.folder, "--json").json
    assert cli("hub", "record", path, "--hub", hub.folder, "--json").json == first
    assert hub.outcomes() == (result.outcome,)
    assert first["outcome"][:12] in cli("hub", "record", path, "--hub", hub.folder).out


def test_what_is_no_outcome_is_one_line(cli, hub, tmp_path):
    path = tmp_path / "outcome.json"
    path.write_text("[" * 100_000)
    assert "outcome.json" in cli("hub", "record", path, "--hub", hub.folder).line
    assert "no outcome" in cli("hub", "record", tmp_path / "away", "--hub", hub.folder).line


def test_the_graph_is_exported_to_a_file_or_printed(cli, hub, tmp_path):
    out = tmp_path / "hub.nt"
    assert cli("hub", "export", "nt", "--out", out, "--hub", hub.folder, "--json").code == 0
    assert sorted(out.read_text().splitlines()) == sorted(hub.export("nt").splitlines())
    printed = cli("hub", "export", "jsonld", "--hub", hub.folder)
    assert "ward3" in printed.out
    assert json.loads(printed.out)
    assert cli("hub", "export", "rdf", "--hub", hub.folder).code == 2


def test_a_sound_hub_has_nothing_wrong(cli, hub):
    assert cli("hub", "verify", "--hub", hub.folder).out == f"Nothing is wrong in {hub.folder}.\n"
    assert cli("hub", "verify", "ward3", "--hub", hub.folder, "--json").json == []


def test_an_altered_file_is_told_and_ends_with_1(cli, hub):
    file = next(iter(hub.show("ward3").files.values()))
    place = hub.folder / "objects" / file.digest[:2] / file.digest[2:]
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-1] + b"\0")
    done = cli("hub", "verify", "--hub", hub.folder)
    assert done.code == 1
    assert "ward3@1: file WRONG" in done.out
    assert done.err.startswith("bequest: 1 finding of what is wrong")
    told = json.loads(cli("hub", "verify", "--hub", hub.folder, "--json").out)
    assert [finding["subject"] for finding in told] == ["ward3@1"]


def test_what_only_cannot_be_told_is_said_and_is_not_wrong(cli, hub, saved):
    hub.publish(saved, "ward4", licence="MIT", parents=["elsewhere/gone"])
    done = cli("hub", "verify", "--hub", hub.folder)
    assert done.code == 0
    assert "ward4@1: lineage not told" in done.out
    assert "Nothing is wrong" in done.out
