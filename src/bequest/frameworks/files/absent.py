"""A path at which nothing is: what is named like it."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from bequest.frameworks.files.file_formats import PICKLES, SUFFIXES

__all__ = ["absent", "is_file_name", "nearest"]

FILES = frozenset({".safetensors", ".json", *PICKLES, *SUFFIXES})
MOST = 10_000  # names in a folder that are compared


def absent(place: Path) -> str:
    """That there is no such file or model folder, as one line.

    Examples
    --------
    >>> absent(Path("nowhere/model.safetensors"))
    'there is no file nowhere/model.safetensors, nor a folder nowhere.'
    """
    what = "file" if is_file_name(place) else "model folder"
    above = "" if place.parent.is_dir() else f", nor a folder {place.parent}"
    return f"there is no {what} {place}{above}.{nearest(place)}"


def is_file_name(place: Path) -> bool:
    """Whether a path ends as a file of weights or of a network does."""
    return place.suffix.lower() in FILES


def nearest(place: Path) -> str:
    """A question that names what lies beside it and is called nearly so; empty where nothing is."""
    try:
        names = [other.name for other in islice(place.parent.iterdir(), MOST)]
    except OSError:
        return ""
    near = get_close_matches(place.name, names, n=1)
    return f" Did you mean {place.parent / near[0]}?" if near else ""
