import json
import os
import shutil

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import bequest as bq
from bequest.frameworks.files.weights import write_weights

EVIL = "\x1b[31mred\x9b2J"


def folder(place, width, classes=("ill", "well", "unsure")):
    torch.manual_seed(width)
    net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, len(classes)))
    bq.wrap(net, classes=list(classes), example=torch.zeros(2, 4), name=place.name).save(place)
    return place


@pytest.fixture
def two(tmp_path):
    """Two model folders, the second twice as wide, of other classes in part."""
    return folder(tmp_path / "old", 8), folder(tmp_path / "new", 16, ("well", "ill", "other"))


def test_the_table_is_printed_and_classes_are_matched_by_label(cli, two):
    done = cli("map", *two)
    assert (done.code, done.err) == (0, "")
    assert "classes by label" in done.out
    assert "parameters come from the source" in done.out


def test_json_is_a_map_that_can_be_checked_later(cli, two, tmp_path):
    stored = cli("map", *two, "--json").json
    assert {entry["target"] for entry in stored["entries"]} >= {"0.weight", "2.bias"}
    (tmp_path / "map.json").write_text(json.dumps(stored))
    again = cli("map", *two, "--plan", "map.json", "--json").json
    assert again["discrepancies"] == []
    assert again["entries"] == stored["entries"]


def test_a_stored_map_that_the_two_do_not_suggest_is_refused_with_its_table(cli, two, tmp_path):
    stored = cli("map", *two, "--skip", "2", "--json").out
    (tmp_path / "map.json").write_text(stored)
    done = cli("map", *two, "--plan", "map.json")
    assert done.code == 1
    assert "discrepancy: 2.weight" in done.out
    assert "map.json is not what the two suggest, in 2 of 4 tensors" in done.err


def test_skipped_parts_keep_their_numbers_and_unknown_ones_are_one_line(cli, two):
    assert cli("map", *two, "--skip", "2").out.count("initialised (skipped)") == 2
    done = cli("map", *two, "--skip", "head")
    assert (done.code, "'head'" in done.line) == (1, True)


def test_a_file_of_tensors_is_a_source(cli, two, tmp_path):
    write_weights(
        tmp_path / "a.safetensors", {"x.weight": torch.ones(16, 4), "x.bias": torch.ones(16)}
    )
    done = cli("map", "a.safetensors", two[1])
    assert done.code == 0
    assert "x.weight" in done.out


def test_of_several_networks_in_a_file_a_prefix_names_one(cli, two, tmp_path):
    net = bq.load(two[1]).module.state_dict()
    both = {f"{part}.{name}": value for part in ("one", "other") for name, value in net.items()}
    write_weights(tmp_path / "a.safetensors", {name: v.clone() for name, v in both.items()})
    done = cli("map", "a.safetensors", two[1])
    assert (done.code, "prefix='one' takes one of them" in done.line) == (1, True)
    done = cli("map", "a.safetensors", two[1], "--prefix", "other")
    assert (done.code, "other.0.weight" in done.out, "one.0" in done.out) == (0, True, False)
    assert cli("map", "a.safetensors", two[1], "--prefix", "").code == 0
    done = cli("map", "a.safetensors", two[1], "--prefix", "othr")
    assert (done.code, "Did you mean 'other'?" in done.line) == (1, True)
    done = cli("map", *two, "--prefix", "body")
    assert (done.code, "has no part 'body'" in done.line) == (1, True)


def test_the_page_is_written_whole_or_not_at_all(cli, two, tmp_path):
    done = cli("map", *two, "--html", "out/map.html")
    assert done.out.endswith("Written: out/map.html\n")
    assert "classes by label" in (tmp_path / "out" / "map.html").read_text()
    assert cli("map", *two, "--skip", "x", "--html", "else/map.html").code == 1
    assert not (tmp_path / "else").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_an_example_is_run_on_both(cli, two, tmp_path, suffix):
    rows = np.random.default_rng(0).normal(size=(3, 4))
    name = f"rows{suffix}"
    if suffix == ".npy":
        np.save(tmp_path / name, rows)
    elif suffix == ".npz":
        np.savez(tmp_path / name, rows=rows)
    else:
        write_weights(tmp_path / name, {"rows": torch.from_numpy(rows)})
    assert "run on the example" in cli("map", *two, "--example", name).out


def test_a_bad_example_is_one_line(cli, two, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((2, 5)))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "none.npz")
    (tmp_path / "rows.csv").write_text("1,2\n")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "wide.npy").read_bytes()[:-9])
    for name, says in (
        ("wide.npy", "does not run on the example"),
        ("pickled.npy", "cannot be read as plain arrays"),
        ("none.npz", "no arrays in it"),
        ("rows.csv", "an example is an .npy"),
        ("cut.npy", "cannot be read"),
        ("absent.npy", "there is no file absent.npy"),
    ):
        done = cli("map", *two, "--example", name)
        assert (done.code, says in done.line) == (1, True), done.line


