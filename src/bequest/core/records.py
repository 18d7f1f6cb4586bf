"""Records: frozen dataclasses whose annotations say what their JSON holds.

msgspec reads them by their annotations and says where a value does not fit, as ``$.arms[3].score``.
Keys that this version does not know are kept and written again: they are a newer version's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast

import msgspec

from bequest.core.plain_values import escaped, json_fault, quoted
from bequest.errors import DataError

__all__ = [
    "FORMAT",
    "Count",
    "Record",
    "Share",
    "read",
]

FORMAT = 1  # of the records that this version writes, and the newest that it reads

T = TypeVar("T")
R = TypeVar("R", bound="Record")
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]

# JSON's own words, and those of a reader.
_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """What goes to JSON and back; a subclass is a frozen dataclass with annotated fields.

    Parameters
    ----------
    unknown_keys : mapping
        What was read under names that this version does not know.
    """

    derived: ClassVar[tuple[str, ...]] = ()  # properties that are written, and not read
    finite: ClassVar[bool] = True  # whether no number in it is NaN or infinite
    omit_defaults: ClassVar[bool] = False  # fields at their default are not written
    versioned: ClassVar[bool] = False  # whether it names the least format that can read it

    unknown_keys: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "unknown_keys"}
        if self.omit_defaults:
            blank = type(self)()
            own = {name: value for name, value in own.items() if value != getattr(blank, name)}
        own |= {name: getattr(self, name) for name in self.derived}
        own |= {"format": FORMAT} if self.versioned else {}
        return {name: _plain(value) for name, value in {**self.unknown_keys, **own}.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The record that these plain values describe.

        Raises
        ------
        DataError
            A value is of another kind than its field: the line names its place.
        """
        return read(cls, values)


def read(kind: type[R], values: Any) -> R:
    """The record that plain values describe; keys that it has no field for are kept.

    Parameters
    ----------
    kind : type
        A subclass of `Record`.
    values : mapping
        From JSON, or made by hand.

    Raises
    ------
    DataError
        ``$.place: what is wrong``.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Visit(Record):
    ...     ward: str
    ...     days: tuple[Count, ...] = ()
    >>> read(Visit, {"ward": "7", "days": [1, 2], "nurse": "Ada"}).to_dict()
    {'nurse': 'Ada', 'ward': '7', 'days': [1, 2]}
    >>> read(Visit, {"ward": "7", "days": [1, -2]})
    Traceback (most recent call last):
        ...
    bequest.errors.DataError: $.days[1]: expected a whole number >= 0
    """
    if fault := json_fault(values, finite=kind.finite):
        raise DataError(f"${fault}")
    if kind.versioned:
        _check_format(values)
    try:
        found = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise DataError(_said(error)) from None
    return _with_unknown(found, values)


def _check_format(values: Any) -> None:
    """Raise `DataError` where a newer version is needed: nothing is half-read."""
    needed = values.get("format", FORMAT) if isinstance(values, Mapping) else FORMAT
    if not isinstance(needed, int) or needed < 1:
        raise DataError(f"$.format: {quoted(needed)} is no version of a format")
    if needed > FORMAT:
        raise DataError(
            f"$.format: it needs format {needed}, and this version of bequest reads up to "
            f"{FORMAT}: upgrade bequest"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _with_unknown(record: T, values: Any) -> T:
    """The record with what `values` hold beside its fields, at any depth."""
    if isinstance(record, tuple):
        pairs = zip(record, values, strict=True)
        return cast(T, tuple(_with_unknown(one, raw) for one, raw in pairs))
    if not isinstance(record, Record):
        return record
    own = {f.name: getattr(record, f.name) for f in fields(record) if f.name in values}
    changed = {
        name: inner
        for name, given in own.items()
        if _holds_records(given) and (inner := _with_unknown(given, values[name])) != given
    }
    known = {*own, *record.derived, *(("format",) if record.versioned else ())}
    rest = {key: value for key, value in values.items() if key not in known}
    return replace(record, **changed, unknown_keys=rest) if changed or rest else record


def _holds_records(value: Any) -> bool:
    return isinstance(value, Record) or (isinstance(value, tuple) and any(map(is_dataclass, value)))


def _in_words(types: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types[1].split(" | "))


def _said(error: msgspec.ValidationError) -> str:
    """msgspec's reason, behind the place that it names."""
    reason, _, place = str(error).rpartition(" - at ")
    if not reason:
        reason, place = place, "`$`"
    if not reason.startswith(missing := "Object missing required field"):
        reason = re.sub(r"`([a-z |]+)`", _in_words, reason)
    reason = reason.replace(missing, "it has no")
    return f"{escaped(place.strip('`'), 200)}: {reason[:1].lower()}{reason[1:]}"
