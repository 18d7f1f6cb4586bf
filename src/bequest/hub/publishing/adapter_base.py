"""The base of a published adapter: found by what it is, not by what it is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bequest.core import Model
from bequest.errors import BequestError, Damaged, HubError
from bequest.frameworks.files.folder import is_peft
from bequest.hub.records.entry import Entry, StoredFile
from bequest.hub.storage.files.objects import Files
from bequest.hub.storage.files.streams import read_small

__all__ = ["find_base"]

_LARGEST_CONFIG = 16 * 2**20  # bytes


def find_base(
    folder: Path,
    entries: Callable[[], Iterable[Entry]],
    objects: Files,
    pull: Callable[[Entry], Model],
) -> Model | None:
    """The published model that the adapter in a folder was made on; None where there is none.

    `entries` gives every version of every entry, and is asked only where the folder holds an
    adapter.
    """
    named = _json(folder / "adapter_config.json").get("base_model_name_or_path")
    if isinstance(named, str) and is_peft(folder):
        # peft knows no content address: the adapter names its base, and has its layers or not
        called = [entry for entry in entries() if _is_called(entry, named)]
        return next(filter(None, map(partial(_pulled, pull), reversed(called))), None)
    config = _json(folder / "config.json")
    if config.get("kind") != "adapter" or not isinstance(config.get("base"), dict):
        return None
    address, name = config["base"].get("address"), config["base"].get("name")
    # Those under the base's own name, with or without a version, before all others; newest first.
    likely = sorted(entries(), key=lambda entry: str(name) in (entry.name, str(entry)))
    for entry in reversed(likely):
        # An adapter stands on an ordinary network. One that says that it is the base itself, or
        # that another adapter is, would be looked for without end.
        file = entry.files.get(entry.own("config.json"))
        # What an entry says of itself is a hint: loading the adapter computes the address again.
        if file is None or not address or _stated(_kept(objects, file)) != address:
            continue
        if (found := _pulled(pull, entry)) is not None:
            return found
    return None


def _pulled(pull: Callable[[Entry], Model], entry: Entry) -> Model | None:
    try:
        return pull(entry)
    except BequestError:
        return None


def _is_called(entry: Entry, named: str) -> bool:
    """Whether an entry is called so, or is a model of that name on the Hugging Face Hub."""
    names = [name.partition("@")[0] for name in (str(entry), *entry.card.parents[:1])]
    return named in names or f"hf://{named}" in names


def _stated(config: Mapping[str, Any]) -> Any:
    """The address in a config of ours, or in our section of one that is Hugging Face's."""
    if config.get("kind") == "adapter":
        return None
    section = config.get("bequest_model")
    return (section if isinstance(section, dict) else config).get("address")


def _kept(objects: Files, file: StoredFile) -> dict[str, Any]:
    try:
        return _json(objects.located(file))
    except Damaged:
        return {}


def _json(path: Path) -> dict[str, Any]:
    """A config that is not there, or is damaged, says nothing; reading it again tells why."""
    try:
        values = json.loads(read_small(path, _LARGEST_CONFIG))
    except (OSError, HubError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
