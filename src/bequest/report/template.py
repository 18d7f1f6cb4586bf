"""The templates, and a page that is written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bequest.core.disk import flush
from bequest.core.validation import validate_path
from bequest.errors import DataError
from bequest.report.amounts import plain

__all__ = ["PAGES", "digest", "source", "write_page"]

FILES = PackageLoader("bequest.report", "templates")
PAGES = Environment(
    loader=FILES,
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters["plain"] = plain


def source(name: str) -> str:
    """The text of a file among the templates, as it is."""
    return FILES.get_source(PAGES, name)[0]


def digest(script: str) -> str:
    """What a page's policy calls a script that stands in it: its sha256, in base 64."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def write_page(path: str | Path, text: str) -> Path:
    """Write a page in one step; a file that is there is replaced, or left as it was on a failure.

    Refused where the folder does not exist, or `path` is one.
    """
    place = validate_path(path, "a page")
    if not place.parent.is_dir():
        raise DataError(f"there is no folder {place.parent} to write {place.name} into.")
    if place.is_dir():
        raise DataError(f"{place} is a folder; name a file in it, such as {place / 'report.html'}.")
    _write(place, text.encode("utf-8", "replace"))
    return place


def _write(place: Path, content: bytes) -> None:
    handle, work = tempfile.mkstemp(prefix=f".{place.name[:60]}-", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            flush(file.fileno())
        Path(work).chmod(0o644)
        os.replace(work, place)
    finally:
        Path(work).unlink(missing_ok=True)
