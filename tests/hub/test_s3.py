import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from bequest.errors import Conflict, Damaged, HubError
from bequest.frameworks.files.temporary import process_mark
from bequest.hub import Hub
from bequest.hub.storage.object_storage.bucket import PART

SCRIPT = Path(__file__).with_name("s3_faults.py")
FIRST = "log/0000000001"


def fault(kind, folder, number):
    done = subprocess.run(
        [sys.executable, SCRIPT, kind, folder, str(number)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def bucket(s3):
    """The same place, as somebody sees it who keeps to no rules."""
    return from_url(s3.url, client_options={"allow_http": True}, **s3.storage())


def read(bucket, key):
    return bytes(obstore.get(bucket, key).bytes())


def test_what_one_machine_publishes_another_one_sees(s3, tiny):
    here, there = s3.hub("here"), s3.hub("there")
    first = here.publish(tiny([1.0, 2.0]), "a", licence="MIT")
    assert there.list() == (first,)
    second = there.publish(tiny([3.0]), "a", licence="MIT", parents=[first])
    assert here.list(every=True) == (first, second)
    assert here.pull("a").weights.tolist() == [3.0]
    assert there.pull("a", 1).weights.tolist() == [1.0, 2.0]
    assert [(s.name, s.model.weights.tolist()) for s in there.sources()] == [("a@2", [3.0])]
    found = here.query("SELECT ?parent { ?model prov:wasDerivedFrom ?parent }")
    assert [row["parent"] for row in found] == ["urn:bequest:model:a@1"]
    assert not [finding for finding in there.verify() if finding.wrong]


def test_of_two_machines_that_expect_one_version_one_wins(s3, tiny):
    here, there = s3.hub("here"), s3.hub("there")
    here.publish(tiny([1.0]), "a", licence="MIT", expect=0)
    with pytest.raises(Conflict, match="at version 1, not at 0"):
        there.publish(tiny([2.0]), "a", licence="MIT", expect=0)
    assert there.publish(tiny([2.0]), "a", licence="MIT").version == 2


def test_one_who_comes_too_late_at_the_last_moment_gets_the_next_version(s3, tiny, monkeypatch):
    here, there = s3.hub("here"), s3.hub("there")
    here.publish(tiny([1.0]), "a", licence="MIT")
    append = there._store._log.append
    came = []

    def after_another(*given):
        if not came:
            came.append(here.publish(tiny([2.0]), "a", licence="MIT"))
        return append(*given)

    monkeypatch.setattr(there._store._log, "append", after_another)
    assert there.publish(tiny([3.0]), "a", licence="MIT").version == 3
    came.clear()
    with pytest.raises(Conflict, match="at version 4, not at 3"):
        there.publish(tiny([5.0]), "a", licence="MIT", expect=3)
    assert [entry.version for entry in there.list(every=True)] == [1, 2, 3, 4]


def test_a_cache_that_is_deleted_comes_back(s3, tiny):
    hub = s3.hub()
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub.publish(tiny([2.0]), "b", licence="MIT")
    before = hub.list()
    shutil.rmtree(hub.folder)
    assert hub.list() == before
    assert hub.pull("b").weights.tolist() == [2.0]


def test_a_version_that_was_fetched_before_needs_no_bucket(s3, tiny):
    s3.hub().publish(tiny([1.0]), "a", licence="MIT")
    s3.hub("other").pull("a", 1)
    gone = {**s3.storage(), "endpoint": "http://127.0.0.1:1"}
    hub = Hub(s3.url, cache=s3.folder / "other", storage=gone)
    assert hub.pull("a", 1).weights.tolist() == [1.0]
    for ask in (lambda: hub.pull("a"), lambda: hub.pull("a", 2)):
        with pytest.raises(HubError, match="cannot be reached"):
            ask()


def test_a_cache_that_is_deleted_halfway_is_not_half_filled(s3, tiny, monkeypatch):
    for number in range(3):
        s3.hub().publish(tiny([float(number)]), "a", licence="MIT")
    other = s3.hub("other")
    log = other._store._log
    after = log.after

    def one_by_one(position):
        for records in after(position):
            yield records[:1]
            shutil.rmtree(other.folder)
            yield records[1:]

    monkeypatch.setattr(log, "after", one_by_one)
    with pytest.raises(HubError, match="removed while it was brought up to date"):
        other.list()
    monkeypatch.setattr(log, "after", after)
    assert len(other.list(every=True)) == 3


def test_of_four_machines_that_expect_one_version_exactly_one_wins(tmp_path):
    assert fault("race", tmp_path / "race", 6) == raced(6)


@pytest.mark.slow
def test_of_four_machines_exactly_one_wins_a_hundred_times(tmp_path):
    assert fault("race", tmp_path / "race", 100) == raced(100)


def raced(rounds):
    return {
        "rounds": rounds,
        "winners": rounds,
        "rounds_with_one_winner": rounds,
        "latest": rounds,
        "failed_processes": 0,
    }


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_leaves_a_whole_entry_or_none(tmp_path, times):
    counts = fault("kills", tmp_path / "kills", times)
    assert counts.pop("entries") >= counts["acknowledged"]
    assert counts.pop("acknowledged") > 2
    assert counts == {"kills": times, "half": 0, "lost": 0, "unlike": 0, "temporaries": 0}


@pytest.mark.slow
def test_a_large_file_is_never_whole_in_memory(tmp_path):
    counts = fault("memory", tmp_path / "memory", 512)
    assert counts["growth_sending_mib"] < 128
    assert counts["growth_fetching_mib"] < 128


def test_a_file_of_several_parts_comes_back_and_is_sent_once(s3, tiny, bucket):
    model = tiny([0.5] * (PART // 8 + 7))
    entry = s3.hub().publish(model, "large", licence="MIT")
    digest = entry.files["weights.f64"].digest
    key = f"objects/{digest[:2]}/{digest[2:]}"
    sent = obstore.head(bucket, key)
    assert sent["size"] == PART + 7 * 8
    s3.hub().publish(model, "again", licence="MIT")
    assert obstore.head(bucket, key)["last_modified"] == sent["last_modified"]
    assert s3.hub("other").pull("large").weights.tolist() == model.weights.tolist()
    obstore.put(bucket, key, b"x" * sent["size"])
    assert [f.about for f in s3.hub().verify("large")] == ["file"]
    s3.hub().publish(model, "healed", licence="MIT")
    assert s3.hub("third").pull("large").weights.tolist() == model.weights.tolist()


def test_every_altered_object_is_found_by_who_fetches_it(s3, tiny, bucket):
    entry = s3.hub().publish(tiny([1.0, 2.0]), "a", licence="MIT")
    for number, file in enumerate(entry.files.values()):
        key = f"objects/{file.digest[:2]}/{file.digest[2:]}"
        whole = read(bucket, key)
        for spoiled, line in (
            (bytes([whole[0] ^ 1]) + whole[1:], "it was altered"),
            (whole[:-1], "bytes, not"),
            (whole + b"x", "bytes, not"),
            (None, "lacks objects"),
        ):
            if spoiled is None:
                obstore.delete(bucket, key)
            else:
                obstore.put(bucket, key, spoiled)
            fresh = s3.hub(f"fresh{number}")
            with pytest.raises(Damaged, match=line):
                fresh.pull("a")
            assert not any((fresh.folder / "tmp").iterdir())
        obstore.put(bucket, key, whole)
        assert fresh.pull("a").weights.tolist() == [1.0, 2.0]


def test_what_a_killed_reader_left_is_swept_by_the_next_one(s3, tiny):
    s3.hub().publish(tiny([1.0]), "a", licence="MIT")
    s3.hub("other").list()
    left = s3.folder / "other" / "tmp" / process_mark().replace(f"-{os.getpid()}-", "-1073741824-")
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half of it")
    s3.hub("other").pull("a")
    assert not any((s3.folder / "other" / "tmp").iterdir())


def test_verifying_reads_the_bucket_and_not_the_cache(s3, tiny, bucket):
    hub = s3.hub()
    entry = hub.publish(tiny([1.0]), "a", licence="MIT")
    digest = entry.files["weights.f64"].digest
    obstore.put(bucket, f"objects/{digest[:2]}/{digest[2:]}", b"x" * 8)
    assert hub.pull("a").weights.tolist() == [1.0]
    assert "altered in the bucket" in str(hub.verify()[0])
    hub.publish(tiny([1.0]), "b", licence="MIT")  # the same content heals it
    assert hub.verify() == ()
    obstore.put(bucket, FIRST, read(bucket, FIRST).replace(b"MIT", b"BSD"))
    assert [(f.subject, f.wrong) for f in hub.verify()] == [("registry", True)]


def test_a_copy_that_rots_in_the_cache_is_fetched_again(s3, tiny):
    hub = s3.hub()
    digest = hub.publish(tiny([1.0]), "a", licence="MIT").files["weights.f64"].digest
    here = hub.folder / "objects" / digest[:2] / digest[2:]
    here.chmod(0o644)
    here.write_bytes(b"rotten..")
    assert hub.pull("a").weights.tolist() == [1.0]


def test_a_cache_that_is_no_database_is_said_to_be_a_cache(s3, tiny):
    s3.hub().publish(tiny([1.0]), "a", licence="MIT")
    s3.hub("other").list()
    (s3.folder / "other" / "registry.sqlite").write_bytes(b"no database " * 1000)
    for left in (s3.folder / "other").glob("registry.sqlite-*"):
        left.unlink()
    with pytest.raises(Damaged, match="It is a cache: delete it"):
        s3.hub("other").list()


def test_a_folder_of_other_things_is_no_cache(s3, tiny, tmp_path):
    s3.hub().publish(tiny([1.0]), "a", licence="MIT")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").touch()
    with pytest.raises(HubError, match="holds other things"):
        s3.hub("papers").list()
    assert os.listdir(tmp_path / "papers") == ["thesis.tex"]
    own = Hub(tmp_path / "own")
    own.publish(tiny([2.0]), "mine", licence="MIT")
    with pytest.raises(HubError, match="is a hub of its own"):
        s3.hub("own").list()
    assert [str(entry) for entry in own.list()] == ["mine@1"]


def test_each_address_has_a_cache_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    hubs = [
        Hub("s3://bucket/hub"),
        Hub("s3://bucket/hub-2"),
        Hub("s3://bucket/hub", storage={"endpoint": "https://s3.example.org"}),
    ]
    assert len({hub.folder for hub in hubs}) == 3
    assert {hub.folder.parent for hub in hubs} == {tmp_path / ".cache" / "bequest"}
    assert Hub("s3://bucket/hub/").folder == hubs[0].folder
    assert repr(hubs[0]) == "Hub('s3://bucket/hub')"
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_goes_through_a_bucket_in_one_record(s3, tiny, bucket, tmp_path):
    own = Hub(tmp_path / "own")
    own.publish(tiny([1.0]), "a", licence="MIT")
    own.publish(tiny([2.0]), "b", licence="MIT", parents=["a@1"])
    own.bundle("b", tmp_path / "b.bundle")
    hub = s3.hub()
    assert [str(entry) for entry in hub.unbundle(tmp_path / "b.bundle")] == ["a@1", "b@1"]
    assert hub.unbundle(tmp_path / "b.bundle") == ()
    assert len([meta for page in obstore.list(bucket, "log") for meta in page]) == 1
    s3.hub("other").bundle("b", tmp_path / "again.bundle")
    assert (tmp_path / "again.bundle").read_bytes() == (tmp_path / "b.bundle").read_bytes()
    s3.hub("third").publish(tiny([7.0]), "c", licence="MIT")
    own.publish(tiny([8.0]), "c", licence="MIT")
    own.bundle("c", tmp_path / "c.bundle")
    with pytest.raises(Conflict, match="c@1 is another model here"):
        hub.unbundle(tmp_path / "c.bundle")
