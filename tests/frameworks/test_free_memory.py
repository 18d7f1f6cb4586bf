"""A model that does not fit into memory is refused before it is read."""

import json
import sys
from pathlib import Path

import pytest

import bequest as bq
from bequest.errors import ModelError
from bequest.frameworks.torch import free_memory
from bequest.frameworks.torch.free_memory import check_memory, free_bytes

sys.path.insert(0, str(Path(__file__).parent))
import hub_folders as hub


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that says so many kilobytes are free, and what its container may take."""

    def made(free, most=None, used=None, cached=0):
        (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {free} kB\n")
        monkeypatch.setattr(free_memory, "MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(free_memory, "CONTAINER", tmp_path)
        files = f"anon 7\nactive_file {cached}\ninactive_file 0\n"
        for name, value in (("max", most), ("current", used), ("stat", files)):
            if value is not None:
                (tmp_path / f"memory.{name}").write_text(f"{value}\n")

    return made


def test_the_smaller_of_machine_and_container_counts(machine):
    machine(10)
    assert free_bytes() == 10240
    machine(10, "max", 5)
    assert free_bytes() == 10240
    machine(10, 5000, 1000)
    assert free_bytes() == 4000
    machine(10, 5000, 4000, 3000)  # files that were read are no use of memory
    assert free_bytes() == 4000
    machine(10, 50_000, 1000)
    assert free_bytes() == 10240


@pytest.mark.parametrize("text", ["", "MemAvailable:", "MemAvailable: many kB"])
def test_a_system_that_does_not_say_refuses_nothing(machine, text):
    machine(0)
    free_memory.MEMINFO.write_text(text)
    assert free_bytes() is None
    check_memory([("F32", 10**18)], "it")


def test_half_precision_is_counted_as_it_is_read_and_as_it_is_used(machine):
    machine(3)
    check_memory([("F32", 3072), ("BF16", 0)], "it")
    check_memory([("BF16", 1024)], "it")
    with pytest.raises(ModelError, match=r"it takes 0.0 GB of memory to load, 0.0 GB are free"):
        check_memory([("F16", 1026)], "it")


@pytest.mark.parametrize("shards", [1, 2])
def test_a_folder_that_does_not_fit_is_one_line(machine, tmp_path, shards):
    folder = hub.write(tmp_path / "bert", hub.network("bert"), shards=shards)
    machine(1)
    with pytest.raises(ModelError, match=r"bert takes .* GB are free"):
        bq.load(folder)


def test_shards_that_are_missing_are_noticed_before_any_is_read(tmp_path, monkeypatch):
    folder = hub.write(tmp_path / "bert", hub.network("bert"), shards=3)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    names = sorted(set(index["weight_map"].values()))
    (folder / names[1]).unlink()
    monkeypatch.setattr("bequest.frameworks.hugging_face.files.read_weights", None)
    with pytest.raises(ModelError, match=f"lacks 1 of its 3 files of weights: {names[1]}"):
        bq.load(folder)
