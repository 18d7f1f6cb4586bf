"""Output that appears whole or not at all, and never over something that is not ours."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from bequest.errors import BequestError, DataError
from bequest.frameworks.files.folder import own_part
from bequest.frameworks.files.temporary import clean_up, sibling

__all__ = ["BEST_SINGLE", "is_model", "is_result", "new_file", "new_folder", "read_record"]

T = TypeVar("T")
Refusal = type[BequestError]
LIMIT = 64 * 2**20  # bytes of a text that a person could read
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
BEST_SINGLE = "best_single.json"
# what `transfer` leaves
RESULT = frozenset({"model", "outcome.json", "report.html", BEST_SINGLE})


def is_model(folder: Path) -> bool:
    """Whether this is a model folder."""
    own = own_part(folder)
    return (own / "config.json").is_file() and (own / "card.json").is_file()


def is_result(folder: Path) -> bool:
    """Whether this is what `transfer` leaves, and nothing else is in it."""
    found = {path.name for path in folder.iterdir()}
    return "outcome.json" in found and found <= RESULT


@contextmanager
def new_folder(out: Path, *, ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A folder to fill; it takes its place when the block ends well, and is removed otherwise.

    At `out` must be nothing, an empty folder, or one that is `ours`, which is then replaced.
    Anything else is refused before any work is done.
    """
    place = _checked(out)
    _refuse_foreign(out, place, ours)
    with _named(out, place), _parents(place):
        work = sibling(place)
        work.mkdir()
        try:
            filled = work / "new"
            filled.mkdir()
            yield filled
            _refuse_foreign(out, place, ours)  # somebody may have come while we worked
            if place.exists():
                os.replace(place, work / "old")
            try:
                os.replace(filled, place)
            except BaseException:
                if (work / "old").exists() and not place.exists():
                    os.replace(work / "old", place)
                raise
            clean_up(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """A file to write; it takes its place when the block ends well, and is removed otherwise."""
    place = _checked(out)
    if place.is_dir():
        raise DataError(f"{out} is a folder: name a file in it.")
    with _named(out, place), _parents(place):
        work = sibling(place)
        work.touch(exist_ok=False)
        try:
            yield work
            os.replace(work, place)
            clean_up(place)
        finally:
            work.unlink(missing_ok=True)


def read_record(path: Path, what: str, refusal: Refusal, parsed: Callable[[str], T]) -> T:
    """What the text of a small file says, which anybody may have written."""
    if not path.is_file():
        raise refusal(f"there is no {what} {path}.")
    if path.stat().st_size > LIMIT:
        raise refusal(f"{path} is larger than {LIMIT} bytes: it is no {what}.")
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise refusal(f"{path} is not text: it is no {what}.") from error
    except refusal as error:
        raise refusal(f"{path}: {error}") from error


def _refuse_foreign(out: Path, place: Path, ours: Callable[[Path], bool]) -> None:
    if place.exists() and not (place.is_dir() and (not any(place.iterdir()) or ours(place))):
        raise DataError(f"{out} exists and is not ours to replace: give another name.")


def _checked(out: Path) -> Path:
    place = Path(os.path.abspath(out.expanduser()))
    if place == Path.cwd() or not place.name:
        raise DataError(f"{out} is the folder that you stand in, or the root: give another name.")
    return place


@contextmanager
def _named(out: Path, place: Path) -> Iterator[None]:
    """Say `out` where the system names no place, or the hidden one that we write beside it."""
    try:
        yield
    except OSError as error:
        what = error.strerror
        if error.filename is None:
            if error.errno not in FULL:
                raise
        elif not _ours(Path(os.fsdecode(error.filename)), place):
            raise
        elif Path(os.fsdecode(error.filename)) in place.parents:
            what = f"{os.fsdecode(error.filename)}: {what}"
        raise DataError(f"{out} cannot be written: {what}.") from error


def _ours(said: Path, place: Path) -> bool:
    """Whether that is where the output is made, or would stand."""
    if said == place or said in place.parents:
        return True
    hidden = [p for p in (said, *said.parents) if p.parent == place.parent]
    return bool(hidden) and hidden[0].name.startswith(f".{place.name}.bequest-")


@contextmanager
def _parents(place: Path) -> Iterator[None]:
    """Make the folders above; those that were made go again if the work fails."""
    made = [folder for folder in place.parents if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:  # the deepest first
            with suppress(OSError):
                folder.rmdir()
        raise
