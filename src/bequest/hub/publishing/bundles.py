"""One file that carries entries to another hub: a zip without compression, every byte hashed.

``bundle.json`` holds the records, parents first; ``objects/SHA256`` holds the files. Dates
and the order are fixed, so that the same entries give the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from bequest.errors import BequestError, Damaged, HubError
from bequest.frameworks.files.temporary import sibling
from bequest.hub.records.entry import Entry, StoredFile, read_entry
from bequest.hub.storage.files.objects import Files
from bequest.hub.storage.files.streams import opened, sync, sync_folder, write_hashed

__all__ = ["read_bundle", "write_bundle"]

FORMAT = 1
_CHUNK = 2**20
_LARGEST_LIST = 64 * 2**20  # bytes of bundle.json
_LARGEST_CARD = 16 * 2**20
_LIST = "bundle.json"
_OBJECT = re.compile(r"objects/([0-9a-f]{64})")
_ENCRYPTED = 0x1
_END = 22  # bytes of the record that ends a zip


def write_bundle(path: Path, entries: Sequence[Entry], objects: Files) -> None:
    """Write entries, parents first, and their files to a new file: it appears whole or not at all.

    `HubError` where it exists, or a stored file cannot be read or no longer has its hash; `OSError`
    where it cannot be written.
    """
    listed = [entry.to_dict() for entry in entries]
    text = json.dumps({"format": FORMAT, "entries": listed}, sort_keys=True, allow_nan=False)
    stored = {file.digest: file for entry in entries for file in entry.files.values()}
    work = sibling(path)
    try:
        with zipfile.ZipFile(work, "x", zipfile.ZIP_STORED) as archive:
            with archive.open(_info(_LIST), "w", force_zip64=True) as target:
                target.write(text.encode())
            for digest in sorted(stored):
                with archive.open(_info(f"objects/{digest}"), "w", force_zip64=True) as target:
                    _put(objects, stored[digest], target)
        sync(work)
        _name(work, path)
        sync_folder(path.parent)
    finally:
        work.unlink(missing_ok=True)


def read_bundle(path: Path, work: Path) -> tuple[Entry, ...]:
    """Check a bundle whole and lay its files into an empty folder, each named by its sha256.

    Nothing in it is believed: `HubError` where it is none, was altered or cut off, or holds more or
    less than it lists. The entries stand in its order, parents first.
    """
    if path.is_symlink() or not path.is_file():
        raise HubError(f"{path} is no file with a bundle.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_ends(path, archive)
            members = _members(archive, path.stat().st_size)
            entries = _entries(archive, members)
            stored = {file.digest: file for entry in entries for file in entry.files.values()}
            _check_sizes(members, stored)
            for digest in stored:
                _take(archive, members[f"objects/{digest}"], work / digest, digest)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise Damaged(f"{path} is no sound bundle: {error}.") from error
    for entry in entries:
        _check_card(entry, work)
    return entries


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # the same bytes from every platform
    info.external_attr = 0o100644 << 16
    return info


def _name(work: Path, path: Path) -> None:
    """Give a file its name, in the place of nothing that is there."""
    try:
        try:
            os.link(work, path)  # unlike a move, it never replaces
        except FileExistsError:
            raise
        except OSError:  # this file system has no hard links: what is replaced is our own
            path.open("xb").close()
            os.replace(work, path)
    except FileExistsError as error:
        raise HubError(f"{path} exists: it is left as it is.") from error


def _put(objects: Files, stored: StoredFile, target: IO[bytes]) -> None:
    if write_hashed(_parts(objects, stored), target) != stored.digest:
        raise Damaged(f"the object {stored.digest[:12]} was altered: no bundle was written.")


def _parts(objects: Files, stored: StoredFile) -> Iterator[bytes]:
    """What stands in an object; a fault is the hub's, whatever those of the bundle's own disk."""
    try:
        with opened(objects.located(stored)) as file:
            while part := file.read(_CHUNK):
                yield part
    except FileNotFoundError as error:
        raise Damaged(f"the hub lacks its object {stored.digest[:12]}.") from error
    except OSError as error:
        raise HubError(f"the hub's object {stored.digest[:12]} cannot be read: {error}.") from error


def _check_ends(path: Path, archive: zipfile.ZipFile) -> None:
    """A zip may stand in the midst of other bytes; a bundle is nothing else."""
    with path.open("rb") as file:
        file.seek(-_END, os.SEEK_END)
        ends = file.read(4) == b"PK\x05\x06" and not archive.comment
    begins = min((info.header_offset for info in archive.infolist()), default=0) == 0
    if not (ends and begins):
        raise Damaged("the bundle has other bytes before it or behind it.")


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename != _LIST and not _OBJECT.fullmatch(info.filename):
            raise HubError(f"the bundle holds {info.filename[:80]!a}, which no bundle holds.")
        if info.filename in members:
            raise HubError(f"the bundle holds {info.filename!a} twice.")
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not plain or info.flag_bits & _ENCRYPTED:
            raise HubError(f"the bundle holds {info.filename!a} packed: bundles are not.")
        members[info.filename] = info
    # Members that overlap declare more bytes than there are.
    declared = sum(info.file_size for info in members.values())
    if declared > size:
        raise HubError(f"the bundle declares {declared} bytes and has {size}.")
    if _LIST not in members or members[_LIST].file_size > _LARGEST_LIST:
        raise HubError(f"the file holds no {_LIST} of at most {_LARGEST_LIST} bytes: no bundle.")
    return members


def _entries(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> tuple[Entry, ...]:
    try:
        listed: Any = json.loads(archive.read(members[_LIST]))
        if listed["format"] != FORMAT:
            raise HubError(f"the bundle has format {listed['format']!a}, this one reads {FORMAT}.")
        entries = tuple(read_entry(values) for values in listed["entries"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, BequestError):
            raise
        raise Damaged(f"the bundle's list of entries is unsound: {error!r}.") from error
    if not entries or len({(e.name, e.version) for e in entries}) != len(entries):
        raise HubError("the bundle lists no entry, or one of them twice.")
    return entries


def _check_sizes(members: Mapping[str, zipfile.ZipInfo], stored: Mapping[str, StoredFile]) -> None:
    if set(members) != {_LIST, *(f"objects/{digest}" for digest in stored)}:
        raise HubError("the bundle holds more files, or fewer, than its entries list.")
    for digest, file in stored.items():
        if members[f"objects/{digest}"].file_size != file.size:
            raise HubError(f"the object {digest[:12]} in the bundle has not the size it lists.")


def _take(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, digest: str) -> None:
    with archive.open(info) as file, target.open("xb") as copy:
        found = write_hashed(iter(partial(file.read, _CHUNK), b""), copy)
    if found != digest:
        raise Damaged(f"the object {digest[:12]} in the bundle was altered.")


def _check_card(entry: Entry, work: Path) -> None:
    """The card that is shown must be the one in the folder, whose licence people read."""
    file = work / entry.files[entry.own("card.json")].digest
    try:
        small = file.stat().st_size <= _LARGEST_CARD
        card = json.loads(file.read_bytes()) if small else None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{entry} in the bundle has a card that is no JSON: {error}.") from error
    if card != json.loads(json.dumps(entry.card.to_dict())):
        raise HubError(f"{entry} in the bundle has another card than its folder.")
