"""The log of a hub on object storage: numbered records that are written once and never changed.

``log/0000000001`` and so on: the sha256 of what follows on the first line, then JSON. Every record
names the hash of the one before it, so that none can be changed, left out or put in unnoticed. To
publish is to be the one who creates the next number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from bequest.core import Card, Outcome
from bequest.errors import BequestError, Damaged, DataError, HubError, ModelError
from bequest.hub.records.entry import Entry, read_entry
from bequest.hub.storage.object_storage.bucket import Bucket, Stored

__all__ = ["Log", "Position", "Record"]

logger = logging.getLogger(__name__)

FORMAT = 1
_LARGEST = 16 * 2**20  # bytes of a record
_TOGETHER = 32 * 2**20  # bytes, and
_AT_ONCE = 256  # records, that are fetched before any of them is read


@final
@dataclass(frozen=True)
class Position:
    """How far somebody has read the log."""

    number: int = 0  # of the last record; 0 where there is none yet
    seal: str = ""  # its hash
    tag: str = ""  # what the store called its content; another one where it was written again


@final
@dataclass(frozen=True)
class Record:
    """What happened at once: entries, or an outcome as JSON."""

    position: Position  # where a reader stands who has read it
    entries: tuple[Entry, ...] = ()
    outcomes: tuple[str, ...] = ()


@final
class Log:
    """The records of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def after(self, position: Position) -> Iterator[tuple[Record, ...]]:
        """What was appended since, in order, as it is fetched; nothing of it is believed.

        Also a record without content, where the store calls the last one by another tag. `Damaged`
        where one is missing, was altered or describes no entry; `HubError` where a newer version
        wrote it.
        """
        with ThreadPoolExecutor(32) as pool:  # each waits for the network
            for batch in _batches(self._listed(position)):
                records: list[Record] = []
                for stored, content in zip(batch, pool.map(self._content, batch), strict=True):
                    records.append(self._read(stored, content, position))
                    position = records[-1].position
                yield tuple(records)

    def append(
        self, position: Position, entries: Sequence[Entry], outcomes: Sequence[str] = ()
    ) -> Record | None:
        """Write the record behind a position; None where somebody else has written it first."""
        number = position.number + 1
        said = {
            "format": FORMAT,
            "number": number,
            "before": position.seal,
            "writer": secrets.token_hex(16),  # two never write the same bytes
            "entries": [entry.to_dict() for entry in entries],
            "outcomes": list(outcomes),
        }
        body = json.dumps(said, allow_nan=False).encode()
        seal = _sha256(body)
        content = f"{seal}\n".encode() + body
        if len(content) > _LARGEST:
            raise HubError(
                f"what is to be published takes {len(content)} bytes in the log, {_LARGEST} are "
                f"the most: shorten the cards."
            )
        made = self._create(_key(number), content)
        if made is None:
            return None
        return Record(Position(number, seal, made.tag), tuple(entries), tuple(outcomes))

    def check(self, position: Position) -> None:
        """Read all of it again, and raise `Damaged` where it is not what was read before."""
        for records in self.after(Position()):
            for here in (record.position for record in records):
                if here.number == position.number and here.seal != position.seal:
                    raise self._altered(position.number)

    def _create(self, key: str, content: bytes) -> Stored | None:
        try:
            return self._bucket.create(key, content)
        except HubError:
            # Without an answer nobody knows whether it was written: look, and else say the fault.
            with suppress(HubError):
                if made := self._bucket.wrote(key, content):
                    return made
            raise

    def _listed(self, position: Position) -> Iterator[Stored]:
        """Records behind a position; first the last one that was read, where it looks changed."""
        number = max(position.number, 1)
        for stored in self._bucket.listed("log", _key(number - 1)):
            if stored.key != _key(number):
                raise Damaged(
                    f"the log of {self._bucket.url} lacks its record {number}: where it should be "
                    f"stands {stored.key[:80]!a}."
                )
            if stored.size > _LARGEST:
                raise Damaged(
                    f"record {number} of {self._bucket.url} has {stored.size} bytes, {_LARGEST} "
                    f"are the most: it is not read."
                )
            if number > position.number or stored.tag != position.tag:
                yield stored
            number += 1
        if number == position.number:
            raise self._altered(number)

    def _content(self, stored: Stored) -> bytes:
        content = self._bucket.read(stored.key, _LARGEST)
        if content is None:
            raise Damaged(f"{self._bucket.url} lists {stored.key} and lacks it.")
        return content

    def _read(self, stored: Stored, content: bytes, before: Position) -> Record:
        if stored.key != _key(before.number):
            return _parsed(content, before, stored.tag)
        # The last one that was read here looks as if it was written again: is it the same?
        seal, _, body = content.partition(b"\n")
        if seal.decode("ascii", "replace") != before.seal or _sha256(body) != before.seal:
            raise self._altered(before.number)
        return Record(Position(before.number, before.seal, stored.tag))

    def _altered(self, number: int) -> Damaged:
        return Damaged(
            f"record {number} of {self._bucket.url} is gone or is another than was read here "
            f"before: its log was altered, or the hub was made anew (then delete this cache)."
        )


