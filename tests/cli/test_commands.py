import csv as tables
import errno
import io
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bequest as bq
from bequest.errors import DataError


def rows_of(text):
    return list(tables.DictReader(io.StringIO(text)))


def test_train_writes_a_model_folder_that_predict_reads(cli, csv):
    csv("ward.csv", seed=0)
    csv("new.csv", seed=1, n=9)
    done = cli("train", "ward.csv", "--target", "outcome", "--net", "linear", "--out", "model")
    assert (done.code, done.err) == (0, "")
    assert "Written: model" in done.out
    assert sorted(os.listdir()) == ["model", "new.csv", "ward.csv"]
    rows = rows_of(cli("predict", "model", "new.csv", "--proba").out)
    assert len(rows) == 9
    assert list(rows[0]) == ["prediction", "probability of ill", "probability of well"]
    for row in rows:
        chances = {label: float(row[f"probability of {label}"]) for label in ("ill", "well")}
        assert sum(chances.values()) == pytest.approx(1)
        assert row["prediction"] == max(chances, key=chances.get)


def test_train_tells_machines_what_it_wrote(cli, csv):
    csv("ward.csv")
    csv("held.csv", seed=3)
    done = cli(
        *("train", "ward.csv", "--target", "outcome", "--net", "linear"),
        *("--test", "held.csv", "--name", "mine", "--out", "model", "--json"),
    )
    assert done.json["model"] == "model"
    assert done.json["card"]["name"] == "mine"
    assert done.json["card"]["metrics"]["test accuracy"] > 0.8


def test_train_replaces_a_model_folder(cli, csv):
    csv("ward.csv")
    tokens = ("train", "ward.csv", "--target", "outcome", "--net", "linear", "--out", "model")
    assert cli(*tokens, "--name", "first").code == 0
    assert cli(*tokens, "--name", "second").code == 0
    assert bq.load("model").name == "second"


def test_predict_writes_a_file_and_speaks_json(cli, csv, saved):
    csv("new.csv", n=5)
    done = cli("predict", saved, "new.csv", "--out", "deep/out.csv")
    assert (done.code, done.err) == (0, "")
    rows = rows_of(Path("deep/out.csv").read_text())
    assert [row["prediction"] for row in rows] == cli("predict", saved, "new.csv", "--json").json[
        "prediction"
    ]


def test_predict_says_what_does_not_fit(cli, saved):
    np.savez("rows.npz", X=np.zeros((3, 2)))
    done = cli("predict", saved, "rows.npz")
    assert "the model takes table inputs, the data has vector inputs" in done.line
    Path("less.csv").write_text("age,outcome\n3,ill\n4,well\n")
    assert "pressure" in cli("predict", saved, "less.csv").line


