"""Texts as samples: what becomes them, what does not, and that they are taken by row."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bequest.core import InputSpec, Texts, as_inputs, fingerprint, spec_of
from bequest.errors import DataError

ROWS = ["good", "", "größer 中文 😀", "bad\nline"]


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        tuple(ROWS),
        np.array(ROWS),
        np.array(ROWS, dtype=object),
        pd.Series(ROWS),
        pd.Series(ROWS, dtype="string"),
        pl.Series(ROWS),
        pa.array(ROWS),
        pa.chunked_array([ROWS[:1], ROWS[1:]]),
    ],
    ids=lambda given: f"{type(given).__module__}.{type(given).__name__}",
)
def test_a_column_of_strings_of_any_library_is_texts(given):
    texts = as_inputs(given)
    assert isinstance(texts, Texts)
    assert texts.tolist() == ROWS
    assert spec_of(texts) == InputSpec("text")


def test_texts_are_taken_by_number_slice_numbers_and_mask():
    texts = Texts(ROWS)
    assert texts[1].tolist() == [""]
    assert texts[1:3].tolist() == ROWS[1:3]
    assert texts[np.array([3, 0])].tolist() == [ROWS[3], ROWS[0]]
    assert texts[np.array([True, False, False, True])].tolist() == [ROWS[0], ROWS[3]]


def test_texts_survive_a_pickle_between_processes():
    assert pickle.loads(pickle.dumps(Texts(ROWS))).tolist() == ROWS


def test_the_fingerprint_tells_where_one_text_ends():
    assert fingerprint(Texts(["ab", "c"])) != fingerprint(Texts(["a", "bc"]))
    assert fingerprint(Texts(["ab", "c"])) == fingerprint(Texts(("ab", "c")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a", None, "b"], r"1 of 3 texts are missing \(row 1"),
        (["a", float("nan")], r"texts are missing \(row 1"),
        (["a", 3, 4], r"2 of 3 texts are no strings \(rows 1, 2.*a int"),
        (["a", b"b"], r"no strings.*bytes"),
        (pd.Series(["a", None]), "texts are missing"),
        (["fine", "half \ud83d of one"], "text 1, counted from 0, holds half of a surrogate pair"),
        ("one text", "put it into a list"),
        (b"bytes", "put it into a list"),
    ],
)
def test_what_is_no_list_of_texts_is_refused_in_one_line(given, said):
    with pytest.raises(DataError, match=said):
        as_inputs(given)


def test_numbers_in_a_series_stay_what_they_were():
    with pytest.raises(DataError, match="not a DataFrame"):
        as_inputs(pd.Series([1.0, 2.0]))
    assert as_inputs([[1, 2], [3, 4]]).shape == (2, 2)


def test_a_model_of_vectors_does_not_take_texts():
    refused = InputSpec("vector", (3,)).accepts(InputSpec("text"))
    assert refused.reason == "the source takes vector inputs, the task has text inputs."