def _parsed(content: bytes, before: Position, tag: str) -> Record:
    number = before.number + 1
    seal, _, body = content.partition(b"\n")
    if seal != _sha256(body).encode():
        raise Damaged(f"record {number} of the log was altered.")
    try:
        said: dict[str, Any] = json.loads(body)
        if said["format"] != FORMAT:
            raise HubError(
                f"the hub's log has format {said['format']!a:.20}, this version reads {FORMAT}: "
                f"upgrade bequest."
            )
        if (said["number"], said["before"]) != (number, before.seal):
            raise Damaged(f"record {number} of the log does not follow the one before it.")
        entries = tuple(filter(None, (_entry(number, values) for values in said["entries"])))
        outcomes = tuple(text for text in said["outcomes"] if _sound(number, text))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, HubError):
            raise
        raise Damaged(f"record {number} of the log is unsound: {_short(error)}") from error
    except HubError as error:
        raise type(error)(f"record {number} of the log: {_short(error)}") from error
    return Record(Position(number, seal.decode(), tag), entries, outcomes)


def _entry(number: int, values: Any) -> Entry | None:
    """The entry, or None where its card is unsound: older versions took in such cards."""
    try:
        return read_entry(values)
    except Damaged as error:
        if _has_a_sound_card(values):
            raise
        logger.warning("an entry in record %d of the log is left out: %s", number, _short(error))
        return None


def _has_a_sound_card(values: Any) -> bool:
    try:
        Card.from_dict(values["card"])
    except ModelError:
        return False
    return True


def _sound(number: int, text: str) -> bool:
    """Whether it is an outcome; the log names one that is none, which keeps nobody from the rest.

    `TypeError` where it is not even text: no version of ours wrote this record.
    """
    try:
        Outcome.from_json(text)
    except DataError as error:
        if not isinstance(text, str):
            raise TypeError("an outcome is text") from error
        logger.warning("an outcome in record %d of the log is left out: %s", number, _short(error))
        return False
    return True


def _batches(listed: Iterable[Stored]) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    for stored in listed:
        if batch and (
            len(batch) == _AT_ONCE or sum(one.size for one in batch) + stored.size > _TOGETHER
        ):
            yield batch
            batch = []
        batch.append(stored)
    if batch:
        yield batch


def _key(number: int) -> str:
    return f"log/{number:010d}"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _short(error: BequestError | Exception) -> str:
    said = f"{error}" if isinstance(error, BequestError) else repr(error)
    said = "".join(sign if sign.isprintable() else " " for sign in said)
    return said if len(said) <= 300 else f"{said[:297]}..."
