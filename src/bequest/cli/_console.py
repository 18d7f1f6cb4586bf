"""What is printed: results to stdout, everything else to stderr."""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "Said",
    "line",
    "note",
    "plain",
    "print_json",
    "print_rows",
    "prose",
    "sized",
    "table",
    "tidy",
]


def line(text: object = "") -> None:
    """Print one line of a result; it is seen at once, in a pipe too."""
    print(tidy(str(text)), flush=True)


def prose(text: str) -> None:
    """Print a sentence; on a terminal its lines end between words."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(textwrap.fill(tidy(text), width) if width > 20 else tidy(text))


def note(text: object) -> None:
    """Say something to the person, in one line."""
    print(f"bequest: {' '.join(tidy(str(text)).split())}", file=sys.stderr)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns of one width each."""
    cells = [[" ".join(tidy(str(cell)).split()) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip())


def print_json(values: object) -> None:
    """Print strict JSON; numbers that JSON does not know become null."""
    text = json.dumps(plain(values), indent=2, ensure_ascii=False, allow_nan=False)
    # What is not printable only stands inside of strings: there it is said as JSON calls it.
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_rows(rows: Iterable[Sequence[object]]) -> None:
    """Print lines of a csv file; on a terminal, without what would move its cursor."""
    file = _Tidy() if sys.stdout.isatty() else sys.stdout
    csv.writer(file, lineterminator="\n").writerows(rows)


class _Tidy:
    """A file for a terminal."""

    def write(self, text: str) -> int:
        row = tidy(text[:-1]).replace("\n", "\N{REPLACEMENT CHARACTER}")
        return sys.stdout.write(f"{row}{text[-1:]}")


def plain(value: Any) -> Any:
    """The same in plain values that strict JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def tidy(text: str) -> str:
    """The text without what would move a terminal's cursor: names and cards come from others."""
    harmless = "\n\t\N{NO-BREAK SPACE}"
    return "".join(
        c if c.isprintable() or c in harmless else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def sized(number: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point.

    Examples
    --------
    >>> sized(512), sized(20_480), sized(3_500_000)
    ('512 B', '20.5 kB', '3.5 MB')
    """
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{number} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


class Said(logging.Handler):
    """Log records as lines of ours; stderr is looked up anew, for a progress bar redirects it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        note(record.getMessage())
