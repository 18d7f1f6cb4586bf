"""What the options of a task refuse."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from bequest.cli._task import TaskOptions, read_arrays, read_task
from bequest.errors import DataError


def test_a_size_of_no_pixels_is_refused_and_not_taken_for_none(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "one.png")
    with pytest.raises(DataError, match="one pixel at least"):
        read_task(tmp_path, TaskOptions(size=0))


def test_a_damaged_compressed_archive_is_said_in_one_line(tmp_path):
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).normal(size=(50, 4)))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.getinfo("X.npy").header_offset
    content[start + 60 : start + 120] = b"\xff" * 60
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="cannot be read as plain arrays"):
        read_arrays(path, "X")


def test_time_weights_and_unlabelled_rows_are_read_of_a_table(tmp_path):
    (tmp_path / "few.csv").write_text("age,day,n,ill\n61,3,1,y\n48,1,2,n\n70,2,1,y\n")
    (tmp_path / "more.csv").write_text("age\n30\n31\n")
    task = read_task(
        tmp_path / "few.csv",
        TaskOptions(target="ill", time="day", weights="n", unlabelled=tmp_path / "more.csv"),
    )
    assert task.inputs.names == ("age",)
    assert (task.time.tolist(), task.weights.tolist()) == ([3, 1, 2], [1, 2, 1])
    assert len(task.unlabelled) == 2


def test_time_weights_and_unlabelled_rows_are_read_of_arrays(tmp_path):
    np.savez(tmp_path / "few.npz", X=np.eye(4), y=[0, 1, 0, 1], t=[4, 3, 2, 1], w=[1, 1, 2, 2])
    np.savez(tmp_path / "more.npz", X=np.ones((7, 4)))
    few = tmp_path / "few.npz"
    task = read_task(
        few, TaskOptions(time="t", weights="w", unlabelled=tmp_path / "more.npz", test=few)
    )
    assert (task.time.tolist(), task.weights.tolist()) == ([4, 3, 2, 1], [1, 1, 2, 2])
    assert len(task.unlabelled) == 7
    assert task.test.weights.tolist() == [1, 1, 2, 2]


def test_an_unlabelled_file_that_is_not_there_is_named(tmp_path):
    np.savez(tmp_path / "few.npz", X=np.eye(4), y=[0, 1, 0, 1])
    with pytest.raises(DataError, match=r"there is no file or folder .*, which --unlabelled names"):
        read_task(tmp_path / "few.npz", TaskOptions(unlabelled=tmp_path / "more.npz"))
