"""What people bring at first, and what they are told."""

import gzip
import logging

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.errors import DataError

ROWS = "".join(f"{n},{n * 7 % 5},{'ill' if n % 2 else 'well'}\n" for n in range(12))


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_table_that_is_packed_is_read_as_it_is(tmp_path, suffix):
    text = "age,site,outcome\n" + ROWS
    text = text.replace(",", "\t") if suffix == "tsv" else text
    plain, packed = tmp_path / f"ward.{suffix}", tmp_path / f"ward.{suffix}.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    tasks = [bq.Task.from_table(path, target="outcome") for path in (plain, packed)]
    assert tasks[0].fingerprint == tasks[1].fingerprint


def test_a_packed_file_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "ward.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" * 1000)[:20])
    with pytest.raises(DataError, match=r"ward\.csv\.gz cannot be unpacked"):
        bq.Task.from_table(path, target="b")


def test_a_packed_file_that_holds_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bequest.data.encoding.MOST_UNPACKED", 2**10)
    path = tmp_path / "ward.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" * 2000))
    with pytest.raises(DataError, match="unpack it first"):
        bq.Task.from_table(path, target="b")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ward.xlsx", "pandas.read_excel"),
        ("ward.zip", "Unpack it"),
        ("ward.tar.gz", "Unpack it"),
        ("ward.json", "to_csv"),
    ],
)
def test_other_files_are_refused_with_what_makes_a_table_of_them(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=said):
        bq.Task.from_table(tmp_path / name, target="outcome")


def test_empty_cells_are_empty_texts_and_are_counted(tmp_path, caplog):
    path = tmp_path / "mails.csv"
    path.write_text("body,queue\ngood day,a\n,b\nbad day,b\n,a\n")
    with caplog.at_level(logging.WARNING):
        task = bq.Task.from_text(path, text="body", target="queue", test=path)
    assert list(task.inputs) == ["good day", "", "bad day", ""]
    assert list(task.test.inputs) == ["good day", "", "bad day", ""]
    wanted = "2 of 4 texts are empty (rows 3, 5, the header being row 1)"
    assert wanted in caplog.text
    with pytest.raises(DataError, match="1 of 2 texts are missing"):
        bq.Task.from_text(["good", None], ["a", "b"])


def test_rows_are_counted_as_a_spreadsheet_shows_them(tmp_path):
    path = tmp_path / "ward.csv"
    path.write_text("age,outcome\n1,ill\n2,\n3,well\n")
    with pytest.raises(DataError, match=r"\(row 3, the header being row 1\)"):
        bq.Task.from_table(path, target="outcome")
    columns = {"age": [1, 2, 3], "outcome": ["ill", None, "well"]}
    with pytest.raises(DataError, match=r"\(row 1, counted from 0\)"):
        bq.Task.from_table(columns, target="outcome")


def test_whole_numbers_that_were_not_seen_may_be_amounts():
    X = np.arange(40.0)[:, None]
    with pytest.raises(DataError, match="--kind regression"):
        bq.Task.from_arrays(X, np.arange(40) % 4, test=(X[:3], [1, 2, 4]))
    with pytest.raises(DataError, match="never seen") as words:
        bq.Task.from_arrays(X, ["a", "b"] * 20, test=(X[:2], ["a", "c"]))
    assert "regression" not in str(words.value)


def test_images_of_different_sizes_in_a_dataset_are_named_in_words():
    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, n):
            return torch.zeros(3, 4 + n, 4), n % 2

    with pytest.raises(DataError, match="part 0 of each row holds arrays of different shapes"):
        bq.Task.from_dataset(Photos(), target=1)


def test_a_results_folder_loads_as_its_model(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 2))
    task = bq.Task.from_arrays(X, X[:, 0] > 0)
    source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    result = bq.transfer(task, [source], methods=["stack"], budget=1e-3)
    result.save(tmp_path / "p20")
    model = bq.load(tmp_path / "p20")
    np.testing.assert_allclose(model.predict_proba(X), result.model.predict_proba(X))
