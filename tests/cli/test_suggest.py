from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bequest as bq
from bequest.core import Outcome, Verdict


def outcome(target, source, gain):
    return Outcome(
        target=target,
        source=source,
        method="reuse",
        selected="transfer",
        verdict=Verdict(gain, gain - 0.01, gain + 0.01, "accuracy"),
    )


@pytest.fixture
def hub(saved, tmp_path):
    """Three models, two of which have helped or hurt on six other wards."""
    hub = bq.Hub(tmp_path / "hub")
    for name, licence in (("good", "GPL-3.0-only"), ("bad", "MIT"), ("new", "CC-BY-4.0")):
        hub.publish(saved, f"wards/{name}", licence=licence)
    said = hub.show("wards/good").card.task
    for ward in range(6):
        target = replace(said, name=f"ward {ward}", fingerprint=f"{ward:064x}")
        hub.record(outcome(target, "wards/good@1", 0.1))
        hub.record(outcome(target, "wards/bad@1", -0.1))
    return hub


def test_models_that_helped_others_come_first_and_the_unknown_one_last(cli, csv, hub):
    csv("ward.csv")
    done = cli("suggest", "ward.csv", "--target", "outcome", "--hub", hub.folder)
    assert (done.code, done.err) == (0, "")
    head, good, bad, new = done.out.splitlines()
    assert head.startswith("model         gain in accuracy  95 % interval")
    assert good.startswith("wards/good@1  +0.1")
    assert "GPL-3.0-only" in good
    assert "6 outcomes on other tasks" in good
    assert bad.startswith("wards/bad@1   -0.1")
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
    assert "No gain is known of any of them" in done.out
    done = cli("suggest", "ward.csv", "--target", "age", "--hub", "hub")
    assert done.out == "No model in hub takes such a task.\n"


def test_what_is_wrong_is_one_line(cli, csv, hub):
    csv("ward.csv")
    tokens = ("suggest", "ward.csv", "--target", "outcome")
    assert "there is no hub" in cli(*tokens, "--hub", "none").line
    assert "-k must be 1 or more" in cli(*tokens, "--hub", hub.folder, "-k", 0).line
    assert "no file or folder" in cli("suggest", "no.csv", "--hub", hub.folder).line


def test_a_model_that_was_published_with_a_sketch_is_found_by_what_it_was_trained_on(
    cli, csv, saved
):
    csv("ward.csv", n=600)
    rng = np.random.default_rng(0)
    apart = [f"{a + 50},{b * 9},{a > 0}" for a, b in rng.normal(size=(600, 2)).round(3)]
    Path("apart.csv").write_text("\n".join(["age,pressure,outcome", *apart]) + "\n")
    for name, data in (("apart", "apart.csv"), ("like", "ward.csv")):
        tokens = ("--licence", "MIT", "--hub", "hub", "--data", data, "--target", "outcome")
        assert cli("publish", saved, name, *tokens, "--epsilon", 2).code == 0
    done = cli("suggest", csv("new.csv", seed=9), "--target", "outcome", "--hub", "hub")
    like, apart = done.out.splitlines()[1:3]
    assert (like[:7], apart[:8]) == ("like@1 ", "apart@1 ")
    assert "the sketch of its own task is" in like
    card = bq.Hub("hub").show("like").card.task
    assert card.sketch["epsilon"] == 2.0
    assert card.rows == pytest.approx(600, abs=50)  # by noisy counts


def test_a_sketch_needs_the_rows_that_it_is_made_of(cli, csv, saved):
    csv("ward.csv")
    tokens = ("publish", saved, "a", "--licence", "MIT", "--hub", "hub")
    assert "need --data" in cli(*tokens, "--epsilon", 1).line
    assert "need --data" in cli(*tokens, "--target", "outcome").line
    data = ("--data", "ward.csv", "--target", "outcome")
    assert "epsilon must be above 0" in cli(*tokens, *data, "--epsilon", 0).line
    assert not Path("hub").exists()
