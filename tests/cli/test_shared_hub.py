"""Every command that takes --hub takes the address of a shared one, too."""

import os
import shutil

import pytest

import bequest as bq


@pytest.fixture
def address(monkeypatch, tmp_path):
    """A hub on object storage, here a folder, with its cache in a home of its own."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return (tmp_path / "bucket").as_uri()


def test_a_model_goes_into_a_shared_hub_and_out_again(cli, saved, address, tmp_path):
    done = cli("publish", saved, "wards/ward3", "--licence", "mit", "--hub", address)
    assert done.code == 0, done.err
    assert done.out.endswith(f"in {address}\n")
    shutil.rmtree(tmp_path / "home" / ".cache")
    assert [e["version"] for e in cli("list", "--hub", address, "--json").json] == [1]
    assert cli("show", "wards/ward3", "--hub", address, "--json").json["versions"] == [1]
    asked = "SELECT ?licence { ?model dcterms:license ?licence }"
    (row,) = cli("query", asked, "--hub", address, "--json").json
    assert row["licence"].endswith("MIT")
    assert cli("hub", "rebuild-graph", "--hub", address, "--json").json["triples"] > 5
    assert cli("pull", "wards/ward3", "--hub", address, "--out", "pulled").code == 0
    assert bq.load("pulled").card.licence == "MIT"
    assert cli("hub", "bundle", "wards/ward3", "one.bundle", "--hub", address).code == 0
    taken = cli("hub", "unbundle", "one.bundle", "--hub", address)
    assert taken.out == "Taken in: nothing, all of it is here already\n"
    assert set(os.listdir()) == {"bucket", "home", "one.bundle", "pulled"}


def test_a_shared_hub_is_a_source(cli, csv, saved, address, asked):
    about = (csv("ward.csv"), "--target", "outcome", "--hub", address)
    bq.Hub(address).publish(saved, "good", licence="MIT")
    assert cli("rank", *about).code == 0
    assert cli("transfer", *about, "--out", "ward").code == 0
    assert repr(asked[0][1]) == repr(asked[1][1]) == f"[Hub({address!r})]"
    assert cli("suggest", *about).code == 0


def test_an_address_that_is_not_served_is_one_line(cli, saved):
    for place in ("http://example.org/hub", "s3://key:secret@bucket", "s3:///hub"):
        assert "address" in cli("list", "--hub", place).line
        assert "address" in cli("publish", saved, "a", "--licence", "MIT", "--hub", place).line
    assert os.listdir() == []
