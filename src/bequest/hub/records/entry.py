"""One entry of a hub: a name, a version, and the content address of a model folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, final

from bequest.core import Card
from bequest.core.records import Record, read
from bequest.errors import Damaged, DataError, HubError
from bequest.frameworks.files.folder import OWN
from bequest.hub.records.licences import checked_licence
from bequest.hub.records.names import checked_name

__all__ = ["Entry", "StoredFile", "manifest_digest", "read_entry"]

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")


@final
@dataclass(frozen=True)
class StoredFile(Record):
    """One file of an entry.

    Parameters
    ----------
    digest : str
        Its sha256, 64 hex digits: where the hub keeps it.
    size : int
        Bytes.
    """

    digest: str
    size: int

    def __post_init__(self) -> None:
        # The digest becomes a path in the hub, and a registry may come from somebody else.
        if not re.fullmatch(r"[0-9a-f]{64}", self.digest):
            raise Damaged(f"{self.digest!a:.80} is no sha256.")
        if type(self.size) is not int or self.size < 0:
            raise Damaged(f"{self.size!a:.80} is no number of bytes.")


@final
@dataclass(frozen=True)
class Entry(Record):
    """One version of one name in a hub; it prints as ``name@version``.

    Parameters
    ----------
    name : str
    version : int
        From 1, counted up with every publication under this name.
    digest : str
        Content address of the model folder: a sha256 over the paths and digests of its files,
        64 hex digits. Two entries with one digest hold the same model with the same card.
    published : str
        When, UTC, ISO 8601.
    card : Card
        What the model says of itself, with its licence and parents.
    files : mapping of str to StoredFile
        Path inside of the model folder to what is stored.
    """

    versioned: ClassVar[bool] = True

    name: str
    version: int
    digest: str
    published: str
    card: Card = field(repr=False)
    files: Mapping[str, StoredFile] = field(repr=False)

    @property
    def licence(self) -> str:
        """Its SPDX identifier."""
        return self.card.licence

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files.values())

    def own(self, name: str) -> str:
        """The path of its config or card, which lie in a folder inside of files that were kept."""
        return f"{OWN}/{name}" if f"{OWN}/config.json" in self.files else name

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Entry:
        """The entry that `to_dict` described.

        Raises
        ------
        Damaged
            The values describe no entry, or its digest is not that of its files.
        """
        try:
            entry = read(cls, values)
        except DataError as error:
            raise Damaged(f"the registry holds something that is no entry: {error}.") from error
        for path in entry.files:
            _check_inside(path)
        if not _is_time(entry.published):
            raise Damaged(f"nothing says when {entry.name!a:.140} was published: no ISO 8601 time.")
        if manifest_digest(entry.files) != entry.digest:
            raise Damaged(f"the files of {entry} no longer match its digest {entry.digest[:12]}.")
        return entry


def read_entry(values: Mapping[str, Any]) -> Entry:
    """The entry that somebody else wrote down: nothing of it is believed.

    `HubError` where it is no entry or no hub would have taken it; values of another shape raise as
    they do.
    """
    entry = Entry.from_dict(values)
    checked_name(entry.name)
    checked_licence(entry.licence)
    if type(entry.version) is not int or not 0 < entry.version < 10**9:
        raise HubError(f"{entry.version!a} is no version: versions are whole numbers from 1.")
    if not {entry.own("config.json"), entry.own("card.json")} <= set(entry.files):
        raise HubError(f"{entry} is no model folder.")
    return entry


def _is_time(text: Any) -> bool:
    # A fixed shape, too: Python takes any character between date and time.
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_inside(path: str) -> None:
    """Raise `Damaged` where the path of a file would lead out of a folder on any platform."""
    parts = path.split("/")
    if "\\" in path or ":" in path or not all(parts) or {".", ".."} & set(parts):
        raise Damaged(f"the registry names a file outside of the model folder: {path!a:.80}.")
    if re.search(r"[\x00-\x1f\ud800-\udfff]", path):
        raise Damaged(f"the registry names a file as no file is named: {path!a:.80}.")


def manifest_digest(files: Mapping[str, StoredFile]) -> str:
    """Content address of a set of files: a sha256 over their sorted paths and digests.

    Examples
    --------
    >>> first, second = StoredFile("0f" * 32, 1), StoredFile("f0" * 32, 2)
    >>> one = manifest_digest({"a": first, "b": second})
    >>> two = manifest_digest({"b": second, "a": first})
    >>> one == two, len(one)
    (True, 64)
    """
    listed = json.dumps({path: files[path].digest for path in sorted(files)}, ensure_ascii=True)
    return hashlib.sha256(listed.encode()).hexdigest()
