"""Files kept under the hash of their content, and checked against it on every read."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, final

from bequest.errors import Damaged, HubError
from bequest.hub.records.entry import StoredFile
from bequest.hub.storage.files.streams import copy_hashed, hash_file, sync_all, sync_folders

__all__ = ["Files", "Objects"]


class Files(Protocol):
    """What of a hub's files is asked by those who only read."""

    def located(self, file: StoredFile) -> Path:
        """Where to read a file."""

    def fault(self, file: StoredFile) -> str:
        """Why a file is not what it should be; empty where it is."""

    def copy(self, file: StoredFile, target: Path) -> None:
        """Copy a file to one that does not exist yet, checked."""


@final
class Objects:
    """A folder of files named by their sha256, ``ab/cdef...``, made when the first is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Folders in it whose own names are on the disk, as far as this object has made sure.
        self._settled: set[str] = set()

    def path(self, digest: str) -> Path:
        """Where the content with this sha256 stands, or would stand."""
        return self.folder.joinpath(digest[:2], digest[2:])

    def add_all(self, files: Mapping[str, Path]) -> None:
        """Keep files, by their sha256, that nobody writes to any more; they stay there, too.

        They are on the file system of the hub. An object that stands here already is read again,
        and is replaced where it was damaged: what is acknowledged is whole. Each file is on the
        disk before its object has a name, and every name is on the disk before this returns.
        """
        places = {digest: self.path(digest) for digest in files}
        missing = {
            place: files[digest] for digest, place in places.items() if not _sound(place, digest)
        }
        for file in missing.values():
            file.chmod(0o444)
        sync_all(missing.values())
        # Also what another process put here a moment ago, and has not synced yet.
        with suppress(FileNotFoundError):  # forgotten since; the transaction looks again
            sync_all(place for place in places.values() if place not in missing)
        for place, file in missing.items():
            self._place(file, place)
        self._settle({place.parent for place in places.values()})

    def located(self, file: StoredFile) -> Path:
        """Where to read a file; a hub that keeps it elsewhere fetches it first."""
        return self.path(file.digest)

    def fault(self, file: StoredFile) -> str:
        """Why an object is not what its name says; empty where it is."""
        digest = file.digest
        try:
            found, size = hash_file(self.path(digest))
        except FileNotFoundError:
            return f"the hub lacks its object {digest[:12]}."
        except (HubError, OSError) as error:
            return f"its object {digest[:12]} cannot be read: {error}"
        return "" if found == digest else f"its {size} bytes were altered: sha256 {found[:12]}."

    def copy(self, file: StoredFile, target: Path) -> None:
        """Copy an object to a new file; `Damaged` where it is missing or no longer has its hash."""
        digest = file.digest
        try:
            found, size = copy_hashed(self.path(digest), target)
        except FileNotFoundError as error:
            raise Damaged(f"the hub lacks its object {digest[:12]}.") from error
        except HubError as error:
            raise Damaged(f"the object {digest[:12]} is unsound: {error}") from error
        if found != digest:
            target.unlink()
            raise Damaged(
                f"the object {digest[:12]} of {size} bytes has the content of {found[:12]}: "
                f"{self.path(digest)} was altered."
            )

    def remove(self, digest: str) -> None:
        """Forget an object; one that is not here is no error."""
        self.path(digest).unlink(missing_ok=True)

    def has(self, digest: str) -> bool:
        """Whether an object of this name is here; its content is not read."""
        return self.path(digest).is_file()

    def _place(self, file: Path, place: Path) -> None:
        if place.parent.name not in self._settled:
            place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # a damaged object stands there, or the file system has no hard links
            self._replace(file, place)

    def _replace(self, file: Path, place: Path) -> None:
        self._settled.discard(place.parent.name)  # the hub may have been removed meanwhile
        place.parent.mkdir(parents=True, exist_ok=True)
        # Made beside the file, then moved: this replaces a damaged object in one step.
        spare = file.with_name(f"{file.name}.link")
        spare.unlink(missing_ok=True)
        try:
            os.link(file, spare)
        except OSError:
            copy_hashed(file, spare)
        os.replace(spare, place)

    def _settle(self, folders: Collection[Path]) -> None:
        """Wait until the names in these folders, and the folders' own names, are on the disk."""
        if {folder.name for folder in folders} <= self._settled:
            sync_folders(folders)
            return
        # Also those that another process made, and may not have synced yet.
        there = os.listdir(self.folder)
        sync_folders([*folders, self.folder])
        self._settled.update(there)


def _sound(place: Path, digest: str) -> bool:
    try:
        return hash_file(place)[0] == digest
    except (OSError, HubError):
        return False
