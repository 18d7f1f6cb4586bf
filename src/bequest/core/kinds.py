"""Of which kind plain values are that somebody else wrote down, told before anything reads them.

A kind is a function that says what is wrong with a value, in a few words, and nothing where it is
sound. Cards and outcomes come from strangers: one value of another kind among thousands of rows
would else stop whoever adds, formats or sorts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import partial
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

__all__ = [
    "TASK",
    "Kind",
    "bare",
    "built",
    "count",
    "each",
    "mapping",
    "measured",
    "named",
    "number",
    "of_hint",
    "plain",
    "record",
    "shown",
    "text",
    "whole",
]

Kind = Callable[[Any], str]
DEEPEST = 64  # values inside of each other; Python itself reads and writes some hundreds


def shown(value: Any, most: int = 60) -> str:
    r"""Somebody else's value in a message: escaped, and cut.

    Examples
    --------
    >>> print(shown("a\x1b[31m\n"), shown("x" * 99, 12))
    'a\x1b[31m\n' 'xxxxxxxx...
    """
    try:
        # More than this is never shown, and a value may be as long as a file.
        said = ascii(value[: 2 * most] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a nest
        return f"an {type(value).__name__}" if isinstance(value, int) else "a nest of values"
    return said if len(said) <= most else f"{said[: most - 3]}..."


def bare(name: str, most: int = 60) -> str:
    r"""As `shown`, without quotation marks, for a name that stands in a path.

    Examples
    --------
    >>> print(bare("card.json"), bare("a\nb"))
    card.json a\nb
    """
    said = ascii(name[: 2 * most])[1:-1]
    return said if len(said) <= most else f"{said[: most - 3]}..."


def text(value: Any) -> str:
    """Text that every file can hold."""
    if type(value) is str and value.isascii():  # nearly all of them, and a hub has millions
        return ""
    if not isinstance(value, str):
        return f"{shown(value)} is no text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{shown(value)} holds half of a surrogate pair, which is no Unicode"
    return ""


def measured(value: Any) -> str:
    """A number; NaN where nothing could be measured, infinite where nothing bounds it."""
    if type(value) is float:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{shown(value)} is no number"
    try:
        float(value)
    except OverflowError:
        return f"{shown(value)} is larger than any number that is computed with"
    return ""


def number(value: Any) -> str:
    """A finite number."""
    fault = measured(value)
    if fault or math.isfinite(value):
        return fault
    return f"{shown(value)} is no finite number"


def whole(value: Any) -> str:
    """A whole number."""
    sound = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64
    return "" if sound else f"{shown(value)} is no whole number below 2^64"


def truth(value: Any) -> str:
    """True or false."""
    return "" if isinstance(value, bool) else f"{shown(value)} is neither true nor false"


def count(value: Any) -> str:
    """How many there are of something."""
    return whole(value) or ("" if value >= 0 else f"{shown(value)} is below zero")


def each(kind: Kind, most: int | None = None) -> Kind:
    """A list of one kind, perhaps of so many at most."""

    def fault(values: Any) -> str:
        if not isinstance(values, list | tuple):
            return f"{shown(values)} is no list"
        if most is not None and len(values) > most:
            return f"{len(values)} are listed, {most} are the most"
        return _first(kind, values)

    return fault


def named(kind: Kind) -> Kind:
    """Values of one kind by name."""

    def fault(values: Any) -> str:
        if not _is_mapping(values):
            return f"{shown(values)} is no mapping"
        return _first(_key, values) or _first(kind, values.values())

    return fault


def record(**kinds: Kind) -> Kind:
    """A mapping whose known keys, where they are there, are of these kinds; others are plain."""

    def fault(values: Any) -> str:
        if not _is_mapping(values):
            return f"{shown(values)} is no mapping"
        for key, value in values.items():
            if found := _key(key):
                return found
            if found := kinds.get(key, plain)(value):
                return f"its {shown(key, 30)}: {found}"
        return ""

    return fault


def plain(value: Any, deepest: int = DEEPEST, numbers: Kind = number) -> str:
    """What strict JSON can hold: finite numbers, texts, and lists and mappings of them."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return numbers(value)
    if not isinstance(value, Mapping | list | tuple):
        return f"a {type(value).__name__} is no plain value"
    if not deepest:
        return f"more than {DEEPEST} values stand inside of each other"
    inner: Iterable[Any] = value
    if _is_mapping(value):
        if found := _first(_key, value):
            return found
        inner = value.values()  # type: ignore[union-attr]
    elif set(map(type, value)) == {float} and all(map(math.isfinite, value)):
        return ""  # the numbers of a sketch, of which there are thousands
    return _first(lambda item: plain(item, deepest - 1, numbers), inner)


def mapping(value: Any, numbers: Kind = number) -> str:
    """A mapping of plain values."""
    sound = _is_mapping(value)
    return plain(value, numbers=numbers) if sound else f"{shown(value)} is no mapping"


def of_hint(hint: Any, numbers: Kind = measured) -> Kind:
    """The kind that an annotation asks for; what is not said by its type is ``Annotated``.

    Examples
    --------
    >>> of_hint(tuple[float, ...])([0.5, "high"])
    "'high' is no number"
    """
    if is_dataclass(hint):
        fields = get_type_hints(hint, include_extras=True)
        return record(**{name: of_hint(inner, numbers) for name, inner in fields.items()})
    form, inside = get_origin(hint), get_args(hint)
    if form is Annotated:
        kind: Kind = hint.__metadata__[0]
        return kind
    if form is Literal:
        return lambda value: (
            "" if value in inside else f"{shown(value)} is none of {', '.join(inside)}"
        )
    if form is UnionType:
        given = of_hint(inside[0], numbers)
        return lambda value: "" if value is None else given(value)
    if form is tuple:
        return each(of_hint(inside[0], numbers))
    if form is Mapping:
        free = inside[1] is Any
        return partial(mapping, numbers=numbers) if free else named(of_hint(inside[1], numbers))
    return {str: text, int: whole, float: numbers, bool: truth}[hint]


def built(hint: Any, value: Any) -> Any:
    """What sound plain values describe, as an annotation wants it: dataclasses, and tuples."""
    form, inside = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        fields: Any = get_type_hints(hint)
        make: Any = hint
        return make(**{name: built(fields.get(name), inner) for name, inner in value.items()})
    if form is tuple:
        return tuple(built(inside[0], inner) for inner in value)
    if form is Mapping:
        return {name: built(inside[1], inner) for name, inner in value.items()}
    return built(inside[0], value) if form is UnionType and value is not None else value


def _first(kind: Kind, values: Iterable[Any]) -> str:
    """The first fault."""
    for value in values:
        if found := kind(value):
            return found
    return ""


def _is_mapping(value: Any) -> bool:
    return type(value) is dict or isinstance(value, Mapping)


def _key(key: Any) -> str:
    if type(key) is str and key.isascii():
        return ""
    return text(key) if isinstance(key, str) else f"the key {shown(key)} is no text"


def _label(value: Any) -> str:
    simple = isinstance(value, str | int | float | bool)
    return plain(value) if simple else f"{shown(value)} names no class"


# What a card or an outcome says of a task.
TASK: Kind = record(
    name=text,
    fingerprint=text,
    modality=text,
    kind=text,
    metric=text,
    rows=count,
    entities=count,
    relations=count,
    classes=each(_label),
    class_shares=each(number),
    fingerprints=text,
    earlier_rows=each(record(rows=count, fingerprints=text)),
)
