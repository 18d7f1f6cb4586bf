import datetime
import decimal
import hashlib

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from bequest.core import Inputs, InputSpec, Table, as_inputs, fingerprint, spec_of
from bequest.errors import DataError, NotApplicable


class Lazy:
    shape = (2, 1, 4, 4)

    def __len__(self):
        return 2

    def __getitem__(self, rows):
        return self

    def read_rows(self):
        return np.zeros(self.shape, dtype=np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=">i2"),
        np.array([[1, 2], [3, 4]], dtype=object),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        scipy.sparse.csr_array([[1, 2], [3, 4]]),
    ],
    ids=["list", "big-endian", "objects", "tensor", "sparse"],
)
def test_numbers_of_any_library_become_a_float32_array(samples):
    inputs = as_inputs(samples)
    assert inputs.dtype == np.dtype("=f4")
    assert inputs.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table, dict, Table])
def test_columns_of_any_library_become_the_same_table(library):
    frame = library({"age": [61, 48], "ward": ["a", None], "in": [True, False]})
    table = as_inputs(frame)
    assert table.kinds == {"age": "number", "ward": "category", "in": "number"}
    assert [values.tolist() for values in table.columns.values()] == [
        [61.0, 48.0],
        ["a", None],
        [1.0, 0.0],
    ]


def test_what_is_read_lazily_stays_as_it_is():
    lazy = Lazy()
    assert as_inputs(lazy) is lazy
    assert isinstance(lazy, Inputs)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([1.0, 2.0], "must have shape"),
        (np.zeros((2, 28, 28)), r"X\[:, None\]"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
        ([["a", "b"]], "not numbers"),
        ([[1.0], [1.0, 2.0]], "not numbers"),
        (torch.zeros(2, 2, dtype=torch.bfloat16), "not numbers"),
        (pl.LazyFrame({"a": [1]}), "collect"),
        (pd.Series([1, 2]), "not a DataFrame"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "doubled column names"),
        (pa.table([[1], [2]], names=["a", "a"]), "doubled column names"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "doubled column names"),
        ({"a": [1, 2], "b": [1]}, "differ in length"),
        ({"a": [[1, 2], [3, 4]]}, "column 'a' cannot be used: it has shape"),
        ({"a": [[1, 2], [3]]}, "column 'a' cannot be used"),
        ({"a": np.array([b"x"])}, "column 'a' cannot be used"),
        (pa.table({"a": [[1], [2]]}), "list<item: int64>"),
        ({1: [1], "1": [2]}, "two columns are named '1'"),
    ],
)
def test_samples_of_no_known_kind_are_refused_in_one_line(samples, said):
    with pytest.raises(DataError, match=said) as caught:
        as_inputs(samples)
    assert "\n" not in str(caught.value).strip() or "doubled" in said


HOUR = datetime.timedelta(hours=1)
NOON_SAID = "2020-01-02 12:00:00"  # in UTC


@pytest.mark.parametrize(
    ("values", "kind", "cells"),
    [
        ([1, None, 2.5], "number", [1.0, None, 2.5]),
        (["a", float("nan")], "category", ["a", None]),
        ([None, None], "number", [None, None]),
        (pd.array([1, pd.NA]), "number", [1.0, None]),
        (pd.Categorical(["b", None]), "category", ["b", None]),
        (pd.Series([1, "x"], dtype=object), "category", ["1", "x"]),
        (pa.array([None, None]), "number", [None, None]),
        (pa.array([True, None]), "number", [1.0, None]),
        (pa.array(["b", None]).dictionary_encode(), "category", ["b", None]),
        (pa.array([1.5, None]).cast(pa.decimal128(5, 2)), "number", [1.5, None]),
        (pa.array([90], pa.time32("s")), "number", [90.0]),
        (pa.array([90], pa.duration("s")), "number", [90.0]),
        (torch.tensor([1, 2]), "number", [1.0, 2.0]),
        ([HOUR, None], "number", [3600.0, None]),
        ([datetime.time(1, 0, 0, 500_000), np.timedelta64(1, "m")], "number", [3600.5, 60.0]),
        (pd.Series([HOUR, 1.5], dtype=object), "number", [3600.0, 1.5]),
        (pd.Series([2**70, 1.5], dtype=object), "number", [2.0**70, 1.5]),
        ([decimal.Decimal("NaN"), decimal.Decimal("1.5")], "number", [None, 1.5]),
        # What stands among others reads back as what it would be alone.
        ([HOUR, "about 3"], "category", ["3600.0", "about 3"]),
        ([np.float32(0.1), "x"], "category", [str(float(np.float32(0.1))), "x"]),
        ([pd.Timestamp("2020-01-02 13:00", tz="Europe/Paris"), 1], "category", [NOON_SAID, "1"]),
    ],
)
def test_a_column_is_of_the_kind_that_its_values_have(values, kind, cells):
    table = Table({"x": values})
    assert table.kinds == {"x": kind}
    column = [None if cell != cell else cell for cell in table.columns["x"].tolist()]
    assert column == cells


NOON = np.datetime64("2020-01-02T12:00", "us")


@pytest.mark.parametrize(
    "values",
    [
        np.array(["2020-01-02T12:00", "NaT"], dtype="datetime64[s]"),
        pd.Series([pd.Timestamp("2020-01-02 12:00"), pd.NaT]),
        pd.Series([pd.Timestamp("2020-01-02 13:00", tz="Europe/Paris"), pd.NaT]),
        [pd.Timestamp("2020-01-02 13:00", tz="Europe/Paris"), None],
        pa.array([NOON.item(), None], pa.timestamp("ns", "UTC")),
        pl.Series([NOON.item(), None]),
    ],
)
def test_dates_of_every_library_become_the_same_dates(values):
    dates = Table({"when": values}).columns["when"]
    assert dates.dtype == np.dtype("datetime64[us]")
    assert dates[0] == NOON
    assert np.isnat(dates[1])


