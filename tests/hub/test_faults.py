import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from bequest.api.sources import opened
from bequest.errors import Damaged, HubError
from bequest.frameworks.files.temporary import STALE
from bequest.hub import Entry, Hub
from bequest.hub.storage.files.staging import abandoned, staging

SCRIPT = Path(__file__).with_name("hub_faults.py")


def fault(kind, folder, number, **options):
    done = subprocess.run(
        [sys.executable, SCRIPT, kind, folder, str(number)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_kill_at_any_moment_leaves_a_whole_entry_or_none(tmp_path):
    counts = fault("kills", tmp_path / "hub", 12)
    assert counts.pop("kills") == 12
    assert counts.pop("entries") >= counts["acknowledged"]
    assert counts.pop("acknowledged") >= 3
    counts.pop("graph_followed")
    assert set(counts.values()) == {0}, counts


def test_of_four_processes_that_expect_one_version_exactly_one_wins(tmp_path):
    counts = fault("race", tmp_path / "hub", 20)
    assert counts == {
        "rounds": 20,
        "winners": 20,
        "rounds_with_one_winner": 20,
        "conflicts": 60,
        "latest": 21,
        "failed_processes": 0,
        "findings": 0,
    }


@pytest.mark.parametrize("limit", [2_000, 40_000, 600_000])
def test_a_quota_is_said_in_one_line_and_nothing_is_visible(tmp_path, limit):
    said = fault("limit", tmp_path / "hub", limit)
    assert "\n" not in said["refused"]
    assert "full" in said["refused"] or "failed" in said["refused"]
    assert not list((tmp_path / "hub").glob("tmp/*"))
    if limit > 30_000:  # the registry itself found room
        assert Hub(tmp_path / "hub").list() == ()


def test_after_a_quota_the_hub_goes_on(tmp_path, tiny):
    fault("limit", tmp_path / "hub", 40_000)
    assert Hub(tmp_path / "hub").publish(tiny([1.0]), "a", licence="MIT").version == 1


def test_a_full_disk_is_said_in_one_line_and_the_hub_goes_on_when_there_is_room(tmp_path):
    counts = fault("full", tmp_path / "disk", 6)
    if "not_possible_here" in counts:
        pytest.skip(f"no file system of its own: {counts['not_possible_here']}")
    assert (counts["refused"], counts["clean"], counts["recovered"]) == (6, 6, 6)
    assert (counts["visible"], counts["damaged"]) == (0, 0)


@pytest.mark.slow
def test_single_bits_of_objects_registry_and_log_are_told(tmp_path):
    counts = fault("flips", tmp_path, 15)
    assert sum(counts[place]["told"] for place in ("object", "registry", "log")) == 15
    assert not any({"wrong", "unclean"} & set(counted) for counted in counts.values())


def test_every_flipped_bit_in_an_object_is_found_on_pull(hub, tiny):
    entry = hub.publish(tiny([1.0, 2.0]), "a", licence="MIT")
    dice = random.Random(0)
    for file in entry.files.values():
        path = hub.folder / "objects" / file.digest[:2] / file.digest[2:]
        whole = path.read_bytes()
        path.chmod(0o644)
        for _ in range(10):
            flipped = bytearray(whole)
            flipped[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
            path.write_bytes(flipped)
            with pytest.raises(Damaged, match="altered"):
                hub.pull("a")
        path.write_bytes(whole[:-1])
        with pytest.raises(Damaged):
            hub.pull("a")
        path.unlink()
        with pytest.raises(Damaged, match="lacks its object"):
            hub.pull("a")
        path.write_bytes(whole)
    assert hub.pull("a").weights.tolist() == [1.0, 2.0]


def test_publishing_the_same_content_again_heals_a_damaged_object(hub, tiny):
    entry = hub.publish(tiny([1.0, 2.0]), "a", licence="MIT")
    digest = entry.files["weights.f64"].digest
    path = hub.folder / "objects" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    hub.publish(tiny([1.0, 2.0]), "b", licence="MIT")
    assert hub.pull("a").weights.tolist() == [1.0, 2.0]


def test_flipped_bits_in_the_registry_never_show_another_entry(hub, tiny):
    whole_entry = hub.publish(tiny([1.0]), "a", licence="MIT")
    hub._store.records.close()  # what the log holds goes into the file
    path = hub.folder / "registry.sqlite"
    whole = path.read_bytes()
    record = json.dumps(whole_entry.to_dict()).encode()
    start = whole.index(record)
    dice = random.Random(0)
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[start + dice.randrange(len(record) + 64)] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(HubError):
            hub.show("a")
    path.write_bytes(whole)
    assert hub.show("a") == whole_entry


def test_a_registry_that_is_no_database_is_damaged(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub._store.records.close()  # with a log beside it, the log's pages would heal it
    (hub.folder / "registry.sqlite").write_bytes(b"not a database " * 1000)
    with pytest.raises(Damaged, match="registry"):
        hub.list()


def test_a_registry_that_names_a_file_outside_is_refused(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    values = hub.show("a").to_dict()
    values["files"] = {"../../outside": values["files"]["weights.f64"]}
    with pytest.raises(Damaged, match="outside of the model folder"):
        Entry.from_dict(values)
    values["files"] = {"inside": {"digest": "../../../etc/passwd", "size": 1}}
    with pytest.raises(Damaged, match="no sha256"):
        Entry.from_dict(values)


def test_a_hub_held_by_another_process_is_said_after_the_wait(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    holder = sqlite3.connect(hub.folder / "registry.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        start = time.monotonic()
        with pytest.raises(HubError, match="held by another process"):
            Hub(hub.folder, wait=0.2).publish(tiny([2.0]), "a", licence="MIT")
        assert 0.2 <= time.monotonic() - start < 10
        assert len(hub.list(every=True)) == 1  # readers are not held up
    finally:
        holder.close()
    assert not any((hub.folder / "tmp").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_read_only_hub_can_be_read_and_refuses_a_publication(tiny, request):
    place = tempfile.mkdtemp()  # where somebody who is not root may look
    request.addfinalizer(lambda: shutil.rmtree(place))
    Path(place).chmod(0o755)
    hub = Hub(Path(place, "hub"))
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub.folder.chmod(0o555)
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:  # permissions do not bind root
                os.setuid(65534)
            assert [entry.name for entry in hub.list()] == ["a"]
            with pytest.raises(HubError, match="may not be written"):
                hub.publish(tiny([1.0]), "a", licence="MIT")
            os._exit(0)
        finally:
            os._exit(1)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        hub.folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="another person is needed")
@pytest.mark.parametrize("killed", [False, True])
def test_somebody_who_may_not_write_reads_what_stands_in_the_log_alone(killed, tiny, request):
    place = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: shutil.rmtree(place))
    place.chmod(0o755)
    reader, writer = os.pipe()
    publisher = os.fork()
    if not publisher:
        hub = Hub(place / "hub")
        hub.publish(tiny([1.0]), "a", licence="MIT")
        os.write(writer, b"published")
        time.sleep(600)
    os.read(reader, 9)
    if killed:
        os.kill(publisher, signal.SIGKILL)
    other = os.fork()
    if not other:
        try:
            os.setuid(65534)
            assert [str(entry) for entry in Hub(place / "hub").list()] == ["a@1"]
            os._exit(0)
        finally:
            os._exit(1)
    try:
        assert os.waitpid(other, 0)[1] == 0
    finally:
        os.kill(publisher, signal.SIGKILL)
        os.waitpid(publisher, 0)


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_holds_is_not(hub, tiny):
    child = os.fork()
    if not child:
        with staging(hub.folder):
            os._exit(0)
    os.waitpid(child, 0)
    with staging(hub.folder) as held:
        assert len(list((hub.folder / "tmp").iterdir())) == 2
        hub.publish(tiny([1.0]), "a", licence="MIT")
        assert list((hub.folder / "tmp").iterdir()) == [held]


def test_a_hub_that_stays_open_sweeps_again_after_a_while(hub, tiny, monkeypatch):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    child = os.fork()
    if not child:
        with staging(hub.folder):
            os._exit(0)
    os.waitpid(child, 0)
    hub.publish(tiny([2.0]), "a", licence="MIT")
    assert len(list((hub.folder / "tmp").iterdir())) == 1
    monkeypatch.setattr("bequest.hub.storage.folder.store._SWEEP", 0.0)
    hub.publish(tiny([3.0]), "a", licence="MIT")
    assert list((hub.folder / "tmp").iterdir()) == []


def test_what_another_machine_left_is_abandoned_after_an_hour(hub):
    work = hub.folder / "tmp" / "ffffffff-1-0123456789abcdef"
    work.mkdir(parents=True)
    (work / "half").touch()
    assert list(abandoned(hub.folder)) == []
    old = time.time() - STALE - 1
    os.utime(work / "half", (old, old))
    os.utime(work, (old, old))
    assert list(abandoned(hub.folder)) == [work]


def spoiled(hub, name):
    with closing(sqlite3.connect(hub.folder / "registry.sqlite")) as db:
        db.execute(
            "UPDATE entries SET record = replace(record, 'MIT', 'BSD') WHERE name = ?", [name]
        )
        db.commit()


def test_one_altered_row_hides_no_other_entry_and_is_named(hub, tiny, caplog):
    for name in ("a", "b", "c"):
        hub.publish(tiny([1.0]), name, licence="MIT")
    spoiled(hub, "b")
    assert [str(entry) for entry in hub.list()] == ["a@1", "c@1"]
    assert "the row of b@1 in the registry was altered. It is left out." in caplog.text
    assert hub.names() == ("a", "b", "c")
    for read in (hub.show, hub.pull):
        with pytest.raises(Damaged, match="b@1"):
            read("b")
    readable, unread = opened(hub.sources())
    assert [source.name for source in readable] == ["a@1", "c@1"]
    assert "it cannot be read" in unread["b@1"]
    assert readable[0].model.weights.tolist() == [1.0]


def test_what_a_log_has_lost_is_told_and_a_remedy_with_it(hub, tiny):
    child = os.fork()
    if not child:
        for number in range(5):
            hub.publish(tiny([float(number)]), "a", licence="MIT")
        os._exit(0)  # as if killed: what was published stands in the log alone
    os.waitpid(child, 0)
    log = hub.folder / "registry.sqlite-wal"
    flipped = bytearray(log.read_bytes())
    flipped[-100] ^= 1  # in the last page of the last commit
    log.write_bytes(flipped)
    for ask in (hub.list, lambda: hub.publish(tiny([9.0]), "b", licence="MIT")):
        with pytest.raises(Damaged, match="lost what was published last"):
            ask()
    (hub.folder / "registry.tip").unlink()
    assert [entry.version for entry in hub.list(every=True)] == [1, 2, 3, 4]
    assert hub.publish(tiny([4.0]), "a", licence="MIT").version == 5


@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_bytes(b"\xff 3")])
def test_a_tip_that_is_lost_or_altered_keeps_nobody_out(spoil, hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    spoil(hub.folder / "registry.tip")
    assert [str(entry) for entry in hub.list()] == ["a@1"]
    assert hub.publish(tiny([1.0]), "a", licence="MIT").version == 2
    assert (hub.folder / "registry.tip").read_text().startswith("2 ")


def test_an_index_that_lost_a_row_and_a_use_that_was_altered_are_told(hub, tiny):
    for name in ("a", "b"):
        hub.publish(tiny([1.0]), name, licence="MIT")
    assert hub.verify() == ()
    with closing(sqlite3.connect(hub.folder / "registry.sqlite")) as db:
        db.execute("DELETE FROM uses WHERE name = 'b'")
        db.commit()
    assert [finding.subject for finding in hub.verify()] == ["registry"] * 4
    assert all("b@1" in str(finding) for finding in hub.verify())
