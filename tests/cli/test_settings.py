"""What is told wrong on the command line is said before anything is read."""

import errno
import os
from pathlib import Path

import pytest

import bequest as bq
from bequest.cli import _paths
from bequest.cli._run import _of_disk
from bequest.errors import DataError

WRONG = [
    (("--method", "fine-tun"), "Did you mean 'fine-tune'"),
    (("--method", "from-scratch"), "at least one method of transfer"),
    (("--executor", "gpu"), "no executor named 'gpu'"),
    (("--budget", "0"), "a number of seconds above zero, not 0"),
    (("--budget", "nan"), "a number of seconds above zero, not nan"),
    (("--seed", "-1"), "a seed is a whole number from 0 on"),
    (("--metric", "acuracy"), "no metric named 'acuracy'. Did you mean 'accuracy'?"),
    (("--test", "none.csv"), "there is no file or folder none.csv, which --test names"),
    (("--source", "nowhere"), "there is no model folder nowhere"),
    (("--hub", "nowhere"), "there is no hub at nowhere"),
    (("--out", "thesis"), "exists and is not ours"),
    (("--out", "."), "the folder that you stand in"),
    (("--out", "ward.csv/deep"), "ward.csv/deep cannot be written"),
]


@pytest.fixture
def unread(monkeypatch):
    """Nothing may be read, ranked or raced."""

    def never(*args, **options):
        pytest.fail("work began")

    for name in ("transfer", "rank", "train", "load"):
        monkeypatch.setattr(bq, name, never)
    for name in ("from_table", "from_arrays", "from_images"):
        monkeypatch.setattr(bq.Task, name, never)


@pytest.mark.parametrize(("tokens", "says"), WRONG, ids=[" ".join(t) for t, _ in WRONG])
def test_an_option_that_is_wrong_is_told_before_anything_is_read(
    cli, csv, saved, unread, tokens, says
):
    csv()
    os.mkdir("thesis")
    Path("thesis/chapter1.tex").touch()
    given = ("transfer", "ward.csv", "--target", "outcome", "--source", saved)
    out = () if "--out" in tokens else ("--out", "new/result")
    done = cli(*given, *out, *tokens)
    assert done.code == 1
    assert says in done.line
    assert sorted(os.listdir()) == ["thesis", "ward.csv"]


@pytest.mark.parametrize(("tokens", "says"), WRONG[5:10])
def test_rank_looks_at_its_options_first(cli, csv, saved, unread, tokens, says):
    csv()
    done = cli("rank", "ward.csv", "--target", "outcome", "--source", saved, *tokens)
    assert (done.code, says in done.line) == (1, True)


@pytest.mark.parametrize("command", ["predict", "report"])
def test_where_to_write_is_looked_at_before_the_model_is_read(cli, csv, saved, unread, command):
    csv()
    os.mkdir("folder")
    tokens = {"predict": (saved, "ward.csv"), "report": ("no-outcome",)}[command]
    done = cli(command, *tokens, "--out", "folder")
    assert (done.code, "folder is a folder: name a file in it" in done.line) == (1, True)


def test_one_row_is_one_row(cli, csv, saved):
    csv("new.csv", n=1)
    done = cli("predict", saved, "new.csv", "--out", "out.csv")
    assert done.out == "Written: out.csv (1 row)\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b: permission denied."),
        (OSError(18, "Invalid link", "/a", None, "/b"), "/a and /b: invalid link."),
        (OSError(28, "No space left on device"), "it did not say where: no space left on device."),
        (OSError("odd"), "the system failed: odd."),
    ],
)
def test_a_fault_of_the_system_names_its_place_and_no_number(error, says):
    assert _of_disk(error).endswith(says)
    assert "Errno" not in _of_disk(error)


@pytest.mark.parametrize("opened", [_paths.new_file, lambda out: _paths.new_folder(out, ours=bool)])
def test_a_full_disk_names_the_output(tmp_path, opened):
    out = tmp_path / "result"
    full = pytest.raises(DataError, match="result cannot be written: No space left on device")
    with full, opened(out):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    broken = pytest.raises(DataError, match="result cannot be written: Input/output error")
    with broken, opened(out) as work:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(work))
    assert os.listdir(tmp_path) == []


def test_a_fault_of_the_data_is_not_said_of_the_output(tmp_path):
    with pytest.raises(PermissionError), _paths.new_file(tmp_path / "out.csv"):
        raise PermissionError(13, "Permission denied", str(tmp_path / "data.csv"))
