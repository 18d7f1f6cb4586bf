"""What is wrong in a hub: files, rows and claims of descent that do not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

from bequest.errors import Damaged
from bequest.hub.lineage.tree import Shelf, trace
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry
from bequest.hub.storage.files.objects import Files

__all__ = ["Finding", "findings"]


@final
@dataclass(frozen=True)
class Finding:
    """One thing that does not hold, or cannot be told.

    Parameters
    ----------
    subject : str
        ``name@version``, or ``registry``.
    about : str
        ``file``, ``row`` or ``lineage``.
    wrong : bool
        False where it could not be told, as of a parent that is not in the hub.
    message : str
        One line.
    """

    subject: str
    about: str
    wrong: bool
    message: str

    def __str__(self) -> str:
        return (
            f"{self.subject}: {self.about} {'WRONG' if self.wrong else 'not told'}: {self.message}"
        )


def findings(
    shelf: Shelf,
    objects: Files,
    entries: Iterable[Entry | Damaged],
    keep: Callable[[Sequence[Edge]], None],
    modules: Sequence[type] = (),
) -> Iterator[Finding]:
    """Check every file's hash, every row's seal and every claimed parent of a hub.

    `entries` are the rows of its registry; `keep` is told what the weights say of each entry's
    claimed parents. Only what is wrong or cannot be told is given.
    """
    sound: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, Damaged):
            yield Finding("registry", "row", True, str(entry))
            continue
        broken = False
        for path, file in entry.files.items():
            if file.digest not in sound:
                sound[file.digest] = objects.fault(file)
            if sound[file.digest]:
                broken = True
                yield Finding(str(entry), "file", True, f"{path}: {sound[file.digest]}")
        if not broken:
            edges = trace(shelf, entry, modules=modules, deep=False).edges
            keep(edges)
            for edge in edges:
                if not edge.verified:
                    yield Finding(str(entry), "lineage", edge.verified is False, str(edge))
