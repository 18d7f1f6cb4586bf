import os

import pytest

from bequest.cli._paths import is_result, new_file, new_folder
from bequest.errors import DataError


def never(folder):
    return False


def test_a_folder_appears_when_the_work_is_done(tmp_path):
    out = tmp_path / "a" / "b" / "out"
    with new_folder(out, ours=never) as folder:
        (folder / "part").write_text("x")
        assert not out.exists()
    assert os.listdir(out) == ["part"]
    assert os.listdir(out.parent) == ["out"]


def stopped_folder(out, stop):
    with new_folder(out, ours=never) as folder:
        (folder / "part").write_text("x")
        raise stop


def stopped_file(out, stop):
    with new_file(out) as place:
        place.write_text("x")
        raise stop


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, OSError])
@pytest.mark.parametrize("work", [stopped_folder, stopped_file])
def test_work_that_stops_leaves_nothing(tmp_path, work, stop):
    with pytest.raises(stop):
        work(tmp_path / "a" / "b" / "out", stop)
    assert os.listdir(tmp_path) == []


def test_what_is_not_ours_is_refused_before_the_work(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DataError, match="not ours"), new_folder(tmp_path, ours=never):
        pytest.fail("work began")
    with pytest.raises(DataError, match="not ours"):
        new_folder(tmp_path / "thesis.tex", ours=never).__enter__()
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_what_is_ours_is_replaced_whole_and_only_when_the_work_is_done(tmp_path):
    out = tmp_path / "out"
    with new_folder(out, ours=never) as folder:
        (folder / "outcome.json").write_text("old")
    with pytest.raises(OSError, match="full"), new_folder(out, ours=is_result):
        raise OSError("full")
    assert (out / "outcome.json").read_text() == "old"
    with new_folder(out, ours=is_result) as folder:
        (folder / "report.html").write_text("new")
    assert os.listdir(out) == ["report.html"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_result_with_something_of_yours_in_it_is_not_ours(tmp_path):
    (tmp_path / "outcome.json").touch()
    assert is_result(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not is_result(tmp_path)


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out", ours=never) as folder:
        (folder / "part").touch()
    assert os.listdir(tmp_path / "out") == ["part"]


def test_the_folder_that_one_stands_in_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (tmp_path, tmp_path / "x" / "..", type(tmp_path)(".")):
        with pytest.raises(DataError, match="stand in"):
            new_folder(out, ours=never).__enter__()


def test_a_file_replaces_a_file_and_no_folder(tmp_path):
    out = tmp_path / "page.html"
    out.write_text("old")
    with new_file(out) as place:
        place.write_text("new")
        assert out.read_text() == "old"
    assert out.read_text() == "new"
    with pytest.raises(DataError, match="is a folder"):
        new_file(tmp_path / "sub" / "..").__enter__()


def test_what_came_while_we_worked_is_left_alone(tmp_path):
    out = tmp_path / "out"

    def work():
        with new_folder(out, ours=is_result):
            out.mkdir()
            (out / "thesis.txt").write_text("precious")

    with pytest.raises(DataError, match="not ours to replace"):
        work()
    assert (out / "thesis.txt").read_text() == "precious"
    assert os.listdir(tmp_path) == ["out"]
