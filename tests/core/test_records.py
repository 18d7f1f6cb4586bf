"""Records: what is read back is what was written, and what does not fit is told with its place."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest

from bequest.core.records import FORMAT, Count, Record, Share, read
from bequest.errors import DataError


@dataclass(frozen=True)
class Visit(Record):
    ward: str
    days: tuple[Count, ...] = ()
    how: Literal["in", "out"] = "in"


@dataclass(frozen=True)
class Patient(Record):
    versioned: ClassVar[bool] = True
    derived: ClassVar[tuple[str, ...]] = ("stays",)

    name: str
    visits: tuple[Visit, ...] = ()
    last: Visit | None = None
    chance: Share = 0.5
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stays(self) -> int:
        return len(self.visits)


WHOLE = Patient("Ada", (Visit("7", (1, 2)), Visit("8")), Visit("9", how="out"), 0.25, {"a": [1]})


def test_json_and_back_loses_nothing():
    values = json.loads(json.dumps(WHOLE.to_dict()))
    assert (values["format"], values["stays"]) == (FORMAT, 2)
    assert Patient.from_dict(values) == WHOLE


def test_keys_of_a_newer_version_are_kept_at_any_depth_and_written_again():
    values = WHOLE.to_dict()
    values["colour"], values["visits"][1]["nurse"], values["last"]["bed"] = "red", "Eve", {"n": 3}
    found = Patient.from_dict(values)
    assert found.unknown_keys == {"colour": "red"}
    assert [one.unknown_keys for one in found.visits] == [{}, {"nurse": "Eve"}]
    assert found.to_dict() == values
    assert (found.name, found.visits[0]) == ("Ada", WHOLE.visits[0])


def test_a_key_of_a_newer_version_never_overrides_what_is_known():
    forged = Patient("Ada", unknown_keys={"name": "Eve", "format": 9, "stays": 7})
    assert forged.to_dict() == Patient("Ada").to_dict()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda v: v.update(name=3), r"$.name: expected a text, got a whole number"),
        (lambda v: v.pop("name"), "$: it has no `name`"),
        (lambda v: v["visits"][1].update(days=[1, "x"]), "$.visits[1].days[1]: expected a whole"),
        (lambda v: v["visits"][1].update(days={"a": 1}), "$.visits[1].days: expected a list"),
        (lambda v: v["visits"][0].update(days=[-1]), "$.visits[0].days[0]: expected a whole"),
        (lambda v: v["visits"][0].update(days=[True]), "$.visits[0].days[0]: expected a whole"),
        (lambda v: v["visits"].append(None), "$.visits[2]: expected a mapping"),
        (lambda v: v["last"].update(how="up"), "$.last.how: "),
        (lambda v: v.update(last=[]), "$.last: expected a mapping or nothing, got a list"),
        (lambda v: v.update(chance=1.5), "$.chance: expected a number <= 1.0"),
        (lambda v: v.update(chance=math.nan), "$.chance: nan is no finite number"),
        (lambda v: v["settings"].update(b=[0.5, math.inf]), "$.settings.b[1]: inf is no finite"),
        (lambda v: v.update(extra={"a": object()}), "$.extra.a: a object is no plain value"),
        (lambda v: v.update(format=2), "$.format: it needs format 2, and this version of bequest"),
        (lambda v: v.update(format="new"), "$.format: 'new' is no version of a format"),
        (lambda v: v.update({"a" * 10**6: "\ud800"}), "$.aaaaaa"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line_with_its_place(change, line):
    values = json.loads(json.dumps(WHOLE.to_dict()))
    change(values)
    with pytest.raises(DataError) as told:
        read(Patient, values)
    assert str(told.value).startswith(line)
    assert len(str(told.value)) < 250
    assert str(told.value).isprintable()


@pytest.mark.parametrize("values", [None, [], "text", 3, {1: 2}])
def test_what_is_no_mapping_is_no_record(values):
    with pytest.raises(DataError, match=r"^\$: "):
        read(Patient, values)


def test_a_nest_a_cycle_and_a_long_unknown_key_end_in_bounded_time():
    nest: dict = {}
    for _ in range(10_000):
        nest = {"a": nest}
    cycle: dict = {}
    cycle["a"] = cycle
    for bad in (nest, cycle):
        with pytest.raises(DataError, match="more than 64 values"):
            read(Patient, {"name": "Ada", "more": bad})
    long = {"name": "Ada", "more": "x" * 10_000_000}
    assert read(Patient, long).to_dict()["more"] == long["more"]
