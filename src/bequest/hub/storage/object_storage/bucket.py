"""A bucket of an object store: bytes under keys, and keys that exactly one of many can make."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, final
from urllib.parse import urlsplit

from bequest.errors import Damaged, HubError
from bequest.optional import need

__all__ = ["Bucket", "Stored"]

PART = 8 * 2**20  # bytes that are sent or fetched at once
_PARTS = 9_000  # a store takes 10,000 at most
_PROBE = "conditional"
_PROCESSES: set[int] = set()  # that have used the library: this one, or one it was forked from
_OF_THE_CLIENT = frozenset(
    {"connect_timeout", "proxy_url", "read_timeout", "root_certificate", "timeout"}
)
_CLIENT = {
    "allow_http": True,  # only where the endpoint that was given says so
    "connect_timeout": "5s",
    "read_timeout": "30s",
    "timeout": "10min",  # of one part; a connection that is stuck ends by the other two
}
_PATIENCE = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
# What stands in an error where credentials were looked for last: the address at which machines in
# a cloud ask for theirs, or that there are none.
_NO_CREDENTIALS = ("169.254.169.254", "CredentialsProvider", "Account must be specified")
_SEGMENT = re.compile(r"[A-Za-z0-9._~=-]+")


@final
@dataclass(frozen=True)
class Stored:
    """What stands under a key."""

    key: str
    size: int  # bytes
    tag: str  # another one where it was written again


@final
class Bucket:
    """All that is asked of an object store; what goes wrong there is told in one line.

    The address is ``s3://bucket/prefix`` or one of another store that obstore knows, and its bucket
    must be there; `storage` holds settings of obstore, such as ``endpoint``, beside those in the
    environment; `credentials` says what to do where there are none.
    """

    def __init__(
        self, url: str, storage: Mapping[str, Any] | None = None, credentials: str = ""
    ) -> None:
        self.url = _checked(url)
        self._credentials = credentials
        self._storage = dict(storage or {})
        self._opened: Any = None
        self._trusted = False

    def create(self, key: str, content: bytes) -> Stored | None:
        """Write under a key that nobody has written to yet; None where somebody has.

        The content must be like nobody else's: an answer can be lost, and the same request that
        is sent again finds what it has written itself.
        """
        library = _library()
        with self._told("written"):
            try:
                made = library.put(self._store, key, content, mode="create", use_multipart=False)
            except library.exceptions.AlreadyExistsError:
                return self.wrote(key, content)
        return Stored(key, len(content), str(made["e_tag"] or ""))

    def wrote(self, key: str, content: bytes) -> Stored | None:
        """What stands under a key, if it is this content."""
        found = self._get(key)
        if found is None or found.meta["size"] != len(content):
            return None
        with self._told("read"):
            same = bytes(found.bytes()) == content
        return _stored(found.meta) if same else None

    def require_one_winner(self) -> None:
        """Raise `HubError` where the store writes over a key that is there already, though told
        not to: two could publish the same version."""
        if self._trusted:
            return
        if self.create(_PROBE, _unlike_others()) and self.create(_PROBE, _unlike_others()):
            raise HubError(
                f"the store of {self.url} does not keep to conditional writes (If-None-Match): two "
                f"could publish the same version. Nothing was published."
            )
        self._trusted = True

    def read(self, key: str, at_most: int) -> bytes | None:
        """The content under a key, or None; `Damaged` and not read where it is longer than told."""
        found = self._get(key)
        if found is None:
            return None
        size = found.meta["size"]
        if size > at_most:
            raise Damaged(f"{key[:80]} has {size} bytes, {at_most} are the most: it is not read.")
        with self._told("read"):
            return bytes(found.bytes())

    def parts(self, key: str, size: int) -> Iterator[bytes]:
        """The content under a key, part by part; `Damaged` where it is not there in this size."""
        for start in range(0, max(size, 1), PART):
            wanted = {"range": (start, min(start + PART, size))} if size > PART else None
            found = self._get(key, wanted)
            if found is None:
                raise Damaged(f"{self.url} lacks {key[:80]}.")
            if found.meta["size"] != size:
                raise Damaged(
                    f"{key[:80]} in {self.url} has {found.meta['size']} bytes, not {size}."
                )
            with self._told("read"):
                content = bytes(found.bytes())
            yield content

    def listed(self, folder: str, after: str) -> Iterator[Stored]:
        """What stands in a folder behind a key, in the order of the keys."""
        # A file system lists in no order, so it is sorted whole; a store sends sorted pages.
        page = 1_000_000 if self.url.startswith("file:") else 1_000
        with self._told("read"):
            for found in _library().list(self._store, folder, offset=after, chunk_size=page):
                stored = (_stored(meta) for meta in found)
                yield from sorted(stored, key=lambda one: one.key)

    def size(self, key: str) -> int | None:
        """Bytes under a key; None where there is nothing."""
        with self._told("read"):
            try:
                return int(_library().head(self._store, key)["size"])
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def upload(self, file: Path, key: str) -> None:
        """Write a file under a key, in parts; it appears whole or not at all."""
        part = max(PART, file.stat().st_size // _PARTS)
        with self._told("written"):
            _library().put(self._store, key, file, chunk_size=part, max_concurrency=2)

    @property
    def _store(self) -> Any:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> Any:
        stores = need("obstore.store", extra="s3", purpose="a hub on object storage")
        if self.url.startswith("file:"):
            return stores.from_url(self.url)
        client = {key: self._storage[key] for key in _OF_THE_CLIENT & self._storage.keys()}
        config = {key: self._storage[key] for key in self._storage.keys() - _OF_THE_CLIENT}
        return stores.from_url(
            self.url, client_options={**_CLIENT, **client}, retry_config=_PATIENCE, **config
        )

    def _get(self, key: str, options: Mapping[str, Any] | None = None) -> Any:
        with self._told("read"):
            try:
                return _library().get(self._store, key, options=options)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        library = _library()
        try:
            yield
        except (library.exceptions.BaseError, OSError, TypeError, ValueError) as error:
            raise HubError(_line(self.url, doing, error, self._credentials)) from error


def _library() -> Any:
    if _PROCESSES and os.getpid() not in _PROCESSES:
        raise HubError(
            "a hub on object storage was used before this process was forked, and its connections "
            "stayed there. Start processes by spawn, or ask the hub in the first one."
        )
    _PROCESSES.add(os.getpid())
    need("obstore.exceptions", extra="s3", purpose="a hub on object storage")
    return need("obstore", extra="s3", purpose="a hub on object storage")


def _checked(url: str) -> str:
    """The address, without a slash at its end."""
    try:
        said = urlsplit(url)
    except ValueError as error:
        raise HubError(f"{url[:80]!a} is no address: {error}.") from error
    if said.scheme == "file":
        sound = not said.netloc and len(said.path) > 1
    else:
        path = said.path.removeprefix("/").removesuffix("/")
        parts = [said.netloc, *(path.split("/") if path else ())]
        sound = all(_SEGMENT.fullmatch(part) and part.strip(".") for part in parts)
    if not sound or said.query or said.fragment:
        raise HubError(
            f"{url[:80]!a} is no address of a hub: write {said.scheme}://BUCKET/PREFIX, of "
            f"letters, digits and '-_.=~'; credentials belong into the environment."
        )
    return url.removesuffix("/")


def _stored(meta: Mapping[str, Any]) -> Stored:
    tag = meta["e_tag"] or f"{meta['last_modified']} {meta['size']}"
    return Stored(str(meta["path"]), int(meta["size"]), str(tag))


def _unlike_others() -> bytes:
    return secrets.token_hex(16).encode()


def _line(url: str, doing: str, error: Exception, credentials: str) -> str:
    text = str(error)
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    status = re.search(r"status code: (\d{3})", text)
    why = code[1] if code else f"status {status[1]}" if status else text.splitlines()[0][:200]
    why = why.rstrip(".")
    kind = type(error).__name__
    if "NoSuchBucket" in text or "Unable to canonicalize filesystem root" in text:
        return f"there is no bucket or folder for the hub {url}: make it first."
    if any(sign in text for sign in _NO_CREDENTIALS):
        return f"no credentials for the hub {url}: {credentials}, or give storage={{...}}."
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or (
        status and status[1] in ("401", "403")
    ):
        return f"the hub {url} may not be {doing} with these credentials ({why})."
    if "error sending request" in text or "timed out" in text or "timeout" in text.lower():
        return f"the hub {url} cannot be reached: no answer from its store, tried for a while."
    return f"the hub {url} could not be {doing}: {why}."
