"""What strangers hand over or have left in a registry: one line, soon, and the others go on."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hub_tiny import reseal
from test_bundles import listed, rewritten

import bequest as bq
from bequest.api.hub_graph import hub_graph
from bequest.api.sources import opened
from bequest.core import Card, Outcome, Task, TaskSummary, Verdict
from bequest.core.plain_values import quoted
from bequest.errors import BequestError, Conflict, Damaged, DataError, HubError, ModelError
from bequest.hub import Hub
from bequest.hub.sketches.task_sketch import sketch
from bequest.hub.storage.files import objects
from bequest.hub.storage.row_hash import seal_of

TASK = Task.from_arrays(np.eye(4), [0, 1, 0, 1], name="t")


def outcome(source="a@1", number=0, **target):
    about = {"name": "t", "fingerprint": f"{number:016x}", "kind": "classification"} | target
    verdict = Verdict(0.1, 0.05, 0.2, "accuracy")
    return Outcome(
        target=TaskSummary(**about),
        source=source,
        method="probe",
        selected="transfer",
        verdict=verdict,
        seed=number,
    )


def one_line(error):
    said = str(error.value)
    return said.isprintable() and len(said) < 700


@contextmanager
def soon(seconds=20):
    """Whatever waits without end fails instead."""

    def late(*_):
        raise AssertionError("it took too long")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tiny, tmp_path):
    """A model folder; `card` and `config` change it and its hashes with it."""
    tiny([1.0, 2.0]).save(tmp_path / "model")
    return tmp_path / "model"


def with_card(folder, text):
    (folder / "card.json").write_text(text)
    reseal(folder)
    return folder


def change_rows(hub, table, change):
    """Change records as somebody who writes the hashes anew."""
    hub._store.records.close()
    key = "seal" if table == "entries" else "digest"
    with closing(sqlite3.connect(hub.folder / "registry.sqlite")) as db:
        for number, record in db.execute(f"SELECT rowid, record FROM {table}").fetchall():
            values = json.loads(record)
            if change(values) is not False:
                new = json.dumps(values)
                row = (new, seal_of(new), number)
                db.execute(f"UPDATE {table} SET record = ?, {key} = ? WHERE rowid = ?", row)
        db.commit()
    (hub.folder / "registry.tip").unlink()


CARDS = {
    "a number beyond all": {"metrics": {"a": 10**400}},
    "a number that is text": {"metrics": {"a": "high"}},
    "rows that are text": {"task": {"rows": "many"}},
    "classes that are a number": {"task": {"name": "x", "rows": 5, "classes": 3}},
    "a kind that is a mapping": {"task": {"modality": "table", "kind": {}}},
    "NaN": {"metrics": {"a": float("nan")}},
    "NaN of a task": {"task": {"class_shares": [float("nan")]}},
    "half a pair": {"task": {"name": "\ud800"}},
    "parents": {"parents": [f"p{number}" for number in range(50_000)]},
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_card_of_wrong_kinds_is_neither_loaded_nor_published(card, hub, folder):
    with_card(folder, json.dumps(card))
    for read in (bq.load, lambda place: hub.publish(place, "a", licence="MIT")):
        with soon(), pytest.raises(ModelError, match=r"no card: \$\.") as error:
            read(folder)
        assert one_line(error)
    assert not hub.folder.exists()


@pytest.mark.parametrize(
    "text",
    ['{"metrics": {"a": 1e999}}', '{"settings": %s}' % ('{"a":' * 900 + "1" + "}" * 900)],
)
def test_json_that_python_reads_and_cannot_write_is_refused(text, hub, folder):
    with_card(folder, text)
    with soon(), pytest.raises(ModelError, match=r"no card: \$\.") as error:
        hub.publish(folder, "a", licence="MIT")
    assert one_line(error)


def test_a_card_of_wrong_kinds_made_by_hand_is_not_written(hub, tiny, tmp_path):
    model = tiny([1.0], Card(metrics={"a": 10**400}))
    for write in (model.save, lambda _: hub.publish(model, "a", licence="MIT")):
        with pytest.raises(ModelError, match=r"no card: \$\.metrics\.a: "):
            write(tmp_path / "saved")
    assert os.listdir(tmp_path) == []


def test_a_config_with_numbers_that_are_none_is_refused(hub, folder):
    reseal(folder, lambda config: config.update(encoder={"mean": [1.0, float("nan")]}))
    for read in (bq.load, lambda place: hub.publish(place, "a", licence="MIT")):
        with pytest.raises(ModelError, match=r"unsound: \$\.encoder\.mean\[1\]: nan is no fin"):
            read(folder)


@pytest.mark.parametrize("card", list(CARDS.values())[:4], ids=list(CARDS)[:4])
def test_such_a_card_in_a_bundle_is_refused(card, hub, tiny, tmp_path):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub.bundle("a", tmp_path / "b")
    rewritten(tmp_path / "b", lambda m: listed(m, lambda entries: entries[0]["card"].update(card)))
    with pytest.raises(Damaged, match=r"no entry: \$\.card\."):
        Hub(tmp_path / "second").unbundle(tmp_path / "b")


@pytest.mark.parametrize("card", list(CARDS.values())[:4], ids=list(CARDS)[:4])
def test_such_a_card_that_is_in_a_registry_already_is_left_out_alone(card, hub, tiny, caplog):
    hub.publish(tiny([1.0]), "good", licence="MIT")
    hub.publish(tiny([2.0]), "bad", licence="MIT")
    change_rows(hub, "entries", lambda v: v["name"] == "bad" and v["card"].update(card))
    again = Hub(hub.folder)
    assert [str(entry) for entry in again.list()] == ["good@1"]
    assert "the registry holds something that is no entry" in caplog.text
    with pytest.raises(Damaged, match=r"no entry: \$\.card\."):
        again.show("bad")
    assert len(again.query("SELECT ?m {?m a fair4ml:MLModel . ?m schema:version ?v}")) >= 1
    assert "good@1" in again.export("nt")
    assert [node.name for node in hub_graph(again).nodes] == ["good"]
    assert "good@1" in [suggestion.name for suggestion in again.suggest(TASK)]


OUTCOMES = {
    "gain beyond all": lambda v: v["verdict"].update(gain=10**400),
    "level that is text": lambda v: v["verdict"].update(level="x"),
    "low that is none": lambda v: v["verdict"].update(low=None),
    "metric that is a mapping": lambda v: v["verdict"].update(metric={}),
    "no target": lambda v: v.update(target=None),
    "classes that are a number": lambda v: v["target"].update(classes=3),
    "source that is a number": lambda v: v.update(source=3),
    "method that is a mapping": lambda v: v.update(method={}),
}


@pytest.mark.parametrize("change", OUTCOMES.values(), ids=OUTCOMES)
def test_one_unsound_outcome_stops_no_reader(change, hub, tiny, caplog):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub.record(outcome(number=1))
    hub.record(outcome(number=2))
    change_rows(hub, "outcomes", lambda v: change(v) if v["seed"] == 1 else False)
    again = Hub(hub.folder)
    assert [found.seed for found in again.outcomes()] == [2]
    assert "in the registry is unsound: this is not an outcome of bequest" in caplog.text
    assert again.suggest(TASK)[0].name == "a@1"
    assert again.query("SELECT ?run {?run a mls:Run; prov:used ?m}")
    assert "0000000000000002" in again.export("nt")
    assert len(hub_graph(again).edges) == 1
    assert [finding.wrong for finding in again.verify()] == [True]


@pytest.mark.parametrize("change", OUTCOMES.values(), ids=OUTCOMES)
def test_an_unsound_outcome_is_not_recorded(change, hub):
    values = outcome().to_dict()
    change(values)
    with pytest.raises(DataError, match="not an outcome"):
        Outcome.from_json(json.dumps(values))
    verdict, about, _ = values["verdict"], values["target"], values.pop("format")
    verdict.pop("kind")
    target = about if about is None else TaskSummary(**about)
    made = Outcome(**{**values, "target": target, "verdict": Verdict(**verdict)})
    with pytest.raises(DataError, match="outcome") as error:
        hub.record(made)
    assert one_line(error)
    assert not hub.folder.exists()


def test_a_source_with_a_version_of_thousands_of_digits_is_somewhere_else(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub.record(outcome("a@" + "9" * 5000))
    nodes = {node.kind: node for node in hub_graph(hub).nodes}
    assert set(nodes) == {"model", "task", "elsewhere"}


@pytest.mark.parametrize("name", ["config.json", "card.json", "weights.f64", "more"])
def test_a_pipe_or_a_device_in_a_folder_is_refused_before_anything_is_read(name, hub, folder):
    (folder / name).unlink(missing_ok=True)
    for spoil in (os.mkfifo, lambda place: place.symlink_to("/dev/zero")):
        spoil(folder / name)
        with soon(), pytest.raises(BequestError, match=f"'{name}' in .* is a link or a device"):
            hub.publish(folder, "a", licence="MIT")
        (folder / name).unlink()
    assert not hub.folder.exists()


def test_an_object_that_became_a_pipe_is_in_no_bundle(hub, tiny, tmp_path):
    entry = hub.publish(tiny([1.0]), "a", licence="MIT")
    digest = entry.files["weights.f64"].digest
    place = hub.folder / "objects" / digest[:2] / digest[2:]
    place.unlink()
    os.mkfifo(place)
    with soon(), pytest.raises(HubError, match="no regular file"):
        hub.bundle("a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_folders_within_folders_until_no_path_is_long_enough_are_one_line(hub, folder):
    here = os.open(folder, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("deeper--", dir_fd=here)
        inner = os.open("deeper--", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        with soon(), pytest.raises(HubError, match="cannot be read whole") as error:
            hub.publish(folder, "a", licence="MIT")
        assert one_line(error)
    finally:
        shutil.rmtree(folder.rename(folder.with_name("gone")), ignore_errors=True)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda c: c["files"].update({"a\0\x1b[31m": "0" * 64}), r"a\\x00\\x1b\[31m"),
        (lambda c: c["files"].update({"a\n\x1b[31m": "0" * 64}), r"lacks its file a\\n\\x1b"),
        (lambda c: c["files"].update({"../\n" + "x" * 999: "0" * 64}), r"'\.\./\\nxxx"),
        (lambda c: c.update(format="\x1b[31m\n" * 99), r"model format '\\x1b"),
        (lambda c: c.update(kind="\x1b[31m\n"), "no kind of model"),
    ],
)
def test_text_of_strangers_in_a_message_is_escaped_and_cut(change, line, hub, folder):
    reseal(folder, change)
    for read in (bq.load, lambda place: hub.publish(place, "a", licence="MIT")):
        with pytest.raises(BequestError, match=line) as error:
            read(folder)
        assert one_line(error)


def test_a_licence_of_a_stranger_is_escaped_and_cut(hub, folder):
    with_card(folder, json.dumps({"licence": "Evil\n\x1b[31m" + "x" * 9999}))
    with pytest.raises(HubError, match=r"the card says Evil\\n\\x1b\[31mxxx") as error:
        hub.publish(folder, "a", licence="MIT")
    assert one_line(error)


def forced(hub, folder, name):
    """Enter a folder as it is, as a hub does that somebody else wrote."""
    with hub._store.staging() as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        hub._store.enter(staged, name, Card(name=name, licence="MIT"), None)


@pytest.mark.parametrize("bases", [{"a": "a"}, {"a": "b", "b": "a"}])
def test_adapters_that_name_themselves_or_each_other_are_refused_alone(bases, hub, tiny, folder):
    addresses = {name: hashlib.sha256(name.encode()).hexdigest() for name in bases}
    for name, base in bases.items():
        said = {"name": base, "address": addresses[base]}
        about = {"kind": "adapter", "address": addresses[name], "base": said}
        place = shutil.copytree(folder, folder.with_name(name))
        reseal(place, lambda config, about=about: config.update(about))
        with soon(), pytest.raises(ModelError, match="is an adapter of"):
            hub.publish(place, name, licence="MIT")
        forced(hub, place, name)
        with soon(), pytest.raises(ModelError, match="is an adapter of"):
            hub.publish(place, name, licence="MIT")
    hub.publish(tiny([1.0]), "good", licence="MIT")
    with soon():
        for name in bases:
            with pytest.raises(ModelError, match="is an adapter of"):
                hub.pull(name)
            assert hub.lineage(name).edges == ()
        readable, unread = opened(hub.sources())
        assert [source.name for source in readable] == ["good@1"]
        assert len(unread) == len(bases)
        hub.verify()


@pytest.mark.parametrize("version", [10**20, 10**5000, -1], ids=quoted)
def test_a_version_that_no_hub_has_is_not_found(version, hub, tiny, tmp_path):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    for ask in (hub.show, hub.pull, lambda name, v: hub.bundle(name, tmp_path / "b", v)):
        with pytest.raises(HubError, match=r"has no version|nine digits") as error:
            ask("a", version)
        assert one_line(error)


@pytest.mark.parametrize("epsilon", ["x", True, None, float("nan"), 0, 10**5000, [1]], ids=quoted)
def test_an_epsilon_that_is_none_is_one_line(epsilon):
    with pytest.raises(DataError, match="epsilon must be above 0"):
        sketch(TASK, epsilon=epsilon)


@pytest.mark.parametrize("place", ["~nosuchuser/x", "x" * 5000])
def test_a_place_that_cannot_be_is_one_line(place):
    with pytest.raises(HubError, match="a hub cannot be at") as error:
        Hub(place)
    assert one_line(error)


@pytest.mark.parametrize("wait", ["x", None, True, -1, float("nan"), float("inf"), 1e300])
def test_a_wait_that_is_none_is_told_at_once(wait, tmp_path):
    with pytest.raises(HubError, match="wait is in seconds, from 0 to 86400"):
        Hub(tmp_path, wait=wait)


@pytest.mark.parametrize("expect", [-1, "x", 1.5, True, 10**5000, [1]], ids=quoted)
def test_an_expected_version_that_is_none_is_told_before_anything_is_written(expect, hub, tiny):
    with pytest.raises(HubError, match=r"^expect (is|has)") as error:
        hub.publish(tiny([1.0]), "a", licence="MIT", expect=expect)
    assert one_line(error)
    assert not hub.folder.exists()


def test_a_first_publication_behind_a_version_that_is_not_there_makes_no_hub(hub, tiny):
    with pytest.raises(Conflict, match="a is at version 0, not at 3"):
        hub.publish(tiny([1.0]), "a", licence="MIT", expect=3)
    assert not hub.folder.exists()
    assert hub.publish(tiny([1.0]), "a", licence="MIT", expect=0).version == 1


def test_a_registry_that_was_emptied_is_damaged_to_everybody_and_stays_so(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub._store.records.close()
    for rest in ("-wal", "-shm"):
        (hub.folder / f"registry.sqlite{rest}").unlink(missing_ok=True)
    place = hub.folder / "registry.sqlite"
    place.write_bytes(b"")
    for ask in (
        hub.list,
        lambda: hub.pull("a"),
        lambda: hub.publish(tiny([2.0]), "b", licence="MIT"),
        lambda: Hub(hub.folder).record(outcome()),
        lambda: hub.query("ASK {}"),
        hub.verify,
    ):
        with pytest.raises(Damaged, match="has lost what was published last"):
            ask()
        assert not place.stat().st_size
    (hub.folder / "registry.tip").unlink()
    assert hub.publish(tiny([2.0]), "b", licence="MIT").version == 1


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_of_the_place_that_is_full(hub, tiny, tmp_path, monkeypatch):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    with monkeypatch.context() as patched:
        patched.setattr(objects, "copy_hashed", full)
        with pytest.raises(HubError, match=r"the disk is full: .*there.* was not written"):
            hub.fetch("a", tmp_path / "there" / "target")
        with pytest.raises(HubError, match=r"the disk is full: .*bequest-.* was not written"):
            hub.pull("a")
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match=r"file/target cannot be written"):
        hub.fetch("a", tmp_path / "file" / "target")


def test_a_place_to_export_to_that_is_not_there_is_no_damage(hub, tiny, tmp_path, monkeypatch):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    text = hub.export("nt", tmp_path / "a.nt")
    monkeypatch.setattr(hub._graph, "rebuild", lambda: pytest.fail("it was rebuilt"))
    with pytest.raises(HubError, match=r"gone/a\.nt cannot be written") as error:
        hub.export("nt", tmp_path / "gone" / "a.nt")
    assert not isinstance(error.value, Damaged)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(HubError, match=r"the disk is full: .*a\.nt was not written"):
            hub.export("nt", tmp_path / "a.nt")
    assert (tmp_path / "a.nt").read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["a.nt", "hub"]


def test_a_question_on_a_full_disk_does_not_say_that_something_was_to_be_kept(
    hub, tiny, monkeypatch
):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    monkeypatch.setattr(hub._graph._index, "view", full)
    with pytest.raises(HubError, match="is full: its graph cannot be brought up to date"):
        hub.query("ASK {}")
