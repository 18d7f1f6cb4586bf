import gzip
import logging

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from bequest.core import Table, Task
from bequest.data.tables import read_table
from bequest.errors import DataError

PATIENTS = {
    "age": [61.0, 48.0, 70.0, 55.0],
    "ward": ["a", None, "b", "a"],
    "seen": np.array(["2024-01-02", "NaT", "2024-03-04", "2024-05-06"], dtype="datetime64[s]"),
    "smokes": [True, False, True, False],
    "outcome": ["ill", "well", "ill", "well"],
}


@pytest.fixture
def frame():
    return pd.DataFrame(PATIENTS)


def write(frame, path):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".feather", ".arrow", ".CSV"])
def test_a_file_of_every_kind_gives_the_task_that_the_frame_gives(frame, tmp_path, suffix):
    if suffix == ".CSV":
        path = write(frame, tmp_path / "ward7.csv").rename(tmp_path / "ward7.CSV")
    else:
        path = write(frame, tmp_path / f"ward7{suffix}")
    task = Task.from_table(path, "outcome")
    assert task.fingerprint == Task.from_table(frame, "outcome").fingerprint
    assert task.name == "ward7"
    assert task.classes == ("ill", "well")
    assert task.spec.columns == ("age", "ward", "seen", "smokes")


@pytest.mark.parametrize(
    "library", [dict, pl.from_pandas, pa.Table.from_pandas, lambda frame: Table(dict(frame))]
)
def test_frames_of_every_library_give_the_same_task(frame, library):
    task = Task.from_table(library(frame), "outcome")
    assert task.fingerprint == Task.from_table(frame, "outcome").fingerprint


def test_a_table_knows_the_kinds_of_its_columns(frame):
    assert read_table(frame).kinds == {
        "age": "number",
        "ward": "category",
        "seen": "date",
        "smokes": "number",
        "outcome": "category",
    }


def test_boolean_labels_stay_boolean(frame, tmp_path):
    path = write(frame, tmp_path / "ward7.csv")
    assert Task.from_table(path, "smokes").classes == (False, True)
    assert Task.from_table(frame, "smokes").classes == (False, True)


def test_labels_that_are_whole_numbers_are_classes_and_others_values(tmp_path):
    path = tmp_path / "wine.csv"
    path.write_text("acid,quality,price\n1,5,9.5\n2,6,10\n3,5,8.25\n")
    assert Task.from_table(path, "quality").classes == (5, 6)
    assert Task.from_table(path, "quality", kind="regression").targets.tolist() == [5.0, 6.0, 5.0]
    assert Task.from_table(path, "price").kind == "regression"


def test_groups_and_dropped_columns_are_no_inputs(frame):
    task = Task.from_table(frame, "outcome", groups="smokes", drop=("age", "seen"))
    assert task.spec.columns == ("ward",)
    assert task.groups.tolist() == [True, False, True, False]
    assert Task.from_table(frame, "outcome", drop="age").spec.columns == ("ward", "seen", "smokes")


