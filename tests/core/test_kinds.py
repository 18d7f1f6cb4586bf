import math
import re

import numpy as np
import pytest

from bequest.core import kinds

NEST = {}
for _ in range(900):
    NEST = {"a": NEST}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (math.nan, "no finite number"),
        (-math.inf, "no finite number"),
        (10**400, "larger than any number"),
        (10**5000, "an int is larger than any number"),
        ("\ud800", "half of a surrogate pair"),
        ({"a": ["x", {"\udfff": 1}]}, "no text|surrogate"),
        ({1: 2}, "the key 1 is no text"),
        ([1.0, 2.0, math.nan], "no finite number"),
        (np.float32(1), "a float32 is no plain value"),
        ({1, 2}, "a set is no plain value"),
        (NEST, "more than 64 values stand inside of each other"),
    ],
    ids=range(11),
)
def test_what_strict_json_cannot_hold_is_no_plain_value(value, line):
    assert re.search(line, kinds.plain(value))


def test_plain_values_have_no_fault():
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": [[0.5, 1.5], []]}, "d": (1,)}
    assert kinds.plain(value) == ""


@pytest.mark.parametrize("value", [1, 0.5, math.nan, math.inf, np.float64(2)])
def test_what_was_measured_may_be_no_number_but_never_another_kind(value):
    assert kinds.measured(value) == ""
    for other in (True, None, "high", [1], 10**400):
        assert "number" in kinds.measured(other)


def test_a_count_is_whole_and_not_below_zero():
    assert kinds.count(0) == ""
    for other in (-1, 1.0, True, "3", 10**400):
        assert kinds.count(other)


def test_text_of_strangers_is_escaped_and_cut_whatever_it_is():
    for value in ("\x1b[31m\n" * 10**6, NEST, 10**5000, ["x" * 100] * 100, b"\0" * 1000):
        said = kinds.shown(value)
        assert len(said) <= 60
        assert said.isascii()
        assert said.isprintable()
