"""Where a hub keeps what it was given: files under their hashes, records in the registry."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import final

from bequest.core import Card, Outcome
from bequest.errors import Damaged, HubError
from bequest.frameworks.files.folder import unsynced
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry, StoredFile
from bequest.hub.storage.files.faults import told
from bequest.hub.storage.files.objects import Files, Objects
from bequest.hub.storage.files.staging import abandoned, staging
from bequest.hub.storage.files.streams import hash_file, sync_folder
from bequest.hub.storage.folder.entering import enter_new, entered
from bequest.hub.storage.folder.findings import save_findings
from bequest.hub.storage.folder.registry import Records, identity
from bequest.hub.storage.folder.rows import Rows

__all__ = ["FolderStore", "copy_files", "hashed"]

_SWEEP = 300.0  # seconds between two looks at what killed processes left


@final
class FolderStore:
    """A store in a folder: objects, a registry, and the transactions that keep the two in step.

    It is made by the first write; `wait` is in seconds, for another process that is writing.
    """

    def __init__(self, folder: Path, wait: float) -> None:
        self.folder = folder
        self.wait = wait
        self.objects = Objects(folder / "objects")
        self.records = Records(folder / "registry.sqlite", wait)
        self._swept = -_SWEEP
        self._founded: tuple[int, int] | None = None

    @property
    def exists(self) -> bool:
        """As in `Store`."""
        return self.records.path.exists()

    @contextmanager
    def snapshot(self, *, fresh: bool = True) -> Iterator[Rows]:
        """As in `Store`; it is always fresh."""
        with ExitStack() as stack:
            with told(self.folder):
                db = stack.enter_context(self.records.reading())
            yield Rows(db, self.folder)

    @contextmanager
    def writing(self) -> Iterator[Rows]:
        """One transaction: all that is done in it is there at its end, or nothing is."""
        with told(self.folder), self.records.writing() as db:
            yield Rows(db, self.folder)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """As in `Store`."""
        self._refuse_other_folder()
        with told(self.folder), unsynced():
            self._found()
            if time.monotonic() - self._swept > _SWEEP:
                self._sweep()
                self._swept = time.monotonic()
            with staging(self.folder) as work:
                yield work

    def enter(self, staged: Path, name: str, card: Card, expect: int | None) -> Entry:
        """As in `Store`."""
        paths, files = hashed(staged)
        with self._kept(paths) as rows:
            return entered(rows, name, card, files, expect)

    def take_in(self, work: Path, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """As in `Store`."""
        digests = sorted({file.digest for entry in entries for file in entry.files.values()})
        with self._kept({digest: work / digest for digest in digests}) as rows:
            return enter_new(rows, entries)

    def record(self, outcome: Outcome) -> str:
        """As in `Store`."""
        self._refuse_other_folder()
        with told(self.folder):
            self._found()
            with self.writing() as rows:
                return rows.record(outcome.to_json())

    def save_findings(self, edges: Iterable[Edge]) -> None:
        """As in `Store`."""
        with told(self.folder):
            save_findings(self.records, edges)

    def problems(self, name: str | None = None) -> tuple[Damaged, ...]:
        """As in `Store`."""
        with self.snapshot() as state:
            return tuple(Damaged(line) for line in state.problems(name))

    def copy(self, entry: Entry, place: Path) -> None:
        """As in `Store`."""
        with told(self.folder, place.parent):
            copy_files(self.objects, entry, place)

    def _found(self) -> None:
        """Make the hub where there is none yet, and wait until its own name is on the disk."""
        if self._founded is not None and self._founded == identity(self.folder):
            self.records.create()
            return
        made = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.records.create()  # first: by this file a hub is known
        self.objects.folder.mkdir(exist_ok=True)
        sync_folder(self.folder)
        # Also where another process has just made it.
        for place in dict.fromkeys([self.folder.parent, *(place.parent for place in made)]):
            with suppress(PermissionError):  # a folder of somebody else's: it stood there before
                sync_folder(place)
        self._founded = identity(self.folder)

    @contextmanager
    def _kept(self, files: Mapping[str, Path]) -> Iterator[Rows]:
        """A transaction whose objects stand before it and are forgotten where it fails."""
        try:
            self.objects.add_all(files)
            with self.writing() as rows:
                # Another process may have forgotten an object that nothing used; none can now.
                for digest, path in files.items():
                    if not self.objects.has(digest):
                        self.objects.add_all({digest: path})
                yield rows
        except BaseException:
            with suppress(OSError, HubError):  # the first fault is the one to tell
                self._forget(files)
            raise

    def _forget(self, digests: Collection[str]) -> None:
        with self.writing() as rows:
            for digest in digests:
                if not rows.uses(digest):
                    self.objects.remove(digest)

    def _sweep(self) -> None:
        for work in abandoned(self.folder):
            try:
                digests = {hash_file(path)[0] for path in work.rglob("*") if path.is_file()}
            except FileNotFoundError:  # another process is sweeping it
                continue
            # Its owner was killed, perhaps after its objects stood and before an entry used them.
            self._forget(digests)
            shutil.rmtree(work, ignore_errors=True)

    def _refuse_other_folder(self) -> None:
        if self.exists or not self.folder.is_dir():
            return
        names = {path.name for path in self.folder.iterdir()}
        if self.records.path.exists():  # another thread or process has just made it
            return
        if "registry.tip" in names:
            raise Damaged(
                f"the hub {self.folder} lacks its registry.sqlite: put back a copy of it."
            )
        log = self.records.path.with_name("registry.sqlite-wal")
        # Power may have gone while it was made: some of its names are there, not all.
        begun = {"tmp", "objects", "registry.sqlite-shm"}
        if names - begun - ({log.name} if log.exists() and not log.stat().st_size else set()):
            raise HubError(f"{self.folder} holds other things and no hub: it is left as it is.")


def copy_files(objects: Files, entry: Entry, place: Path) -> None:
    """Copy the files of an entry to a new folder, each checked against its hash."""
    place.mkdir()
    for path, file in entry.files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        objects.copy(file, place / path)


def hashed(staged: Path) -> tuple[dict[str, Path], dict[str, StoredFile]]:
    """The files of a folder: where each digest stands, and what stands under each path."""
    found = {p.relative_to(staged).as_posix(): p for p in staged.rglob("*") if p.is_file()}
    files = {inside: StoredFile(*hash_file(found[inside])) for inside in sorted(found)}
    return {file.digest: found[inside] for inside, file in files.items()}, files
