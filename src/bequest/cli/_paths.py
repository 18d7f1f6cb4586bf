"""Where a command reads from and writes to."""

from __future__ import annotations

from pathlib import Path

from bequest.errors import BequestError, DataError
from bequest.frameworks.files.output import is_model, is_result, new_file, new_folder, read_record

__all__ = ["existing", "is_model", "is_result", "new_file", "new_folder", "read_record"]


def existing(
    path: Path, what: str = "file or folder", refusal: type[BequestError] = DataError
) -> Path:
    """The path itself, where something is there."""
    place = path.expanduser()
    if not place.exists():
        raise refusal(f"there is no {what} {path}.")
    return place
