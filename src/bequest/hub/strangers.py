"""An entry that somebody else wrote down: read from plain values, nothing of it believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bequest.errors import HubError
from bequest.hub.entry import Entry
from bequest.hub.licences import checked_licence
from bequest.hub.names import checked_name

__all__ = ["read_entry"]


def read_entry(values: Mapping[str, Any]) -> Entry:
    """The entry that `Entry.to_dict` described, with a name, version and licence as ours are.

    Raises
    ------
    HubError
        It is no entry, or no hub would have taken it.
    AttributeError, KeyError, TypeError, ValueError
        The values are of another shape.
    """
    entry = Entry.from_dict(values)
    checked_name(entry.name)
    checked_licence(entry.licence)
    if type(entry.version) is not int or not 0 < entry.version < 10**9:
        raise HubError(f"{entry.version!a} is no version: versions are whole numbers from 1.")
    if not {"config.json", "card.json"} <= set(entry.files):
        raise HubError(f"{entry} is no model folder.")
    return entry
