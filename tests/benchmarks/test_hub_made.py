import sqlite3
from contextlib import closing

from benchmarks.hub_made import fill, task_of

import bequest as bq


def test_a_made_hub_holds_what_was_asked_in_the_words_of_a_real_one(tmp_path):
    made = fill(tmp_path / "hub", 60, 12, 150, seed=3, sketched=0.5)
    hub = bq.Hub(tmp_path / "hub")
    entries, outcomes = hub.list(every=True), hub.outcomes()
    assert (len(entries), len(outcomes)) == (60, 150)
    assert any(entry.card.task.sketch for entry in entries)
    assert outcomes[7].verdict.gain == made.gain[7]
    assert outcomes[7].source == f"{made.model_name(made.model[7])}@1"
    with closing(sqlite3.connect(tmp_path / "hub" / "registry.sqlite")) as db:
        (record,) = db.execute("SELECT record FROM outcomes WHERE number = 1").fetchone()
    assert bq.Outcome.from_json(record).to_json() == record
    assert any(found.known for found in hub.suggest(task_of(3)))


def test_the_same_seed_makes_the_same_rows(tmp_path):
    one, two = (fill(tmp_path / name, 20, 5, 30, seed=1) for name in "ab")
    assert (one.gain == two.gain).all()
    assert bq.Hub(tmp_path / "a").list() == bq.Hub(tmp_path / "b").list()
