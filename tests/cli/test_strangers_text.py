"""Names, columns and labels come from strangers: none of them may move a terminal's cursor."""

import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

EVIL = "\x1b[31mred\x1b]0;taken\x07\x9b2J\u202e"


@pytest.fixture
def terminal(tmp_path):
    """Run a command on a terminal; what reached it."""

    def run(*tokens):
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "bequest", *map(str, tokens)],
            cwd=tmp_path,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "dumb"},  # the progress bar writes no codes of its own
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
            if not part:
                break
            said += part
        os.close(ours)
        assert child.wait(timeout=60) in (0, 1)
        return said.decode()

    return run


def moves_nothing(said):
    return not [c for c in said if not c.isprintable() and c not in "\r\n"]


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal()},{('x', EVIL)[i % 2]}" for i in range(20)]
    (tmp_path / "few.csv").write_text("\n".join([f"a{EVIL},outcome", *rows]) + "\n")
    return tmp_path / "few.csv"


@pytest.mark.slow
def test_labels_and_columns_reach_a_terminal_tidied_and_a_pipe_as_they_are(terminal, cli, table):
    tokens = ("train", table, "--target", "outcome", "--net", "linear", "--name", EVIL)
    assert moves_nothing(terminal(*tokens, "--out", "model"))
    assert moves_nothing(terminal("train", table, "--target", EVIL, "--out", "x", "--debug"))
    said = terminal("predict", "model", table, "--proba")
    assert "probability of \N{REPLACEMENT CHARACTER}[31mred" in said
    assert moves_nothing(said)
    piped = cli("predict", "model", table)
    assert EVIL in piped.out
    said = terminal("predict", "model", table, "--json")
    assert moves_nothing(said)
    assert json.loads(said) == piped_json(cli, table)


def piped_json(cli, table):
    done = cli("predict", "model", table, "--json")
    assert EVIL in done.json["prediction"]
    return done.json


def photos(folder, names):
    rng = np.random.default_rng(0)
    for light, name in enumerate(names):
        for i in range(4):
            place = os.path.join(os.fsencode(folder), name, b"%d.png" % i)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            Image.fromarray((rng.random((8, 8, 3)) * 80 + 90 * light).astype("u1")).save(
                os.fsdecode(place)
            )


def test_class_folders_of_any_alphabet_are_classes(cli, tmp_path):
    names = ["Ünïcødé 猫", "собака"]
    photos(tmp_path / "photos", [name.encode() for name in names])
    tokens = ("--size", 8, "--net", "linear", "--out", "model")
    assert cli("train", "photos", *tokens).code == 0
    found = cli("predict", "model", "photos", "--json").json
    assert set(found["prediction"]) <= set(names)
    assert found["file"][0] == "Ünïcødé 猫/0.png"


def test_a_class_folder_whose_name_is_no_text_is_refused(cli, tmp_path):
    photos(tmp_path / "photos", [b"cats", b"\xff\xfe"])
    done = cli("train", "photos", "--size", 8, "--out", "model")
    assert done.code == 1
    assert r"photos/\xff\xfe has a name that is no UTF-8 text" in done.line


def test_files_whose_names_are_no_text_are_predicted(cli, tmp_path, process):
    photos(tmp_path / "photos", [b"cats", b"dogs"])
    assert cli("train", "photos", "--size", 8, "--net", "linear", "--out", "model").code == 0
    os.rename(
        os.fsencode(tmp_path / "photos/cats/0.png"),
        os.fsencode(tmp_path / "photos/cats") + b"/\xff.png",
    )
    assert r"cats/\xff.png," in cli("predict", "model", "photos").out
    os.rename(tmp_path / "photos", os.fsencode(tmp_path) + b"/\xfe")
    tokens = ("train", os.fsdecode(b"\xfe"), "--size", 8, "--net", "linear", "--out", "odd")
    done = process(*tokens)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"Trained '\\xfe'" in done.stdout


@pytest.mark.parametrize(
    ("link", "to", "says"),
    [
        ("cats/up.png", "up.png", "cats/up.png is a link that leads nowhere"),
        ("self", ".", "self is a link to a folder that it stands in"),
        ("cats/0.jpg", "/etc/hostname", "leads out of the folder"),
    ],
)
def test_links_that_lead_in_circles_or_out_are_one_line(cli, tmp_path, link, to, says):
    photos(tmp_path / "photos", [b"cats", b"dogs"])
    os.symlink(to, tmp_path / "photos" / link)
    done = cli("train", "photos", "--size", 8, "--out", "model")
    assert (done.code, says in done.line) == (1, True)


def test_an_empty_file_and_a_bomb_are_one_line(cli, tmp_path):
    photos(tmp_path / "photos", [b"cats", b"dogs"])
    (tmp_path / "photos/cats/9.png").touch()
    assert "cats/9.png is no image" in cli("train", "photos", "--out", "model").line
    (tmp_path / "photos/cats/9.png").unlink()
    Image.new("1", (15000, 15000)).save(tmp_path / "photos/dogs/9.png")
    assert "dogs/9.png is too large" in cli("train", "photos", "--out", "model").line
