"""Each rule against what it promises."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from bequest.errors import MapError
from bequest.mapping.rules import RULES, Rule, rule_from_dict
from bequest.mapping.rules.channels import Channels
from bequest.mapping.rules.interleaved import GroupInterleaved
from bequest.mapping.rules.kernel import CentreCropOrPad, Patch
from bequest.mapping.rules.layout import (
    Blocks,
    ChannelOrder,
    QKVInterleaved,
    Rotary,
    Transposed,
    ZerosInit,
)
from bequest.mapping.rules.length import Length
from bequest.mapping.rules.neutral import IdentityInit, OnesInit
from bequest.mapping.rules.pick import Classes, Columns, Tokens
from bequest.mapping.rules.positions import Interpolate1D, Interpolate2D, resized_positions
from bequest.mapping.rules.shift import ConstantOffset
from bequest.mapping.rules.width import Repeat, RepeatParts, Select, SplitWeight

SAMPLES: dict[str, Rule] = {
    "blocks reordered": Blocks(0, (2, 0, 1)),
    "kernel centred": CentreCropOrPad(2, (5, 5)),
    "input channels": Channels(1, 5),
    "classes by label": Classes(0, (1, -1)),
    "constant added": ConstantOffset(0, 1),
    "columns by name": Columns(1, (1, -1)),
    "identity, absent in the source": IdentityInit(),
    "one, absent in the source": OnesInit(),
    "length": Length(0),
    "positions, a grid": Interpolate2D(0, 17, 1),
    "positions, a line": Interpolate1D(0, 9),
    "patch, pseudo-inverse": Patch(2, (4, 4)),
    "pixels reordered": ChannelOrder(1, 3, back=True),
    "repeat": Repeat(0, 5),
    "repeat, by part": RepeatParts(0, (2, 1), (4, 1)),
    "rotary pairs": Rotary(0, 2, back=True),
    "select": Select(0, 2),
    "repeat, shared": SplitWeight(1, 5),
    "vocabulary by token": Tokens(0, (0, -1)),
    "transpose": Transposed(),
    "heads interleaved": QKVInterleaved(0, 2, 3, back=True),
    "heads woven": GroupInterleaved(0, 2, 1, 1, 3, back=False),
    "zero, absent in the source": ZerosInit(),
}
sizes = st.integers(1, 12)


def test_every_rule_has_a_sample():
    assert set(SAMPLES) == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_survives_text(name):
    assert rule_from_dict(SAMPLES[name].to_dict()) == SAMPLES[name]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_says_what_it_does(name):
    assert inspect.getdoc(RULES[name])
    assert isinstance(RULES[name].citation, str)


@pytest.mark.parametrize("values", [{"rule": "no such"}, {}, {"rule": "repeat", "size": 3}])
def test_a_rule_that_is_none_is_one_line(values):
    with pytest.raises(MapError, match="unknown rule"):
        rule_from_dict(values)


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(0, 12), st.integers(1, 4))
def test_repeated_units_read_by_shared_inputs_give_the_same(there, more, out):
    wanted = there + more
    units, weight = torch.randn(there), torch.randn(out, there)
    wider = Repeat(0, wanted).apply(units, torch.zeros(wanted))
    shared = SplitWeight(1, wanted).apply(weight, torch.zeros(out, wanted))
    torch.testing.assert_close(shared @ wider, weight @ units)


@settings(deadline=None, max_examples=40)
@given(sizes, sizes)
def test_equal_input_channels_give_the_same_whatever_their_number(there, wanted):
    kernel = torch.randn(2, there, 3)
    other = Channels(1, wanted).apply(kernel, torch.zeros(2, wanted, 3))
    assert other.shape == (2, wanted, 3)
    torch.testing.assert_close(other.sum(1), kernel.sum(1))


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([(8, 4), (4, 8), (6, 9), (16, 8)]))
def test_a_patch_for_larger_images_answers_as_before(pair):
    """FlexiViT: (resized patch) . (resized weight) is patch . weight where images grow."""
    old, new = pair
    kernel = torch.randn(3, 2, old, old)
    other = Patch(2, (new, new)).apply(kernel, torch.zeros(3, 2, new, new))
    patch = torch.randn(1, 2, old, old)
    larger = functional.interpolate(patch, size=(new, new), mode="bilinear")
    if new >= old:
        torch.testing.assert_close(
            (larger * other).sum((1, 2, 3)), (patch * kernel).sum((1, 2, 3)), atol=1e-4, rtol=1e-4
        )
    assert other.shape == (3, 2, new, new)


def test_woven_parts_taken_out_and_laid_back_are_what_was_there():
    fused = torch.randn(24, 5)
    parts = ((0, 2), (2, 1), (3, 1))  # first row of a group and rows, of four in each of six groups
    result = torch.zeros(24, 5)
    for first, rows in parts:
        part = GroupInterleaved(0, 6, first, rows, 4, back=False).apply(
            fused, torch.zeros(6 * rows, 5)
        )
        assert part.shape == (6 * rows, 5)
        result = GroupInterleaved(0, 6, first, rows, 4, back=True).apply(part, result)
    assert torch.equal(result, fused)
    assert sum(GroupInterleaved(0, 6, *part, 4, back=True).filled(24) for part in parts) == 24


def test_positions_of_the_same_number_stay():
    table = torch.randn(17, 4)
    torch.testing.assert_close(Interpolate2D(0, 17, 1).apply(table, table), table)
    torch.testing.assert_close(Interpolate1D(0, 17).apply(table, table), table)


def test_a_line_of_positions_keeps_its_ends_and_is_numpys():
    table = torch.randn(5, 3)
    longer = Interpolate1D(0, 9).apply(table, torch.zeros(9, 3))
    wanted = [np.interp(np.linspace(0, 4, 9), np.arange(5), column) for column in table.T.numpy()]
    np.testing.assert_allclose(longer.numpy(), np.array(wanted).T, atol=1e-6)


def test_a_finer_grid_keeps_rows_and_columns_apart_and_its_middle():
    rows, columns = np.mgrid[0:4, 0:4]
    table = torch.tensor(np.stack([rows.ravel(), columns.ravel()], 1), dtype=torch.float32)
    finer = Interpolate2D(0, 64, 0).apply(table, torch.zeros(64, 2)).reshape(8, 8, 2)
    assert bool((finer[..., 0].diff(dim=0) > 0).all())
    torch.testing.assert_close(finer[..., 0].diff(dim=1), torch.zeros(8, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(finer[..., 0], finer[..., 1].T)
    torch.testing.assert_close(finer.mean((0, 1)), table.mean(0))


def test_the_prefix_of_a_grid_is_copied():
    table = torch.randn(5, 3)
    assert torch.equal(Interpolate2D(0, 10, 1).apply(table, torch.zeros(10, 3))[0], table[0])


def test_positions_are_a_grid_for_images_and_a_line_for_the_rest():
    assert isinstance(resized_positions(0, 197, 50, image=True), Interpolate2D)
    assert isinstance(resized_positions(0, 197, 50, image=False), Interpolate1D)
    assert isinstance(resized_positions(0, 7, 12, image=True), Interpolate1D)


@pytest.mark.parametrize(
    ("rule", "back"),
    [
        (QKVInterleaved(0, 4, 3, back=False), QKVInterleaved(0, 4, 3, back=True)),
        (Rotary(0, 4, back=False), Rotary(0, 4, back=True)),
        (ChannelOrder(0, 3, back=False), ChannelOrder(0, 3, back=True)),
        (Blocks(0, (2, 0, 1)), Blocks(0, (1, 2, 0))),
        (Transposed(), Transposed()),
    ],
)
def test_a_layout_and_its_reverse_cancel(rule, back):
    values = torch.randn(24, 24)
    assert torch.equal(back.apply(rule.apply(values, values), values), values)
    assert not torch.equal(rule.apply(values, values), values)


def test_columns_and_classes_of_one_layer_are_both_matched():
    own = torch.full((2, 2), 9.0)
    first = Columns(1, (1, -1)).apply(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), own)
    both = Classes(0, (2, -1)).apply(first, own)
    assert both[0, 0] == 6.0
    assert both[1].tolist() == [9.0, 9.0]