def test_arrays_are_trained_on_and_predicted(cli):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    np.savez("task.npz", X=X, y=X[:, 0] + X[:, 1], patient=np.arange(50) // 2)
    done = cli(
        *("train", "task.npz", "--net", "linear", "--kind", "regression"),
        *("--groups", "patient", "--out", "model"),
    )
    assert done.code == 0, done.err
    predicted = cli("predict", "model", "task.npz", "--json").json["prediction"]
    np.testing.assert_allclose(predicted, X[:, 0] + X[:, 1], atol=0.3)
    assert "has no array 'z'" in cli("train", "task.npz", "--target", "z", "--out", "m").line


def test_pickles_in_an_array_file_are_refused(cli):
    np.savez("task.npz", X=np.zeros((4, 2)), y=np.array([{"a": 1}] * 4, dtype=object))
    assert "cannot be read as plain arrays" in cli("train", "task.npz", "--out", "m").line
    Path("broken.npz").write_bytes(b"PK\x03\x04 and no more")
    assert "cannot be read as plain arrays" in cli("train", "broken.npz", "--out", "m").line
    Path("empty.npz").touch()
    assert "cannot be read as plain arrays" in cli("train", "empty.npz", "--out", "m").line


def test_images_are_predicted_with_their_names(cli):
    rng = np.random.default_rng(0)
    for shade, low in (("dark", 0), ("light", 160)):
        os.makedirs(f"photos/{shade}")
        for number in range(8):
            pixels = rng.integers(low, low + 80, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(f"photos/{shade}/{number}.png")
    done = cli("train", "photos", "--size", 8, "--net", "linear", "--out", "model")
    assert done.code == 0, done.err
    rows = rows_of(cli("predict", "model", "photos").out)
    assert [row["file"] for row in rows[:2]] == ["dark/0.png", "dark/1.png"]
    assert all(row["file"].startswith(row["prediction"]) for row in rows)
    assert "--target does not go with" in cli("train", "photos", "--target", "x", "--out", "m").line
    files = ["photos/light/3.png", "photos/dark/1.png"]
    several = rows_of(cli("predict", "model", *files).out)
    assert several == [
        next(r for r in rows if f"photos/{r['file']}" == f) | {"file": f} for f in files
    ]
    assert [row["prediction"] for row in rows_of(cli("predict", "model", files[0]).out)] == [
        "light"
    ]
    Path("notes.csv").write_text("a\n1\n")
    for data in (["notes.csv"], [files[0], "notes.csv"], [files[0], "photos"]):
        refused = cli("predict", "model", *data)
        assert (refused.code, refused.out) == (1, "")
        assert "folder of images" in refused.line
        assert "image files" in refused.line


def test_rank_prints_the_sources_in_order(cli, csv, saved, asked):
    csv("ward.csv")
    tokens = ("rank", "ward.csv", "--target", "outcome", "--source", saved, "--seed", 3)
    done = cli(*tokens)
    assert (done.code, done.err) == (0, "")
    assert "ward3" in done.out
    (task, (source,), options), *_ = asked
    assert (len(task), source.name, options) == (60, "ward3", {"seed": 3})
    (entry,) = cli(*tokens, "--json").json
    assert (entry["source"], entry["reason"]) == ("ward3", "")


def test_transfer_leaves_a_model_an_outcome_and_a_page(cli, csv, saved, asked, result):
    csv("ward.csv")
    csv("held.csv", seed=2, n=9)
    tokens = (
        *("transfer", "ward.csv", "--target", "outcome", "--source", saved, "--test", "held.csv"),
        *(
            "--method",
            "reuse",
            "--method",
            "probe",
            "--budget",
            999,
            "--seed",
            4,
            "--out",
            "ward7",
        ),
    )
    done = cli(*tokens)
    assert (done.code, done.err) == (0, "")
    names = ["best_single.json", "model", "outcome.json", "report.html"]
    assert sorted(os.listdir("ward7")) == names
    assert bq.Outcome.from_json(Path("ward7/outcome.json").read_text()) == result.outcome
    assert "ward3" in done.out
    assert "Written: ward7/model" in done.out
    (task, (source,), options), *_ = asked
    assert (len(task), len(task.test), source.name) == (60, 9, "ward3")
    assert callable(options.pop("progress"))
    assert options == {
        "methods": ["reuse", "probe"],
        "budget": 999,
        "seed": 4,
        "executor": "local",
        "allow_overlap": False,
        "ensemble": True,
    }
    assert cli("predict", "ward7", "ward.csv").code == 0
    again = cli(*tokens, "--json")  # replaces what is ours
    assert again.json["verdict"]["kind"] == result.verdict.kind
    assert again.json["written"] == "ward7"


@pytest.mark.slow
def test_transfer_does_its_work(cli, csv, saved):
    csv("ward.csv", seed=5, n=40)
    tokens = ("ward.csv", "--target", "outcome", "--source", saved)
    done = cli(
        "transfer", *tokens, "--method", "reuse", "--budget", 999, "--out", "ward7", "--json"
    )
    assert done.json["method"] == "reuse"
    assert [entry["source"] for entry in cli("rank", *tokens, "--json").json] == ["ward3"]


def test_a_bad_method_is_said_with_the_known_ones(cli, csv, saved):
    csv("ward.csv")
    done = cli(
        *("transfer", "ward.csv", "--target", "outcome", "--source", saved),
        *("--method", "finetune", "--out", "ward7"),
    )
    assert "Did you mean 'fine-tune'?" in done.line
    assert not os.path.exists("ward7")


def test_report_writes_the_page_anew(cli, csv, saved, asked):
    csv("ward.csv")
    cli("transfer", "ward.csv", "--target", "outcome", "--source", saved, "--out", "ward7")
    for given in ("ward7", "ward7/outcome.json"):
        done = cli("report", given, "--out", "page.html", "--json")
        assert done.json == {"written": "page.html"}
        assert Path("page.html").read_text() == Path("ward7/report.html").read_text()
        os.remove("page.html")
    Path("no.json").write_text("{}")
    assert "no.json: this is not an outcome" in cli("report", "no.json", "--out", "p.html").line
    assert "there is no outcome" in cli("report", "none.json", "--out", "p.html").line
    assert not os.path.exists("p.html")


def test_a_model_goes_into_a_hub_and_out_again(cli, saved):
    tokens = ("publish", saved, "wards/ward3", "--licence", "mit", "--hub", "hub")
    done = cli(*tokens)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Published wards/ward3@1 (MIT, ")
    assert cli(*tokens, "--parent", "wards/ward1@1", "--json").json["version"] == 2
    assert "not at 1 as expected" in cli(*tokens, "--expect", 1).line

    listed = cli("list", "--hub", "hub")
    assert listed.out.splitlines()[1].startswith("wards/ward3@2  MIT")
    assert [e["version"] for e in cli("list", "--hub", "hub", "--all", "--json").json] == [1, 2]
    assert "begins with 'zoo'" in cli("list", "zoo", "--hub", "hub").out

    shown = cli("show", "wards/ward3", "--hub", "hub").out
    assert "wards/ward1@1" in shown
    assert "config.json" in shown
    assert cli("show", "wards/ward3@1", "--hub", "hub", "--json").json["versions"] == [1, 2]

    done = cli("pull", "wards/ward3@1", "--hub", "hub", "--out", "pulled")
    assert (done.code, done.err) == (0, "")
    assert bq.load("pulled").card.licence == "MIT"
    assert cli("pull", "wards/ward3", "--hub", "hub", "--out", "pulled", "--json").code == 0
    assert bq.load("pulled").card.parents == ("wards/ward1@1",)
    assert sorted(os.listdir()) == ["hub", "pulled"]


def test_what_a_hub_refuses_is_one_line_and_nothing_is_written(cli, saved):
    refused = cli("publish", saved, "../etc", "--licence", "MIT", "--hub", "hub")
    assert "no name for a hub" in refused.line
    refused = cli("publish", saved, "a", "--licence", "free", "--hub", "hub")
    assert "no licence 'free'" in refused.line
    refused = cli("publish", "nothing", "a", "--licence", "MIT", "--hub", "hub")
    assert "no model folder" in refused.line
    assert "there is no hub" in cli("pull", "a", "--hub", "hub", "--out", "pulled").line
    assert os.listdir() == []


def test_publishing_what_transfer_left_records_its_outcome(cli, csv, saved, asked):
    csv("ward.csv")
    cli("transfer", "ward.csv", "--target", "outcome", "--source", saved, "--out", "ward7")
    done = cli("publish", "ward7", "wards/ward7", "--licence", "MIT", "--hub", "hub", "--json")
    assert len(done.json["outcome"]) == 64
    (outcome,) = bq.Hub("hub").outcomes()
    assert outcome == bq.Outcome.from_json(Path("ward7/outcome.json").read_text())


def test_with_a_sketch_the_outcome_is_recorded_under_it_and_says_no_exact_rows(
    cli, csv, saved, asked
):
    csv("ward.csv")
    cli("transfer", "ward.csv", "--target", "outcome", "--source", saved, "--out", "ward7")
    place, task = Path("ward7/outcome.json"), bq.Task.from_table("ward.csv", target="outcome")
    raw = replace(bq.Outcome.from_json(place.read_text()), target=task.describe())
    place.write_text(raw.to_json())
    tokens = ("publish", "ward7", "ward7", "--licence", "MIT", "--hub", "hub", "--epsilon", 1)
    refused = cli(*tokens, "--data", csv("other.csv", seed=5), "--target", "outcome")
    assert "is about other data than --data" in refused.line
    assert not Path("hub").exists()
    done = cli(*tokens, "--data", "ward.csv", "--target", "outcome")
    assert (done.code, done.err) == (0, "")
    hub = bq.Hub("hub")
    (outcome,), card = hub.outcomes(), hub.show("ward7").card
    assert outcome.target.fingerprint == card.task.fingerprint != raw.target.fingerprint
    assert raw.target.fingerprint not in outcome.to_json() + str(card)
    assert (outcome.verdict, outcome.splits) == (raw.verdict, ())


def test_a_hub_is_handed_on_whole(cli, csv, saved, asked):
    csv("ward.csv")
    bq.Hub("hub").publish(saved, "good", licence="MIT")
    assert cli("rank", "ward.csv", "--target", "outcome", "--hub", "hub").code == 0
    assert [type(source) for source in asked[0][1]] == [bq.Hub]


def test_beside_a_hub_an_unreadable_model_is_listed_with_its_reason(cli, csv, saved):
    csv("ward.csv")
    hub = bq.Hub("hub")
    for name in ("good", "rotten"):
        hub.publish(saved, name, licence="MIT")
    card = hub.show("rotten").files["card.json"].digest
    os.remove(f"hub/objects/{card[:2]}/{card[2:]}")
    done = cli("rank", "ward.csv", "--target", "outcome", "--hub", "hub", "--source", saved)
    assert done.code == 0, done.err
    assert {line.split()[0] for line in done.out.splitlines()[1:3]} == {"ward3", "good@1"}
    assert "rotten@1  " in done.out.splitlines()[3]
    assert "it cannot be read" in done.out.splitlines()[3]


def test_a_damaged_entry_is_named_on_stderr_and_the_others_are_listed(cli, saved, tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    for name in ("a", "b"):
        hub.publish(saved, name, licence="MIT")
    with closing(sqlite3.connect(hub.folder / "registry.sqlite")) as db:
        db.execute("UPDATE entries SET seal = 'x' WHERE name = 'a'")
        db.commit()
    done = cli("list", "--hub", hub.folder)
    assert done.code == 0
    assert "b@1" in done.out
    assert "a@1" not in done.out
    assert done.err == "bequest: the row of a@1 in the registry was altered. It is left out.\n"
    assert cli("show", "a", "--hub", hub.folder).code == 1
    assert cli("pull", "a", "--hub", hub.folder, "--out", "a").code == 1


def test_images_are_read_in_the_size_of_the_source_unless_another_is_named(cli, monkeypatch):
    rng = np.random.default_rng(0)
    for shade, low in (("dark", 0), ("light", 160)):
        os.makedirs(f"photos/{shade}")
        for number in range(6):
            pixels = rng.integers(low, low + 80, size=(48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(f"photos/{shade}/{number}.png")
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    small = bq.wrap(network, example=np.zeros((1, 3, 32, 32), np.float32), size=40, crop=32)
    small.save("small")
    shapes = []

    def seen(models, task, **options):
        shapes.append(task.spec.shape)
        raise DataError("enough")

    monkeypatch.setattr(bq, "rank", seen)
    for size in ((), ("--size", 16)):
        cli("rank", "photos", "--source", "small", *size)
    assert shapes == [(3, 32, 32), (3, 16, 16)]


def test_a_full_disk_loses_the_folder_and_not_the_verdict(cli, csv, saved, asked, monkeypatch):
    def full(result, folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model"))

    monkeypatch.setattr("bequest.cli.transfer.write_result", full)
    done = cli("transfer", csv(), "--target", "outcome", "--source", saved, "--out", "new")
    assert done.code == 1
    assert "building on ward3" in done.out
    assert "Written" not in done.out
    assert done.err == "bequest: new cannot be written: No space left on device.\n"
    assert not Path("new").exists()
