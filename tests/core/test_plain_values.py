import math
import re

import numpy as np
import pytest

from bequest.core.plain_values import json_fault, quoted

NEST = {}
for _ in range(900):
    NEST = {"a": NEST}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (math.nan, "no finite number"),
        (-math.inf, "no finite number"),
        (10**400, "no number below 2\\^64"),
        (10**5000, "an int is no number below 2\\^64"),
        ("\ud800", "half of a surrogate pair"),
        ({"a": ["x", {"\udfff": 1}]}, r"^\.a\[1\].*surrogate"),
        ({1: 2}, "the key 1 is no text"),
        ([1.0, 2.0, math.nan], r"^\[2\]: nan is no finite number"),
        (np.float32(1), "a float32 is no plain value"),
        ({1, 2}, "a set is no plain value"),
        (NEST, "more than 64 values stand inside of each other"),
    ],
    ids=range(11),
)
def test_what_strict_json_cannot_hold_is_told_with_its_place(value, line):
    assert re.search(line, json_fault(value))


def test_plain_values_have_no_fault():
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": [[0.5, 1.5], []]}, "d": (1,)}
    assert json_fault(value) == ""


def test_numbers_that_are_not_finite_are_plain_where_that_is_asked():
    assert json_fault({"a": [math.nan, -math.inf]}, finite=False) == ""


def test_text_of_strangers_is_escaped_and_cut_whatever_it_is():
    for value in ("\x1b[31m\n" * 10**6, NEST, 10**5000, ["x" * 100] * 100, b"\0" * 1000):
        said = quoted(value)
        assert len(said) <= 60
        assert said.isascii()
        assert said.isprintable()