def test_what_cannot_be_mapped_is_one_line(cli, two, tmp_path):
    old, new = two
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    write_weights(tmp_path / "whole.safetensors", {"a": torch.ones(200)})
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:40])
    (tmp_path / "empty").mkdir()
    X = np.random.default_rng(0).normal(size=(30, 4))
    (tmp_path / "a.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch" + bytes(60))
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    write_weights(tmp_path / "lora" / "adapter_model.safetensors", {"0.lora_A": torch.ones(2, 4)})
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "bytes").write_bytes(bytes(range(100, 250)))
    (tmp_path / "words").write_text("words")
    (tmp_path / "rows.csv").write_text("age,sex\n" * 40)
    (tmp_path / "none").write_bytes(b"")
    for name, config in (("braces", "{}"), ("null", '{"format": null}'), ("list", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
        shutil.copy(tmp_path / "whole.safetensors", tmp_path / name / "model.safetensors")
    os.mkfifo(tmp_path / "pipe")
    tree = LogisticRegression().fit(X, X[:, 0] > 0)
    bq.wrap(tree, name="tree").save(tmp_path / "tree")
    for tokens, says in (
        (("absent", new), "there is no model folder absent"),
        ((old, "absent"), "there is no model folder absent"),
        (("a.pt", new), "bequest convert a.pt OUT.safetensors"),
        (("cut.safetensors", new), "truncated"),
        (("a.onnx", new), "ONNX graph"),
        (("lora", new), "lora is an adapter"),
        (("lora/adapter_model.safetensors", new), "holds an adapter (0.lora_A"),
        (("pickled", new), "bequest convert"),
        ((old, "whole.safetensors"), "is a file"),
        (("empty", new), "empty"),
        (("tree", new), "no torch network"),
        ((old, "tree"), "no torch network"),
        ((old, new, "--plan", "absent.json"), "there is no map"),
        ((old, new, "--plan", "whole.safetensors"), "whole.safetensors is not text: it is no map"),
        ((old, new, "--plan", "bytes"), "bytes is not text: it is no map."),
        ((old, new, "--plan", "words"), "no parameter map, nor JSON"),
        (("whole.safetensors", new, "--html", "whole.safetensors"), "another name"),
        (("bytes", new), "is no safetensors file"),
        (("whol.safetensors", new), "no file whol.safetensors. Did you mean whole.safetensors?"),
        (("away/a.safetensors", new), "no file away/a.safetensors, nor a folder away."),
        ((old, "brace"), "Did you mean braces?"),
        (("rows.csv", new), "rows.csv is no safetensors file: name a .safetensors file, the index"),
        (("none", new), "none is empty: name a .safetensors file"),
        ((old, "rows.csv"), "rows.csv is a file"),
        ((old, "empty"), "empty is no model folder: it has no config.json"),
        (("braces", new), "braces/config.json names neither a format"),
        ((old, "braces"), "braces/config.json names neither a format"),
        ((old, "null"), "null/config.json names neither a format"),
        ((old, "list"), "list/config.json holds no object"),
        (("pipe", new), "pipe is neither a file nor a folder"),
    ):
        done = cli("map", *tokens)
        assert (done.code, says in done.line) == (1, True), done.line


def test_a_folder_that_cannot_be_built_says_how_to_map_its_file_alone(cli, two, tmp_path):
    (two[0] / "config.json").unlink()
    done = cli("map", *two)
    assert done.code == 1
    file = two[0] / "model.safetensors"
    assert done.line.endswith(f"To map by names and shapes alone, name {file}.\n")
    assert cli("map", file, two[1]).code == 0


def test_a_file_that_is_unsound_is_not_offered_for_a_map_by_names(cli, two, tmp_path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "config.json").write_text('{"model_type": "bert"}')
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n"
    (tmp_path / "clone" / "model.safetensors").write_bytes(pointer)
    done = cli("map", "clone", two[1])
    assert (done.code, done.line.endswith("git lfs pull.\n")) == (1, True)


def test_names_of_strangers_do_not_reach_the_terminal_raw(cli, two, tmp_path):
    (tmp_path / EVIL).mkdir()
    done = cli("map", tmp_path / EVIL, two[1])
    assert done.code == 1
    assert all(c.isprintable() or c == "\n" for c in done.err)
    stored = cli("map", *two, "--json").json
    stored["notes"].append(EVIL)
    stored["entries"][0]["rule"] = EVIL
    (tmp_path / "map.json").write_text(json.dumps(stored))
    done = cli("map", *two, "--plan", "map.json")
    assert "red" in done.out
    assert all(c.isprintable() or c == "\n" for c in done.out)


def test_a_checkpoint_is_converted_and_then_mapped(cli, two, tmp_path):
    net = bq.load(two[0]).module
    named = {f"module.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": named, "epoch": 3, EVIL: 1}, tmp_path / "last.ckpt")
    done = cli("convert", "last.ckpt", "old.safetensors", "--strip", "module")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Took 4 tensors (67 values) from state_dict of last.ckpt.\n")
    assert "Left behind: epoch, \N{REPLACEMENT CHARACTER}[31mred" in done.out
    assert cli("map", "old.safetensors", two[1]).code == 0
    done = cli("convert", "last.ckpt", "old.safetensors")
    assert (done.code, "exists" in done.line) == (1, True)


def test_conversion_speaks_json(cli, tmp_path):
    torch.save({"model": {"a": torch.ones(2, 3)}, "optimizer": {}}, tmp_path / "a.pt")
    assert cli("convert", "a.pt", "a.safetensors", "--json").json == {
        "written": "a.safetensors",
        "tensors": 1,
        "numbers": 6,
        "key": "model",
        "dropped": ["optimizer"],
    }


def test_a_map_that_must_not_be_applied_says_why_in_its_first_and_last_line(cli, tmp_path):
    def net(width):
        parts = nn.Linear(4, width), nn.Linear(width, 3 * width), nn.Linear(3 * width, 3)
        return nn.Sequential(*parts)

    write_weights(tmp_path / "old.safetensors", net(8).state_dict())
    wide = bq.wrap(net(16), classes=["a", "b", "c"], example=torch.zeros(2, 4), name="wide")
    wide.save(tmp_path / "wide")
    done = cli("map", tmp_path / "old.safetensors", tmp_path / "wide")
    assert done.code == 1
    assert done.out.startswith("Do not apply this: 1.weight may hold queries, keys and values")
    assert "1.weight may hold queries, keys and values" in done.err
    assert "None" not in done.err