def test_rows_are_taken_by_slice_numbers_mask_or_one_number():
    table = Table({"x": [0, 1, 2], "w": ["a", "b", "c"]})
    for rows in (slice(1, 2), [1], np.array([False, True, False]), 1, np.int64(1)):
        taken = table[rows]
        assert len(taken) == 1
        assert taken.columns["w"].tolist() == ["b"]


def test_taking_rows_keeps_the_kinds_even_where_no_value_is_left():
    table = Table({"x": [None, 1], "w": [None, "b"]})
    assert table[[0]].kinds == table.kinds


def test_select_takes_columns_in_the_order_asked_for():
    assert Table({"x": [0], "w": ["a"]}).select(["w", "x"]).names == ("w", "x")


def test_cast_turns_numbers_into_categories_and_back():
    table = Table({"floor": [3, None, 2.5]})
    cast = table.cast({"floor": "category", "absent": "number"})
    assert cast.columns["floor"].tolist() == ["3", None, "2.5"]
    back = cast.cast({"floor": "number"}).columns["floor"]
    np.testing.assert_array_equal(back, table.columns["floor"])


def test_cast_reads_iso_dates_and_fills_columns_without_values():
    table = Table({"when": ["2020-01-02T12:00", None], "none": [None, None]})
    cast = table.cast({"when": "date", "none": "category"})
    assert cast.columns["when"][0] == NOON
    assert cast.columns["none"].tolist() == [None, None]


@pytest.mark.parametrize(
    ("values", "kind"), [(["a"], "number"), (["yesterday"], "date"), ([20200102], "date")]
)
def test_cast_names_the_cell_that_does_not_read_as_its_kind(values, kind):
    with pytest.raises(DataError, match=f"column 'x' should hold {kind}s, but holds .* in row 0"):
        Table({"x": values}).cast({"x": kind})


def test_a_model_accepts_what_has_its_shape_and_its_columns():
    assert InputSpec("vector", (64,)).accepts(InputSpec("vector", (64,))) is None
    assert InputSpec("vector").accepts(InputSpec("vector", (30,))) is None
    table = InputSpec("table", None, ("age", "ward"))
    assert table.accepts(InputSpec("table", None, ("ward", "cost", "age"))) is None


@pytest.mark.parametrize(
    ("model", "offered", "reason"),
    [
        (InputSpec("image"), InputSpec("vector"), "takes image inputs, the task has vector"),
        (InputSpec("image", (3, 8, 8)), InputSpec("image", (1, 8, 8)), "the task has"),
        (InputSpec("table", None, ("a", "b")), InputSpec("table", None, ("a",)), "task: b."),
    ],
)
def test_a_model_says_why_it_does_not_apply(model, offered, reason):
    refused = model.accepts(offered)
    assert isinstance(refused, NotApplicable)
    assert reason in refused.reason


def test_samples_are_told_apart_by_their_shape():
    assert spec_of(np.zeros((2, 5))) == InputSpec("vector", (5,))
    assert spec_of(np.zeros((2, 3, 8, 8))) == InputSpec("image", (3, 8, 8))
    assert spec_of(Lazy()) == InputSpec("image", (1, 4, 4))
    assert spec_of(Table({"a": [1]})) == InputSpec("table", None, ("a",), ("number",))


CELLS = st.lists(st.one_of(st.none(), st.text(max_size=3), st.floats(-9, 9)), max_size=4)


@given(CELLS, CELLS)
def test_a_fingerprint_is_equal_exactly_where_the_content_is(a, b):
    left, right = np.array([*a, None], dtype=object), np.array([*b, None], dtype=object)
    assert (fingerprint(left) == fingerprint(right)) == (repr(a) == repr(b))


def test_a_fingerprint_depends_on_values_shape_type_names_and_order():
    array = np.arange(6)
    parts = [
        array,
        array.reshape(2, 3),
        array.astype(np.int32),
        array[::-1],
        Table({"a": array}),
        Table({"b": array}),
        (0, 1, 2, 3, 4, 5),
        "012345",
    ]
    assert len({fingerprint(part) for part in parts}) == len(parts)


def test_a_fingerprint_is_a_sha256_of_type_shape_bytes_and_values():
    array = np.arange(3, dtype="<i8")
    content = b"<i8(3,)" + array.tobytes() + b"[2" + b"'a'\0" + b"1\0"
    assert fingerprint(array, ("a", 1)) == hashlib.sha256(content).hexdigest()[:16]


def test_a_copied_table_has_the_same_fingerprint():
    table = Table({"age": [61.0, None], "ward": ["a", None]})
    assert fingerprint(table) == fingerprint(Table(dict(table.columns)))


def test_a_table_does_not_change_with_the_arrays_that_it_was_made_of():
    columns = {"x": np.array([1.0, 2.0]), "w": np.array(["a", None], dtype=object)}
    table = Table(columns)
    columns["x"][0], columns["w"][0] = 9.0, "z"
    assert table.columns["x"][0] == 1.0
    assert table.columns["w"][0] == "a"


def test_a_column_of_another_kind_is_a_reason():
    source = InputSpec("table", None, ("ward",), ("category",))
    offered = InputSpec("table", None, ("ward",), ("number",))
    assert source.accepts(offered).reason == (
        "the source reads column 'ward' as category, in the task it is number."
    )
    assert InputSpec("table", None, ("ward",)).accepts(offered) is None
