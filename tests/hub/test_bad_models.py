"""Folders whose weights lie, with every hash in order: one line, soon, nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import struct
import time

import numpy as np
import pytest
from torch import nn

import bequest as bq
from bequest.errors import BequestError, HubError, ModelError
from bequest.frameworks.files import folder as folders
from bequest.hub import Hub
from bequest.hub.storage.files import streams

FLOATS = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def weights(header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def long_header():
    return struct.pack("<Q", 99 * 10**6) + b'{"a":' + b" " * (99 * 10**6 - 5)


BAD = {
    "a header of 99 MB": long_header,
    "a header longer than the file": lambda: struct.pack("<Q", 2**62) + b"{}",
    "two tensors of one name": lambda: weights(
        b'{"a": %(one)s, "a": %(one)s}' % {b"one": json.dumps(FLOATS).encode()}
    ),
    "overlapping tensors": lambda: weights(
        {"a": FLOATS, "b": {**FLOATS, "data_offsets": [8, 24]}}, b"\0" * 24
    ),
    "a shape of 2^40": lambda: weights({"a": {**FLOATS, "shape": [2**40]}}),
    "a shape whose product overflows": lambda: weights({"a": {**FLOATS, "shape": [2**32, 2**32]}}),
    "more nesting than a parser has": lambda: weights(b"[" * 10**6),
    "a name that leads out": lambda: weights({"../../etc/passwd": FLOATS}),
    "no numbers": lambda: weights({"a": FLOATS}, struct.pack("<4f", 1, 2, np.nan, np.inf)),
    "nothing": lambda: b"",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "model"
    bq.wrap(nn.Linear(3, 2), classes=["no", "yes"], example=np.zeros((2, 3))).save(folder)
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    """A copy; `put` writes its weights anew and its hashes to match."""
    place = tmp_path / "model"
    place.mkdir()
    for path in sound.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


def put(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    config = json.loads((folder / "config.json").read_text())
    config["files"]["model.safetensors"] = hashlib.sha256(content).hexdigest()
    del config["digest"]
    config["digest"] = folders._digest(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_folder_whose_hashes_were_written_anew_is_published(folder, hub):
    put(folder, (folder / "model.safetensors").read_bytes())
    assert hub.publish(folder, "a", licence="MIT").version == 1


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_weights_that_lie_are_refused_in_one_line_and_nothing_is_written(content, folder, hub):
    put(folder, content())
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ModelError) as error:
        hub.publish(folder, "a", licence="MIT")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert not hub.folder.exists()


def test_a_model_whose_numbers_are_none_is_refused_and_nothing_is_visible(hub, sound):
    network = nn.Linear(3, 2)
    nn.init.constant_(network.weight, float("nan"))
    hub.publish(bq.load(sound), "a", licence="MIT")
    with pytest.raises(BequestError, match=r"NaN|finite"):
        hub.publish(
            bq.wrap(network, classes=["no", "yes"], example=np.zeros((2, 3))), "b", licence="MIT"
        )
    assert [str(entry) for entry in hub.list()] == ["a@1"]
    assert not any((hub.folder / "tmp").iterdir())
    assert hub.verify() == ()


def test_a_file_that_changes_while_it_is_hashed_is_refused(tmp_path, monkeypatch):
    source = tmp_path / "growing"
    source.write_bytes(b"a" * 100)

    class Slow:
        def __init__(self):
            self.whole = hashlib.new("sha256")

        def update(self, chunk):
            with source.open("ab") as file:
                file.write(b"b")
            self.whole.update(chunk)

        def hexdigest(self):
            return self.whole.hexdigest()

    monkeypatch.setattr(streams.hashlib, "sha256", Slow)
    with pytest.raises(HubError, match="changed while it was read"):
        streams.copy_hashed(source, tmp_path / "copy")


@pytest.mark.parametrize("name", ["../../etc/passwd", "CON", "a" * 300, "wаrd", "a//b", "a\n"])
def test_a_name_that_is_none_is_refused_before_anything_is_read_or_written(name, hub, tiny):
    with pytest.raises(HubError, match="is no name for a hub") as error:
        hub.publish(tiny([1.0]), name, licence="MIT")
    assert "\n" not in str(error.value)
    assert not hub.folder.exists()


def test_a_hub_that_a_killed_process_was_writing_is_free_at_once(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with hub._store.records.writing() as db:
            db.execute("DELETE FROM entries")
            os.write(writer, b"held")
            time.sleep(600)
    os.read(reader, 4)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert Hub(hub.folder, wait=5.0).publish(tiny([2.0]), "a", licence="MIT").version == 2
    assert [entry.version for entry in hub.list(every=True)] == [1, 2]
