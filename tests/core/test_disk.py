import os
import sys
from pathlib import Path

import pytest

import bequest
from bequest.core import disk


@pytest.fixture
def waits(monkeypatch):
    """What was waited for, and how."""
    seen = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(("fsync", handle)))
    return seen


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fcntl here")
@pytest.mark.parametrize("known", [True, False])
def test_a_drive_is_told_to_write_down_what_it_holds_where_it_can_be(monkeypatch, waits, known):
    def fcntl(handle, command):
        waits.append((command, handle))
        if not known:
            raise OSError(45, "Operation not supported")

    monkeypatch.setattr(disk.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(disk.fcntl, "fcntl", fcntl)
    disk.flush(7)
    assert waits == [(51, 7)] + [("fsync", 7)] * (not known)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may have more")
def test_elsewhere_a_sync_is_all_there_is(waits, tmp_path):
    disk.flush(7)
    disk.sync_folder(tmp_path)
    assert [how for how, _ in waits] == ["fsync", "fsync"]
    with pytest.raises(OSError, match="Bad file descriptor"):  # it was closed
        os.fstat(waits[1][1])


def test_nothing_is_synced_past_it():
    found = Path(bequest.__file__).parent.rglob("*.py")
    assert [path.name for path in found if "os.fsync(" in path.read_text("utf-8")] == ["disk.py"]
