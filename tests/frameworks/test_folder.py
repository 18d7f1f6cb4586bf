import os
import time
from pathlib import Path

import numpy as np
import pytest

import bequest as bq
from bequest.core import Card
from bequest.errors import ModelError
from bequest.frameworks.files import folder as folders
from bequest.frameworks.files.temporary import STALE, leftovers, sibling


@pytest.fixture(scope="module")
def model():
    return bq.train(bq.Task.from_arrays(np.eye(6), [0, 1] * 3, name="corners"), net="linear")


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def aged(path, seconds):
    then = time.time() - seconds
    for part in (*path.rglob("*"), path):
        os.utime(part, (then, then))
    return path


@pytest.mark.parametrize("change", [lambda p: p.write_text("mine"), lambda p: p.unlink()])
def test_the_page_for_people_may_be_edited_or_missing(folder, change, model, tmp_path):
    change(folder / "README.md")
    np.testing.assert_array_equal(bq.load(folder).predict(np.eye(6)), model.predict(np.eye(6)))
    entry = bq.Hub(tmp_path / "hub").publish(folder, "corners", licence="MIT")
    fetched = tmp_path / "fetched"
    bq.Hub(tmp_path / "hub").fetch("corners", fetched)
    assert "# corners" in (fetched / "README.md").read_text()
    assert "README.md" in entry.files
    model.save(folder)  # it is still a model folder, which may be replaced
    assert "# corners" in (folder / "README.md").read_text()


def test_a_file_that_is_read_must_be_there_whatever_its_name_looks_like(folder):
    (folder / "card.json").rename(folder / "README.md")
    with pytest.raises(ModelError, match=r"lacks its file card\.json"):
        bq.load(folder)


def killed_in(tmp_path, write):
    """What a process leaves that is killed while it writes a model folder."""
    child = os.fork()
    if not child:
        folders.write_folder(tmp_path / "model", kind="torch", config={}, card=Card(), write=write)
        os._exit(1)
    os.waitpid(child, 0)
    [left] = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    return left


def test_what_a_killed_process_left_goes_with_the_next_write_after_an_hour(tmp_path, model):
    def stop(work):
        (work / "half").write_bytes(b"x")
        os._exit(0)

    left = killed_in(tmp_path, stop)
    model.save(tmp_path / "model")
    assert left.exists()  # somebody may still be at work on another machine
    aged(left, STALE + 60)
    model.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_living_process_holds_and_what_is_not_ours_stays(tmp_path, model):
    held = sibling(tmp_path / "model")
    held.mkdir()
    other = sibling(tmp_path / "model2")
    theirs = [tmp_path / name for name in (".model-archive1", ".model.bequest-notes", ".model")]
    for path in (other, *theirs):
        path.mkdir()
    for path in (held, other, *theirs):
        aged(path, 10 * STALE)
    before = set(tmp_path.iterdir())
    model.save(tmp_path / "model")
    assert set(tmp_path.iterdir()) == before | {tmp_path / "model"}


def test_leftovers_of_another_machine_are_told_by_their_age(tmp_path):
    left = tmp_path / ".out.csv.bequest-ffffffff-1-0123456789abcdef"
    left.touch()
    assert list(leftovers(tmp_path / "out.csv")) == []
    aged(left, STALE + 60)
    assert list(leftovers(tmp_path / "out.csv")) == [left]


def test_a_long_name_has_room_beside_it(tmp_path, model):
    place = tmp_path / ("é" * 120)
    model.save(place)
    assert bq.load(place).name == "corners"
    assert list(Path(tmp_path).iterdir()) == [place]


def test_a_folder_that_its_maker_syncs_later_is_the_same_and_waits_for_no_disk(
    model, folder, tmp_path, monkeypatch
):
    waits = []
    monkeypatch.setattr(os, "fsync", waits.append)
    with folders.unsynced():
        model.save(tmp_path / "hidden")
    assert waits == []
    assert {p.name for p in (tmp_path / "hidden").iterdir()} == {p.name for p in folder.iterdir()}
    np.testing.assert_array_equal(
        bq.load(tmp_path / "hidden").predict(np.eye(6)), model.predict(np.eye(6))
    )
    model.save(tmp_path / "shown")
    assert len(waits) >= len(list(folder.iterdir()))
