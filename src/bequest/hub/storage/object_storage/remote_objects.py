"""Objects that stand in a bucket: kept there before they count, fetched when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, final

from bequest.errors import Damaged, HubError
from bequest.hub.records.entry import StoredFile
from bequest.hub.storage.files.streams import write_hashed
from bequest.hub.storage.folder.store import FolderStore
from bequest.hub.storage.object_storage.bucket import PART, Bucket

__all__ = ["FetchedObjects"]


@final
class FetchedObjects:
    """Files under their sha256 in a bucket, and those that were read in the store of a cache."""

    def __init__(self, bucket: Bucket, cache: FolderStore) -> None:
        self._bucket = bucket
        self._cache = cache
        self._kept = cache.objects

    def located(self, file: StoredFile) -> Path:
        """Where to read a file, fetched first; `Damaged` where the bucket lacks or altered it."""
        if not self._kept.has(file.digest):
            self._fetch(file)
        return self._kept.path(file.digest)

    def copy(self, file: StoredFile, target: Path) -> None:
        """Copy a file to a new one, checked; a copy that was damaged here is fetched again."""
        self.located(file)
        try:
            self._kept.copy(file, target)
        except Damaged:
            self._kept.remove(file.digest)
            self._fetch(file)
            self._kept.copy(file, target)

    def keep(self, files: Mapping[str, Path]) -> None:
        """Send files to the bucket, named by their sha256; they are there when this returns.

        One that stands there already is replaced, unless it is large: then it is read again, and
        replaced where it was damaged.
        """
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._send, files, files.values()))

    def fault(self, file: StoredFile) -> str:
        """Why the object in the bucket is not what its name says; empty where it is."""
        try:
            found = self._hash(file)
        except HubError as error:
            return f"its object {file.digest[:12]} cannot be read: {error}"
        if found == file.digest:
            return ""
        return f"its {file.size} bytes were altered in the bucket: sha256 {found[:12]}."

    def _send(self, digest: str, path: Path) -> None:
        file, key = StoredFile(digest, path.stat().st_size), _key(digest)
        if file.size <= PART or self._bucket.size(key) != file.size or self.fault(file):
            self._bucket.upload(path, key)

    def _fetch(self, file: StoredFile) -> None:
        with self._cache.staging() as work:
            fetched = work / file.digest
            with fetched.open("xb") as target:
                found = self._hash(file, target)
            if found != file.digest:
                raise Damaged(
                    f"the object {file.digest[:12]} in {self._bucket.url} has the content of "
                    f"{found[:12]}: it was altered."
                )
            self._kept.add_all({file.digest: fetched})

    def _hash(self, file: StoredFile, target: BinaryIO | None = None) -> str:
        return write_hashed(self._bucket.parts(_key(file.digest), file.size), target)


def _key(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest[2:]}"
