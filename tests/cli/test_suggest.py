import pytest

import bequest as bq
from bequest.core import Outcome, Verdict


def outcome(target, source, gain):
    return Outcome(
        target=target,
        source=source,
        method="reuse",
        settings={},
        handed_over="transfer",
        verdict=Verdict(gain, gain - 0.01, gain + 0.01, "accuracy"),
        folds={},
        splits=(),
        ranking=(),
        arms=(),
        seed=0,
        cost={},
        versions={},
    )


@pytest.fixture
def hub(saved, tmp_path):
    """Three models, two of which have helped or hurt on six other wards."""
    hub = bq.Hub(tmp_path / "hub")
    for name, licence in (("good", "GPL-3.0-only"), ("bad", "MIT"), ("new", "CC-BY-4.0")):
        hub.publish(saved, f"wards/{name}", licence=licence)
    said = hub.show("wards/good").card.task
    for ward in range(6):
        target = {**said, "name": f"ward {ward}", "fingerprint": f"{ward:064x}"}
        hub.record(outcome(target, "wards/good@1", 0.1))
        hub.record(outcome(target, "wards/bad@1", -0.1))
    return hub


def test_models_that_helped_others_come_first_and_the_unknown_one_last(cli, csv, hub):
    csv("ward.csv")
    done = cli("suggest", "ward.csv", "--target", "outcome", "--hub", hub.folder)
    assert (done.code, done.err) == (0, "")
    head, good, bad, new = done.out.splitlines()
    assert head.startswith("model         gain in accuracy  95 % interval")
    assert good.startswith("wards/good@1  +0.0")
    assert "GPL-3.0-only" in good
    assert "6 outcomes on other tasks" in good
    assert bad.startswith("wards/bad@1   -0.0")
    assert new.startswith("wards/new@1   not known")
    assert "no outcome, no sketch and no score speaks of it" in new


def test_machines_read_the_same(cli, csv, hub):
    csv("ward.csv")
    tokens = ("suggest", "ward.csv", "--target", "outcome", "--hub", hub.folder, "--json")
    good, _, new = cli(*tokens).json
    assert (good["name"], good["known"], new["known"]) == ("wards/good@1", True, False)
    assert good["low"] < good["gain"] < good["high"]
    assert (new["gain"], new["low"]) == (None, None)
    assert [one["name"] for one in cli(*tokens, "-k", 1).json] == ["wards/good@1"]


def test_only_what_may_be_used_under_a_licence_is_named(cli, csv, hub):
    csv("ward.csv")
    tokens = ("suggest", "ward.csv", "--target", "outcome", "--hub", hub.folder, "--json")
    named = [one["name"] for one in cli(*tokens, "--licence", "mit").json]
    assert named == ["wards/bad@1", "wards/new@1"]
    assert len(cli(*tokens, "--licence", "MIT", "-k", 1).json) == 1
    assert "no licence 'free'" in cli(*tokens, "--licence", "free").line


def test_a_hub_that_knows_nothing_says_what_would_help(cli, csv, saved):
    csv("ward.csv")
    bq.Hub("hub").publish(saved, "one", licence="MIT")
    done = cli("suggest", "ward.csv", "--target", "outcome", "--hub", "hub")
    assert "Nothing is known of any of them" in done.out
    done = cli("suggest", "ward.csv", "--target", "age", "--hub", "hub")
    assert done.out == "No model in hub takes such a task.\n"


def test_what_is_wrong_is_one_line(cli, csv, hub):
    csv("ward.csv")
    tokens = ("suggest", "ward.csv", "--target", "outcome")
    assert "there is no hub" in cli(*tokens, "--hub", "none").line
    assert "-k must be 1 or more" in cli(*tokens, "--hub", hub.folder, "-k", 0).line
    assert "no file or folder" in cli("suggest", "no.csv", "--hub", hub.folder).line
