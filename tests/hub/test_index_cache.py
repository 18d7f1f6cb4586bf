from dataclasses import asdict

import numpy as np
import pytest
from benchmarks.hub_made import fill, outcome_like, task_of

import bequest.hub.suggestions.suggest
from bequest.hub import Hub
from bequest.hub.suggestions.outcome_table import Kept


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A hub that was asked once, by a process that is gone."""
    monkeypatch.setattr(bequest.hub.suggestions.suggest, "_WORTH_KEEPING", 50)
    fill(tmp_path / "hub", 40, 8, 90, seed=2, sketched=0.5)
    Hub(tmp_path / "hub").suggest(task_of(1))
    return tmp_path / "hub"


@pytest.fixture
def read(monkeypatch):
    """How many entries and outcomes were read from the registry."""
    seen = []
    for name in ("learn_entry", "learn_outcome"):
        learn = getattr(Kept, name)
        monkeypatch.setattr(Kept, name, lambda s, v, learn=learn: (seen.append(1), learn(s, v)))
    return seen


def said(hub):
    return repr([asdict(one) for one in hub.suggest(task_of(3), 40)])


def test_the_next_process_reads_no_row_and_says_the_same(folder, read):
    found = said(Hub(folder))
    assert read == []
    (folder / "suggest.npz").unlink()
    assert said(Hub(folder)) == found
    assert len(read) == 130


def test_rows_that_came_since_are_read(folder, read):
    Hub(folder).record(outcome_like(task_of(5)))
    Hub(folder).suggest(task_of(1))
    assert len(read) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "pickle"])
def test_a_damaged_file_is_left_aside(folder, read, damage):
    path = folder / "suggest.npz"
    found, content = said(Hub(folder)), bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 3] ^= 8
    elif damage == "text":
        content = bytearray(b"no archive")
    path.write_bytes(content)
    if damage == "pickle":
        np.savez(path, said=np.array([{}], dtype=object))
    assert said(Hub(folder)) == found
    assert len(read) == 130


def test_that_of_another_registry_is_left_aside(folder, read, tmp_path):
    fill(tmp_path / "other", 40, 8, 90, seed=9, sketched=0.5)
    Hub(tmp_path / "other").suggest(task_of(1))
    found, _ = said(Hub(folder)), read.clear()
    (tmp_path / "other" / "suggest.npz").replace(folder / "suggest.npz")
    assert said(Hub(folder)) == found
    assert len(read) == 130


def test_a_file_whose_numbers_point_to_nothing_is_left_aside(folder, read):
    path = folder / "suggest.npz"
    with np.load(path) as arrays:
        whole = dict(arrays)
    whole["0 model"] = whole["0 model"] + 1000
    np.savez(path, **whole)
    Hub(folder).suggest(task_of(1))
    assert len(read) == 130


def test_where_it_cannot_be_written_the_answer_is_the_same(folder):
    found = said(Hub(folder))
    (folder / "suggest.npz").unlink()
    (folder / "suggest.npz").mkdir()  # nothing can take its place
    assert said(Hub(folder)) == found
    assert [path.name for path in folder.iterdir() if "bequest-" in path.name] == []


def test_a_small_hub_leaves_no_file(tmp_path):
    fill(tmp_path / "hub", 4, 2, 9, seed=2)
    Hub(tmp_path / "hub").suggest(task_of(1))
    assert not (tmp_path / "hub" / "suggest.npz").exists()
