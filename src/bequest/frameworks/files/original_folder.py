"""A folder that came from elsewhere: its files are kept byte for byte, ours lie in a folder inside.

So its own library still opens what was saved, published or pulled. Nothing of it is run: files that
could be (``.py``, pickles) are copied as bytes, and only what `load` reads is ever read.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NoReturn, final

import torch

from bequest.core.plain_values import escaped, quoted
from bequest.errors import BequestError, ModelError, UnsafeModel
from bequest.frameworks.files.folder import (
    FOREIGN,
    KINDS,
    OWN,
    file_digest,
    read_json,
    write_folder,
)
from bequest.frameworks.torch.content_hash import network_hash
from bequest.frameworks.torch.device import running_from_config, running_to_config

if TYPE_CHECKING:
    from bequest.frameworks.torch.model import Network

__all__ = [
    "KIND", "ArchivedFile", "OriginalFiles", "files_of", "is_inside", "load_original",
    "original_files", "save_original", "stored_at",
]  # fmt: skip

KIND = "original-folder"
MOST_FILES = 10_000
# What no hub takes, since it means something else on another system.
ODD_NAME = re.compile(r"[\\:\x00-\x1f\ud800-\udfff]")
READ = (".json", ".safetensors")  # what loading such a folder reads

logger = logging.getLogger(__name__)
_STORED: ContextVar[Mapping[Path, Path | ArchivedFile] | None] = ContextVar("stored", default=None)


class _OtherFilesError(Exception):
    """The files are not, or no longer, those of the model."""


@final
@dataclass(frozen=True)
class ArchivedFile:
    """A file in a zip archive.

    Parameters
    ----------
    archive : path
    name : str
        Its path in the archive.
    """

    archive: Path
    name: str

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Its bytes; `OSError` where the archive is gone, or another."""
        try:
            with zipfile.ZipFile(self.archive) as archive:
                return archive.open(self.name)
        except (KeyError, zipfile.BadZipFile) as error:
            raise OSError(0, "it is no longer that archive") from error


@final
@dataclass(frozen=True)
class OriginalFiles:
    """The files of the folder that a model was loaded from.

    Parameters
    ----------
    files : mapping of str to path or ArchivedFile
        Path inside of the folder to where it can be read.
    digests : mapping of str to str
        The sha256 of those that are known.
    problem : str
        Why they cannot be kept; empty where they can.
    """

    files: Mapping[str, Path | ArchivedFile]
    digests: Mapping[str, str]
    problem: str = ""


