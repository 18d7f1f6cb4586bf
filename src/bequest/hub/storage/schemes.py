"""Which store is at an address: a table of schemes that plug-ins add to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from bequest.core.plain_values import quoted
from bequest.core.registry import Registry
from bequest.core.validation import validate_path
from bequest.errors import HubError, UnknownName
from bequest.hub.storage.folder.store import FolderStore
from bequest.hub.storage.store import Store

__all__ = ["STORES", "Opener", "open_store"]

_LONGEST = 86400.0  # seconds


class Opener(Protocol):
    """What makes the store at an address; it need not ask the store anything yet."""

    def __call__(
        self, url: str, *, wait: float, cache: Path | None, storage: Mapping[str, Any]
    ) -> Store:
        """The store at `url`; the rest is as `bequest.hub.Hub` takes it.

        Raises
        ------
        HubError
            The address, or a setting, is not one of this scheme.
        """


_HERE = "bequest.hub.storage.object_storage.schemes"
STORES: Registry[Opener] = Registry(
    "store",
    {name: f"{_HERE}:open_{name}" for name in ("s3", "gs", "az", "file")},
    group="bequest.stores",
    of=Callable,  # type: ignore[arg-type]  # mypy wants a class; isinstance takes this, too
)


def open_store(
    place: str | Path,
    wait: float,
    cache: str | Path | None = None,
    storage: Mapping[str, Any] | None = None,
) -> Store:
    """The store in a folder, or at an address.

    Raises
    ------
    HubError
        There is no such scheme, it is a file, or a setting is not one.
    """
    known = isinstance(wait, int | float) and not isinstance(wait, bool)
    if not known or not 0 <= wait <= _LONGEST:
        raise HubError(f"wait is in seconds, from 0 to {_LONGEST:.0f}; not {quoted(wait)}.")
    if storage is not None and not isinstance(storage, Mapping):
        raise HubError(f"storage holds settings by name, it is no {type(storage).__name__}.")
    if isinstance(place, str) and "://" in place:
        folder = None if cache is None else _folder(cache, "a cache")
        return _opener_of(place)(place, wait=wait, cache=folder, storage=storage or {})
    if re.match(r"[a-z0-9]+:/[^/]", str(place)) and not isinstance(place, str):
        raise HubError(f"{place} was an address: give it as text, a Path loses one of its slashes.")
    if cache is not None or storage:
        raise HubError(f"{place} is a folder: cache and storage are for object storage.")
    return FolderStore(_folder(place, "a hub"), wait)


def _opener_of(url: str) -> Opener:
    try:
        return STORES[url.partition("://")[0].lower()]
    except UnknownName as error:
        raise HubError(
            f"{url[:80]!a} is not the address of a hub: {error} Without ://, it is a folder."
        ) from error


def _folder(place: str | Path, what: str) -> Path:
    folder = validate_path(place, what, HubError)
    try:
        folder = folder.expanduser()
        if folder.exists() and not folder.is_dir():
            raise HubError(f"{folder} is a file; {what} is a folder.")
    except (OSError, RuntimeError) as error:  # a name too long, a user that nobody knows
        reason = getattr(error, "strerror", None) or f"{error}"
        raise HubError(
            f"{what} cannot be at {quoted(str(place))}: {reason.rstrip('.')}."
        ) from error
    return folder
