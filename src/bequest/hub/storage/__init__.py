"""Where a hub keeps files and records, and what every store answers."""

from bequest.hub.storage.folder.store import FolderStore
from bequest.hub.storage.schemes import STORES, Opener
from bequest.hub.storage.store import EntryRow, Mark, ParentCame, Row, Snapshot, Store

__all__ = [
    "STORES",
    "EntryRow",
    "FolderStore",
    "Mark",
    "Opener",
    "ParentCame",
    "Row",
    "Snapshot",
    "Store",
]