def test_held_out_rows_are_read_in_the_kinds_of_the_training_rows(tmp_path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("room,id,grade\n12,1,1\n3A,2,1b\n7,3,1\n")
    test.write_text("grade,extra,room,id\n1,x,012,1\n1,y,,2\n")
    task = Task.from_table(train, "grade", test=test)
    assert task.test.inputs.names == ("room", "id")
    assert task.test.inputs.columns["room"].tolist() == ["012", None]
    assert task.test.labels.tolist() == ["1", "1"]
    assert task.test.name == "train (held out)"


def test_read_table_reads_in_the_kinds_of_a_model(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("room,when,size,notes\n007,,3,5\n")
    kinds = {"room": "category", "when": "date", "size": "number", "absent": "number"}
    table = read_table(path, kinds=kinds, drop=("notes",))
    assert table.kinds == {"room": "category", "when": "date", "size": "number"}
    assert table.columns["room"].tolist() == ["007"]


def test_a_column_that_only_counts_the_rows_is_left_out_and_logged(frame, tmp_path, caplog):
    path = tmp_path / "ward7.csv"
    frame.to_csv(path)
    with caplog.at_level(logging.WARNING, "bequest"):
        assert read_table(path).names == tuple(PATIENTS)
    assert "column 1 only counts the rows" in caplog.text


def test_a_column_without_a_name_that_holds_something_is_numbered(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,,y\n1,9,2\n3,7,4\n")
    assert read_table(path).names == ("x", "column 2", "y")


def test_constant_columns_and_columns_without_values_are_accepted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("same,none,y\n1,,a\n1,,b\n")
    task = Task.from_table(path, "y")
    assert task.inputs.kinds == {"same": "number", "none": "number"}


def refused(said, *args, **options):
    with pytest.raises(DataError, match=said) as caught:
        Task.from_table(*args, **options)
    assert "\n" not in str(caught.value).strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("age,outcome\n", "the table has no rows"),
        ("age,outcome", "the table has no rows"),
        ("age,outcome\n1,a\n2,a\n", "at least two classes"),
        ("age,outcome\n1,a\n2,\n", r"1 of 2 labels is missing \(row 3"),
        ("age,outcome\n1,2.5\n2,inf\n", r"1 of 2 labels is infinite \(row 3"),
        (
            "age,outcome\ninf,a\n2,b\n",
            "column 'age' is infinite in 1 of 2 rows, the first is row 2",
        ),
        ("age,age,outcome\n1,2,a\n2,3,b\n", "doubled column names: 'age'"),
        ("age, age,outcome\n1,2,a\n2,3,b\n", "doubled column names: 'age'"),
        ("age,outcome\n1,a\n2,b,c\n", r"row 3 of .* has 3 values, the header .* 2 names: '2,b,c'"),
        ("age,outcome\n1,a\n\n2\n3,b\n", "row 3 of .* has 1 values"),
        ("age,outcome\n1,a\n2\n3,b\n4,b,5\n", "row 3 of .* has 1 values.* So it is in 2 rows"),
        ("age,ill\n1,a\n2,b\n", "no column 'outcome'. Columns: age, ill."),
        ("age,outcom\n1,a\n2,b\n", "no column 'outcome'. Did you mean 'outcom'?"),
        ("outcome\na\nb\n", "beside 'outcome' there is no column to predict from"),
        ("25,a,0,0\n26,b,0,0\n", "doubled column names: '0'. Is its first row one of data"),
        ("63.0,1.0,?\n67.0,0,2\n", r"no header: its first row holds 63.0, 1.0, \?\."),
        ('age,outcome\n1,"a\n2,b\n', "a quote that never closes"),
        ("age\0,outcome\n1,a\n", "is not text: its byte 3 is zero"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "ward7.csv"
    path.write_text(text)
    refused(said, path, "outcome")


def test_a_missing_file_a_folder_and_an_unknown_suffix_are_refused(tmp_path):
    refused("there is no file .*ward9.csv", tmp_path / "ward9.csv", "outcome")
    refused("is no file that ends in .csv, .tsv, .parquet", tmp_path, "outcome")
    path = tmp_path / "ward7.parquet.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    refused("is no file that ends in .csv, .tsv, .parquet", path, "outcome")


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_a_damaged_file_is_refused(frame, tmp_path, suffix):
    path = write(frame, tmp_path / f"ward7{suffix}")
    for content in (b"", path.read_bytes()[: path.stat().st_size // 2], b"no such file"):
        path.write_bytes(content)
        refused("ward7.* cannot be read", path, "outcome")


def test_doubled_columns_of_an_arrow_file_are_refused(tmp_path):
    path = tmp_path / "a.feather"
    table = pa.table([[1, 2], [3, 4]], names=["a", "a"])
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    refused("doubled column names: 'a'", path, "a")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"drop": ("agee",)}, "no column 'agee'. Did you mean 'age'?"),
        ({"groups": "patient"}, "no column 'patient'"),
        ({"groups": "ward"}, "1 of 4 rows have no group, the first is 1"),
        ({"groups": "outcome"}, "name one column twice: outcome, outcome"),
        ({"drop": ("outcome",)}, "name one column twice: outcome, outcome"),
        ({"kind": "regression"}, "regression needs numbers"),
        ({"metric": "f2"}, "no metric named 'f2'"),
        ({"test": {"age": [1]}}, "the held-out rows lack a column. no column 'outcome'"),
        ({"test": {**PATIENTS, "age": ["x"] * 4}}, "column 'age' should hold numbers"),
        ({"test": {**PATIENTS, "outcome": ["dead"] * 4}}, "never seen in training: 'dead'"),
        ({"test": {**PATIENTS, "outcome": [None] * 4}}, "4 of 4 labels are missing"),
    ],
)
def test_options_that_do_not_fit_the_table_are_refused(options, said):
    refused(said, PATIENTS, "outcome", **options)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.eye(3), "not a ndarray; for an array, use Task.from_arrays"),
        (pl.LazyFrame({"a": [1]}), "call .collect"),
        ({"a": [1, 2], "outcome": ["x"]}, "the columns differ in length"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "doubled column names"),
    ],
)
def test_sources_that_are_no_table_are_refused(source, said):
    with pytest.raises(DataError, match=said):
        Task.from_table(source, "outcome")


