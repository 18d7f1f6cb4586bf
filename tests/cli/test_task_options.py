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
