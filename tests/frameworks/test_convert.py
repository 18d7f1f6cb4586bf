from __future__ import annotations

import json
import os
import pickle
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.checkpoint import convert, read_checkpoint
from bequest.frameworks.files.checkpoint_tensors import check_tensors, find_tensors
from bequest.frameworks.files.convert import convert_checkpoint
from bequest.frameworks.files.weights import read_weights

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")


class Runs:
    """What pickle would run on loading."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def saved(tmp_path):
    """Write something with torch.save; the path."""

    def write(content, name="a.pt", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3, bias=False))
    net[2].weight = nn.Parameter(net[0].weight.detach().T.contiguous())
    return net


def test_a_training_checkpoint_gives_its_tensors_and_names_what_is_dropped(saved, net, tmp_path):
    content = {"epoch": 3, "state_dict": net.state_dict(), "optimizer": {"state": {0: {}}}}
    done = convert_checkpoint(saved(content), tmp_path / "b.safetensors")
    assert (done.tensors, done.key) == (len(net.state_dict()), "state_dict")
    assert done.dropped == ("epoch", "optimizer")
    found = read_weights(tmp_path / "b.safetensors")
    assert all(torch.equal(found[name], value) for name, value in net.state_dict().items())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt", "b.safetensors"]


def test_a_malicious_checkpoint_is_refused_and_nothing_of_it_runs(saved, tmp_path):
    marker = tmp_path / "marker"
    path = saved({"weight": torch.ones(2), "x": Runs(marker)})
    with pytest.raises(UnsafeModel, match=r"asks for posix\.system.*nothing of it was run"):
        convert_checkpoint(path, tmp_path / "b.safetensors")
    assert not marker.exists()
    assert not (tmp_path / "b.safetensors").exists()
    pickle.loads(pickle.dumps(Runs(marker)))
    assert marker.exists(), "the payload does run where a pickle is loaded"


def test_a_module_beside_the_person_is_not_taken_for_ours(saved, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    convert_checkpoint(saved({"weight": torch.ones(2)}), "b.safetensors")
    assert not (tmp_path / "marker").exists()


@LINUX
def test_a_bomb_ends_in_one_line_and_not_in_our_memory(tmp_path):
    # A legacy file may claim storages of any size; the pickle of this one has 200 bytes.
    path = tmp_path / "bomb.pt"
    torch.save(OrderedDict(a=torch.ones(16)), path, _use_new_zipfile_serialization=False)
    bomb = path.read_bytes().replace(b"K\x10N", b"\x8a\x05\x00\x00\x00\x00\x10N")
    bomb = bomb.replace(b"K\x10\x85", b"\x8a\x05\x00\x00\x00\x00\x10\x85")
    assert bomb != path.read_bytes()
    path.write_bytes(bomb)
    with pytest.raises(ModelError, match="asks for far more memory"):
        convert_checkpoint(path, tmp_path / "b.safetensors")


def test_an_archive_that_is_compressed_inside_is_refused_before_it_is_read(saved, tmp_path):
    path = saved({"a": torch.zeros(2**22)})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 2**16
    with pytest.raises(ModelError, match=r"says that 16\d+ are in it"):
        read_checkpoint(tmp_path / "bomb.pt")


def test_a_tensor_that_repeats_one_number_a_trillion_times_is_refused(saved):
    path = saved({"a": torch.zeros(1).expand(2**40)})
    found = find_tensors(read_checkpoint(path))
    with pytest.raises(ModelError, match=f"would take {2**42} bytes"):
        check_tensors(found.tensors, path.stat().st_size)


def test_dictionaries_that_multiply_are_cut_off():
    inner = {str(n): n for n in range(1000)}
    for _ in range(4):
        inner = {str(n): inner for n in range(1000)}
    with pytest.raises(ModelError, match="more than 1048576 values"):
        find_tensors(inner)


@pytest.mark.parametrize("cut", [20, 400])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_truncated_checkpoint_is_one_line(saved, zipped, cut):
    path = saved({"a": torch.ones(200)}, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ModelError, match="damaged") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_the_format_before_zip_is_read(saved, net):
    path = saved(net.state_dict(), _use_new_zipfile_serialization=False)
    found = find_tensors(read_checkpoint(path)).tensors
    assert torch.equal(found["2.weight"], net[2].weight)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no checkpoint"),
        (b"hello", "is no checkpoint"),
        (pickle.dumps({"a": 1}), "is no checkpoint"),
        (pickle.dumps(Runs("x"), 2), "neither a tensor nor a plain value|is no checkpoint"),
        (b"PK\x03\x04 and no more", "truncated or damaged"),
    ],
    ids=["empty", "text", "pickle", "code", "zip"],
)
def test_what_is_no_checkpoint_is_one_line(tmp_path, content, says):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ModelError, match=says):
        read_checkpoint(tmp_path / "a.pt")


def test_a_whole_network_is_refused_with_the_way_out(saved, net):
    with pytest.raises(UnsafeModel, match=r"asks for torch.*Sequential.*state_dict\(\)"):
        read_checkpoint(saved(net))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.eye(3).to_sparse(), "sparse_coo"),
        (lambda: torch.ones(3, device="meta"), "meta device"),
    ],
    ids=["quantised", "sparse", "meta"],
)
def test_a_tensor_that_no_model_file_holds_is_named_with_a_way_out(make, says):
    with pytest.raises(ModelError, match=rf"'q' is .*{says}.*--drop q"):
        check_tensors({"a": torch.ones(2), "q": make()}, 1000)


def converted(path, **options):
    return convert(str(path), str(path.with_suffix(".safetensors")), json.dumps(options))


def test_complex_and_infinite_numbers_are_refused_and_can_be_dropped(saved):
    content = {"a": torch.ones(2), "b": torch.full((2,), torch.inf), "c.d": torch.ones(1) * 1j}
    path = saved(content)
    said = converted(path)["error"]
    assert said.startswith(f"{path}: c.d has dtype torch.complex64")
    assert said.endswith("left out with --drop NAME.")
    assert "infinite numbers in b" in converted(path, drop=["c"])["error"]
    done = converted(path, drop=["b", "c"])
    assert (done["tensors"], done["dropped"]) == (1, ["b", "c.d"])


def test_shared_tensors_are_stored_once_and_read_under_both_names(saved):
    shared = torch.randn(1000, 10)
    path = saved({"in.weight": shared, "out.weight": shared, "row": shared[3]})
    assert converted(path)["numbers"] == 20_010
    found = read_weights(path.with_suffix(".safetensors"))
    assert found["in.weight"] is found["out.weight"]
    assert torch.equal(found["row"], shared[3])
    assert path.with_suffix(".safetensors").stat().st_size < 42_000


def test_prefixes_are_kept_unless_they_are_to_be_stripped():
    content = {"module.a": torch.ones(1), "module.b.c": torch.ones(1), "d": torch.ones(1)}
    assert list(find_tensors(content).tensors) == list(content)
    assert list(find_tensors(content, strip=["module"]).tensors) == ["a", "b.c", "d"]
    assert list(find_tensors(content, strip=["module.", "b"]).tensors) == ["a", "c", "d"]
    with pytest.raises(ModelError, match=r"no name begins with 'modul\.'. It has: 'module\.a'"):
        find_tensors(content, strip=["modul"])
    with pytest.raises(ModelError, match="two tensors have the same name"):
        find_tensors({"a": torch.ones(1), "m.a": torch.ones(1)}, strip=["m"])


def test_the_place_of_the_tensors_is_recognised_or_asked_for():
    one, other = {"w": torch.ones(1)}, {"v": torch.ones(1)}
    assert find_tensors({"model": one, "ema": other}).key == "model"
    assert find_tensors({"teacher": one, "epoch": 1}).key == "teacher"
    two = {"generator": one, "critic": {"body": other}}
    with pytest.raises(ModelError, match="'generator', 'critic': say which with --key"):
        find_tensors(two)
    assert list(find_tensors(two, key="critic").tensors) == ["body.v"]
    assert list(find_tensors(two, key="critic.body").tensors) == ["v"]
    with pytest.raises(ModelError, match="no 'x' in it"):
        find_tensors(two, key="x")
    with pytest.raises(ModelError, match="'y' is a int"):
        find_tensors({"y": 1}, key="y")


@pytest.mark.parametrize(
    "content", [3, [torch.ones(1)], torch.ones(1), {}, {"epoch": 3}, {"a": {"b": [torch.ones(1)]}}]
)
def test_content_without_named_tensors_is_refused(content):
    with pytest.raises(ModelError):
        find_tensors(content)


def test_places_are_checked_before_anything_is_read(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"x")
    (tmp_path / "there.safetensors").write_bytes(b"kept")
    for path, out, says in (
        ("no.pt", "b.safetensors", "there is no file"),
        (".", "b.safetensors", "is no file"),
        ("there.safetensors", "b.safetensors", "already"),
        ("a.pt", "b.pt", "does not end in"),
        ("a.pt", "there.safetensors", "exists"),
        ("a.pt", "no/b.safetensors", "there is no folder"),
    ):
        with pytest.raises(ModelError, match=says):
            convert_checkpoint(tmp_path / path, tmp_path / out)
    assert (tmp_path / "there.safetensors").read_bytes() == b"kept"