def test_a_folder_that_may_not_be_read_is_refused_not_crashed(tmp_path, monkeypatch, frame):
    path = write(frame, tmp_path / "ward7.csv")

    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    refused("ward7.csv cannot be read: .*Permission denied", path, "outcome")


VISITS = {
    "age": [61.0, 48.0, 70.0, 55.0],
    "day": ["2024-03-01", "2024-01-15", "2024-02-01", "2024-01-15"],
    "count": [1, 2, 1, 4],
    "patient": ["p1", "p2", "p1", "p3"],
    "outcome": ["ill", "well", "ill", "well"],
}
ROLES = {"time": "day", "weights": "count", "groups": "patient"}


def csv_of(path, columns):
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("as_file", [False, True])
def test_time_weights_and_groups_are_columns_and_no_inputs(as_file, tmp_path):
    source = csv_of(tmp_path / "visits.csv", VISITS) if as_file else VISITS
    task = Task.from_table(source, "outcome", test=source, **ROLES)
    assert task.inputs.names == ("age",)
    assert np.argsort(task.time, kind="stable").tolist() == [1, 3, 2, 0]
    assert task.weights.tolist() == [1, 2, 1, 4]
    assert task.test.weights.tolist() == [1, 2, 1, 4]
    assert task.test.time.tolist() == task.time.tolist()
    assert task.test.groups is None  # the metric is not one per group


def test_a_metric_per_group_takes_the_groups_of_the_held_out_rows():
    task = Task.from_table(
        VISITS, "outcome", test=VISITS, metric="per_group_accuracy", groups="patient", drop=("day",)
    )
    assert task.test.groups.tolist() == VISITS["patient"]
    output = np.tile([0.9, 0.1], (4, 1))
    assert task.test.row_scores(output).mean() == pytest.approx(1 / 3)


def test_a_table_without_a_target_is_an_unlabelled_task():
    task = Task.from_table(VISITS, drop=("outcome", "day", "patient"))
    assert not task.labelled
    assert task.inputs.names == ("age", "count")


@pytest.mark.parametrize("as_file", [False, True])
def test_unlabelled_rows_have_the_columns_of_the_task_and_may_lack_labels(as_file, tmp_path):
    further = {"outcome": ["", "ill"], "note": ["x", "y"], "age": [30.0, 31.0]}
    source = csv_of(tmp_path / "further.csv", further) if as_file else further
    few = {name: VISITS[name] for name in ("age", "outcome")}
    task = Task.from_table(few, "outcome", unlabelled=source)
    assert task.unlabelled.names == ("age",)
    assert task.unlabelled.columns["age"].tolist() == [30, 31]


def test_unlabelled_or_held_out_rows_that_lack_a_column_are_refused():
    few = {name: VISITS[name] for name in ("age", "count", "outcome")}
    with pytest.raises(DataError, match=r"the unlabelled rows lack a column\. no column 'age'"):
        Task.from_table(few, "outcome", unlabelled={"ages": [1.0]})
    without = {name: VISITS[name] for name in ("age", "outcome")}
    with pytest.raises(DataError, match=r"the held-out rows lack a column\. no column 'count'"):
        Task.from_table(few, "outcome", weights="count", test=without)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "dya"}, "no column 'dya'. Did you mean 'day'"),
        ({"time": "day", "weights": "day"}, "name one column twice: outcome, day, day"),
        ({"weights": "patient"}, "column 'weights' should hold numbers, but holds .* in row 0"),
        ({"time": "patient"}, "column 'time' should hold dates, but holds 'p1' in row 0"),
    ],
)
def test_roles_that_do_not_fit_the_table_are_refused(options, said):
    with pytest.raises(DataError, match=said):
        Task.from_table(VISITS, "outcome", **options)