def is_inside(folder: Path, path: Path) -> bool:
    """Whether a path lies in a folder, links followed; one that no system takes lies nowhere.

    The Hub's own cache is made of links from ``snapshots/REVISION`` to ``blobs`` beside it, and is
    one folder in that sense.
    """
    root = folder.resolve()
    try:
        real = path.resolve()
        real.exists()  # says what `resolve` does not: that the name is too long
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, no Unicode
        return False
    roots = [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
    return any(real.is_relative_to(one) for one in roots)


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths in it, ours left out.

    Hidden folders (``.git``, ``.cache``) and ``__pycache__`` are no part of a model. `UnsafeModel`
    where it holds a link that leads out, or a device; `ModelError` where a name cannot be kept on
    every system, or there are too many files.
    """
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(folder, onerror=_raised):
        folders[:] = sorted(name for name in folders if not _passed_over(name))
        for name in (*folders, *sorted(names)):
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            _check(folder, path, inside)
            if path.is_file():
                found[inside] = path
        if len(found) > MOST_FILES:
            raise ModelError(f"{folder} holds more than {MOST_FILES} files: it is no model folder.")
    ours = {f"{OWN}/{name}" for name in ("config.json", "card.json", "README.md")}
    if f"{OWN}/config.json" in found:
        found = {inside: path for inside, path in found.items() if inside not in ours}
    taken = sorted(inside for inside in found if inside.partition("/")[0] == OWN)
    if taken:
        raise ModelError(f"{folder} has a file {escaped(taken[0])}, where bequest keeps its own.")
    return found


def original_files(folder: Path, digests: Mapping[str, str] | None = None) -> OriginalFiles:
    """What a model remembers of the folder that it is loaded from."""
    stored = _STORED.get() or {}
    try:
        files = files_of(folder.absolute())
    except (BequestError, OSError) as error:
        return OriginalFiles({}, {}, str(error))
    return OriginalFiles(
        {name: stored.get(path, path) for name, path in files.items()}, digests or {}
    )


@contextmanager
def stored_at(places: Mapping[Path, Path | ArchivedFile]) -> Iterator[None]:
    """Let models that are loaded remember other places of their files, which stay."""
    before = _STORED.set({path.absolute(): kept for path, kept in places.items()})
    try:
        yield
    finally:
        _STORED.reset(before)


def save_original(model: Network, folder: str | Path) -> bool:
    """Write a model as the files that it was loaded from, with its card beside them.

    False, with a line in the log, where the files are no longer there, or no longer the model's:
    what was written is loaded and compared.
    """
    config = {
        **running_to_config(model),
        "pooling": _asked(model),
        "address": network_hash(model.module, model.structure, model.encoder),
    }

    def write(place: Path) -> None:
        try:
            _copy(model.origin, place)
            _compare(model, place)
        except BaseException:
            for path in place.iterdir():  # which was empty, and may now be filled in another way
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise

    about: dict[str, Any] = {"kind": KIND, "config": config, "card": model.card, "inside": OWN}
    try:
        write_folder(folder, write=write, **about)
    except _OtherFilesError as error:
        name = model.name or "the model"
        logger.warning("%s is written without the files of its folder: %s", name, error)
        return False
    return True


def load_original(folder: Path, config: Mapping[str, Any], card: Any, modules: Any = ()) -> Network:
    """Load a folder whose files were kept, with the card that lies beside them."""
    files = config["files"]
    added = [name for name in files_of(folder) if name not in files and name.endswith(READ)]
    if added:
        raise ModelError(
            f"{folder} holds {escaped(added[0])}, which it does not list: take it out."
        )
    theirs = folder / "config.json"
    values = read_json(theirs) if theirs.is_file() else {}
    model: Any = KINDS[FOREIGN](folder, values, card, pooling=config["pooling"])
    origin = original_files(folder, files)
    loaded: Network = replace(model, **running_from_config(config, card.name), origin=origin)
    return loaded


def _asked(model: Network) -> str | None:
    """What `load` was asked to make features of, where it can be asked."""
    way = str(model.structure.get("pooling"))
    return {"mean": "mean", "first": "first", "last-token": "last"}.get(way)


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _check(folder: Path, path: Path, inside: str) -> None:
    if path.is_symlink() and (path.is_dir() or not is_inside(folder, path)):
        raise UnsafeModel(
            f"{quoted(inside)} in {folder} is a link that may lead out of it: put a copy there."
        )
    if not (path.is_dir() or path.is_file()):
        raise UnsafeModel(f"{quoted(inside)} in {folder} is no file.")
    if ODD_NAME.search(inside):
        raise ModelError(f"{folder} holds a file whose name no hub can keep: {quoted(inside)}.")


def _raised(error: OSError) -> NoReturn:
    raise error


def _copy(origin: OriginalFiles | None, place: Path) -> None:
    if origin is None or origin.problem:
        raise _OtherFilesError(origin.problem if origin else "they are not known.")
    for inside, path in origin.files.items():
        target = place / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source = path.open("rb")
        except OSError as error:
            raise _OtherFilesError(f"{path} cannot be read: {error.strerror}.") from error
        with source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
        if file_digest(target) != origin.digests.get(inside, file_digest(target)):
            raise _OtherFilesError(f"{path} was altered.")


def _compare(model: Network, place: Path) -> None:
    """Load what was copied, and see whether it is the model."""
    theirs = place / "config.json"
    values = read_json(theirs) if theirs.is_file() else {}
    try:
        again: Any = KINDS[FOREIGN](place, values, model.card, say=False, pooling=_asked(model))
    except BequestError as error:
        raise _OtherFilesError(f"{error}") from error
    names = ("spec", "classes", "head", "target_scale", "encoder", "structure")
    other = [name for name in names if getattr(again, name) != getattr(model, name)]
    if type(again) is not type(model) or other or not _same_weights(model.module, again.module):
        raise _OtherFilesError("it is no longer the model that they hold.")


def _same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor.cpu(), theirs[name]) for name, tensor in ours.items()
    )
