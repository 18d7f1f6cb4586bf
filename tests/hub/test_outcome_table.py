import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from benchmarks.hub_made import fill

from bequest.errors import Damaged
from bequest.hub.sketches.embedding import FEATURES
from bequest.hub.storage.folder.rows import Rows
from bequest.hub.suggestions.outcome_table import Kept

FOLDER = Path("hub")  # as an error would call it


@pytest.fixture
def db(tmp_path):
    fill(tmp_path / "hub", 40, 8, 90, seed=2, sketched=0.5)
    with closing(sqlite3.connect(tmp_path / "hub" / "registry.sqlite")) as db:
        yield db


def test_what_is_kept_is_what_the_registry_holds(db):
    kept = Kept()
    kept.catch_up(Rows(db, FOLDER))
    gains = kept.gains["vector", "classification", "accuracy"]
    assert (len(kept.names), len(gains)) == (40, 90)
    assert kept.candidates("vector", "classification").tolist() == list(range(40))
    assert kept.candidates("image", "classification").tolist() == []
    assert {row.shape for row in kept.sketches.values()} == {(FEATURES,)}
    assert np.isfinite(gains.score("linear")).all()


def test_rows_are_read_once_and_new_ones_when_they_come(db):
    kept = Kept()
    kept.catch_up(Rows(db, FOLDER))
    seen = kept.entries
    kept.catch_up(Rows(db, FOLDER))
    assert kept.entries == seen
    last = db.execute("SELECT digest, record FROM outcomes ORDER BY number DESC").fetchone()
    db.execute("DELETE FROM outcomes WHERE digest = ?", last[:1])
    kept.catch_up(
        Rows(db, FOLDER)
    )  # fewer rows than were read: another registry, which is read anew
    assert len(kept.gains["vector", "classification", "accuracy"]) == 89
    db.execute("INSERT INTO outcomes (digest, record) VALUES (?, ?)", last)
    kept.catch_up(Rows(db, FOLDER))
    assert len(kept.gains["vector", "classification", "accuracy"]) == 90


def test_an_altered_entry_is_left_out_and_said(db, caplog):
    name = db.execute("SELECT name FROM entries LIMIT 1 OFFSET 5").fetchone()[0]
    db.execute("UPDATE entries SET record = replace(record, '2026', '2027') WHERE name = ?", [name])
    kept = Kept()
    kept.catch_up(Rows(db, FOLDER))
    assert len(kept.candidates("vector", "classification")) == 39
    assert f"{name}@1 of the hub is left out: the row was altered" in caplog.text


def test_an_altered_outcome_is_an_error(db):
    db.execute("UPDATE outcomes SET record = replace(record, '0.8', '0.9') WHERE number = 7")
    with pytest.raises(Damaged, match="was altered"):
        Kept().catch_up(Rows(db, FOLDER))


def entry(name, version, licence="MIT", **task):
    return {"name": name, "version": version, "card": {"licence": licence, "task": task}}


def test_the_highest_version_stands_for_a_name_in_whatever_order_they_come():
    kept = Kept()
    kept.learn_entry(entry("a", 2, "Apache-2.0"))
    kept.learn_entry(entry("a", 1, "MIT"))
    assert (kept.version[0], kept.licence[0]) == (2, "Apache-2.0")


def test_an_outcome_without_a_number_for_a_gain_says_nothing():
    kept = Kept()
    target = {"fingerprint": "f", "modality": "vector", "kind": "classification", "metric": "r2"}
    for gain in ("float:nan", None, float("inf"), 1e300):
        outcome = {"target": target, "source": "a@1", "verdict": {"gain": gain}, "ranking": []}
        kept.learn_outcome(outcome)
    assert kept.gains == {}
    assert kept.names == []


def test_an_unsound_outcome_is_left_out_whole_and_said(db, caplog):
    for record in (
        "[]",
        '{"target": 3}',
        '{"target": {"fingerprint": "f"}, "source": 3, "verdict": {"gain": 1}}',
    ):
        digest = hashlib.sha256(record.encode()).hexdigest()
        db.execute("INSERT INTO outcomes (digest, record) VALUES (?, ?)", (digest, record))
    kept = Kept()
    kept.catch_up(Rows(db, FOLDER))
    assert len(kept.gains["vector", "classification", "accuracy"]) == 90
    assert caplog.text.count("is left out") == 3
