"""A model folder of somebody else: looked through, then copied under a new card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, final

from bequest.core import Card, Model
from bequest.core.plain_values import quoted
from bequest.errors import HubError
from bequest.frameworks.files.folder import is_documentation, load, own_part, write_folder
from bequest.hub.storage.files.streams import copy_hashed

__all__ = ["ForeignFolder", "read_folder"]

_OF_THE_FORMAT = ("format", "bequest", "kind", "files", "digest")


@final
@dataclass(frozen=True)
class ForeignFolder:
    """A model folder that was found sound."""

    path: Path
    config: bytes  # its own `config.json` when it was looked at
    own: str  # path in it of the folder with that and the card; empty where they are in it
    card: Card  # that it has

    def copy(self, target: Path, card: Card) -> None:
        """Copy it to an empty place under another card, the weights byte for byte.

        `HubError` where a file changed since the folder was looked at.
        """
        config: dict[str, Any] = json.loads(self.config)
        listed = config["files"]
        rest = {key: value for key, value in config.items() if key not in _OF_THE_FORMAT}
        made = (_joined(self.own, "card.json"), _joined(self.own, "README.md"))
        weights = {path: digest for path, digest in listed.items() if path not in made}
        write = partial(_copy_files, self.path, weights)
        about: dict[str, Any] = {"kind": config["kind"], "config": rest, "inside": self.own}
        write_folder(target, card=card, write=write, **about)


def read_folder(
    path: Path, modules: Sequence[type], base_of: Callable[[Path], Model | None]
) -> ForeignFolder:
    """Look through a model folder and load it once, which checks its files.

    `base_of` finds what an adapter was made on; it is asked once the folder is known to hold files
    only. `HubError` where it holds a link, a device or a file that the model does not list, or is
    changing.
    """
    try:
        found = _survey(path) if path.is_dir() else set()
    except OSError as error:  # folders within folders until no path is long enough, say
        reason = error.strerror or type(error).__name__
        raise HubError(f"{path} cannot be read whole: {reason}.") from error
    own = "" if own_part(path) == path else own_part(path).relative_to(path).as_posix()
    name = _joined(own, "config.json")
    config = (path / name).read_bytes() if name in found else b""
    card = load(path, modules=modules, base=base_of(path)).card
    if (path / name).read_bytes() != config:
        raise HubError(f"{path} changed while it was read: nothing was published.")
    listed = {name, *json.loads(config)["files"]}
    unlisted = sorted(name for name in found - listed if not is_documentation(name, found))
    if unlisted:
        raise HubError(
            f"{path} holds {len(unlisted)} file(s) that the model does not list, such as "
            f"{quoted(unlisted[0])}: nothing is published by accident. Move them out of the folder."
        )
    return ForeignFolder(path, config, own, card)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _survey(source: Path) -> set[str]:
    found: set[str] = set()
    for place, folders, files in os.walk(source, onerror=_raised):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                inside = quoted(path.relative_to(source).as_posix())
                raise HubError(
                    f"{inside} in {source} is a link or a device: a model folder holds plain files "
                    "only."
                )
        found |= {Path(place, name).relative_to(source).as_posix() for name in files}
    return found


def _raised(error: OSError) -> NoReturn:
    raise error


def _copy_files(source: Path, digests: Mapping[str, str], target: Path) -> None:
    for path, expected in digests.items():
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        digest, _ = copy_hashed(source / path, copy)
        if digest != expected:
            raise HubError(
                f"{quoted(path)} in {source} changed while it was published: nothing was kept."
            )
