"""The rules of a parameter map, one small class each, and the table that names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bequest.errors import MapError
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
from bequest.mapping.rules.positions import Interpolate1D, Interpolate2D
from bequest.mapping.rules.rule import Rule
from bequest.mapping.rules.shift import ConstantOffset
from bequest.mapping.rules.width import Repeat, RepeatParts, Select, SplitWeight

__all__ = ["RULES", "Rule", "rule_from_dict"]

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        Blocks, CentreCropOrPad, ChannelOrder, Channels, Classes, Columns, ConstantOffset,
        GroupInterleaved, IdentityInit, Interpolate1D, Interpolate2D, Length, OnesInit,
        Patch, QKVInterleaved, Repeat, RepeatParts, Rotary, Select, SplitWeight, Tokens,
        Transposed, ZerosInit,
    )
}  # fmt: skip


def rule_from_dict(values: Mapping[str, Any]) -> Rule:
    """The rule that `Rule.to_dict` described.

    Examples
    --------
    >>> rule_from_dict({"rule": "repeat", "axis": 0, "size": 4})
    Repeat(axis=0, size=4)
    """
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
        if key != "rule"
    }
    try:
        return RULES[values["rule"]](**settings)
    except (KeyError, TypeError) as error:
        raise MapError(f"a map names the unknown rule {dict(values)!r}.") from error
