"""A model of the Hugging Face Hub by its name: resolved, fetched into its cache, checked.

What is loaded is a folder of the checked files alone. Whatever else lies in the cache, since
another program fetched it or somebody put it there, is not seen.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, final

from bequest.core.timeout import with_timeout
from bequest.errors import ModelError, OutOfTime
from bequest.frameworks.files.temporary import clean_up, sibling
from bequest.frameworks.hugging_face.client import client, translated
from bequest.frameworks.hugging_face.listing import ListedFile, as_listing, needed_files
from bequest.frameworks.hugging_face.name import HuggingFaceName
from bequest.optional import need

__all__ = ["fetched", "resolved"]

T = TypeVar("T")
ANSWER = 10.0  # seconds in which the Hub says what a commit is, or holds
BRANCH = "main"  # of every repository on the Hub the default one
OURS = "bequest"  # folder beside theirs in the cache of a repository


def resolved(name: HuggingFaceName, *, local: bool = False) -> HuggingFaceName:
    """The same name at the commit that it means now, or meant last where the Hub is out of reach.

    With `local` the Hub is not asked.

    Raises
    ------
    ModelError
        There is no such model or revision, or none that may be seen, or it is not in the cache and
        the Hub cannot be reached.
    MissingExtra
        huggingface_hub is not installed.

    Examples
    --------
    A commit means itself, and nobody is asked:

    >>> str(resolved(HuggingFaceName("org/name", "0f" * 20)))[:20]
    'hf://org/name@0f0f0f'
    """
    if name.pinned:
        return name
    ask = partial(client().resolve_revision, name.repo, revision=name.revision or BRANCH)
    with translated(name):
        try:
            found = ask(local_files_only=True) if local else _in_time(ask)
        except OutOfTime:  # a network that swallows what is sent: as if there were none
            found = ask(local_files_only=True)
        pinned = name.at(str(found.resolved))
    if not pinned.pinned:
        raise ModelError(f"the Hub names no commit for {name}.")
    return pinned


def _in_time(ask: Callable[[], T]) -> T:
    return with_timeout(ask, ANSWER, "the Hub's answer")


@contextmanager
def fetched(
    name: HuggingFaceName, *, local: bool = False
) -> Iterator[tuple[Path, dict[Path, Path]]]:
    """A folder of the files that loading a model needs, each checked, while the block lasts.

    Parameters
    ----------
    name : HuggingFaceName
        With a commit.
    local : bool
        Take what the cache holds, and ask nobody for what it does not.

    Returns
    -------
    Path
        The folder.
    dict of Path to Path
        For each file in it where it lies in the cache, which stays.

    Raises
    ------
    ModelError
        As in `resolved`; or a file is not the one that the Hub lists.
    UnsafeModel
        The weights are there as pickles only.
    """
    commit = _Commit(name, local)
    work = _workplace(name)
    try:
        folder = work / name.repo.rpartition("/")[2]
        folder.mkdir(parents=True)
        wanted = needed_files(commit.files, lambda path: commit.file(path).read_bytes(), name)
        yield folder, {folder / path: commit.copy(path, folder / path) for path in wanted}
    finally:
        shutil.rmtree(work, ignore_errors=True)


@final
class _Commit:
    """The files of a commit, in the cache or, where one is not there, on the Hub."""

    def __init__(self, name: HuggingFaceName, local: bool) -> None:
        self.name, self.local = name, local
        self._api = client()
        self._reached = False

    @cached_property
    def files(self) -> dict[str, ListedFile]:
        """What it holds: as it was kept, for a commit never changes, else as the Hub says."""
        kept = _ours(self.name) / f"{self.name.revision}.json"
        with suppress(OSError, ValueError, TypeError, AttributeError):  # not kept, or damaged
            found = json.loads(kept.read_text(encoding="utf-8"))
            told = {path: (one["size"], one["digest"]) for path, one in found.items()}
            return as_listing(told, self.name)
        with translated(self.name):
            self._reach()
            told = _in_time(self._asked)
            files = as_listing(told, self.name)
        _keep(kept, files)
        return files

    def file(self, path: str) -> Path:
        """A file in the cache, fetched where it is not there, whose content was checked."""
        fetch = partial(
            self._api.hf_hub_download, self.name.repo, path, revision=self.name.revision
        )
        absent = need("huggingface_hub.errors", extra="hf", purpose="models of the Hub")
        with translated(self.name):
            try:
                place = Path(fetch(local_files_only=True))
            except absent.LocalEntryNotFoundError:
                self._reach()
                place = Path(fetch())
            if self.files[path].is_content_of(place):
                return place
        raise ModelError(
            f"{self.name}: {path} is not the file that the Hub lists: it was altered or cut short. "
            f"Remove {place.resolve()} and load it again."
        )

    def copy(self, path: str, target: Path) -> Path:
        """Put a checked file at a place, and say where in the cache it lies."""
        place = self.file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(place.resolve(), target)
        except OSError:  # another file system, or a file of somebody else's
            shutil.copyfile(place, target)
        return place

    def _reach(self) -> None:
        """Raise at once where the Hub does not answer: what follows would try for 23 seconds."""
        if self.local:
            raise ModelError(f"{self.name} is not in the cache as a whole.")
        if not self._reached:
            self._api.repo_info(self.name.repo, revision=self.name.revision, timeout=ANSWER)
            self._reached = True

    def _asked(self) -> dict[str, tuple[Any, Any]]:
        tree = self._api.list_repo_tree(self.name.repo, recursive=True, revision=self.name.revision)
        found = [one for one in tree if hasattr(one, "blob_id")]
        return {
            one.path: (one.size, one.blob_id) if one.lfs is None else (one.lfs.size, one.lfs.sha256)
            for one in found
        }


def _keep(place: Path, files: Mapping[str, ListedFile]) -> None:
    """Keep a listing, whole or not at all; a cache that only others may write to does without."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        work = sibling(place)
        try:
            work.write_text(json.dumps({path: asdict(one) for path, one in files.items()}))
            os.replace(work, place)
        finally:
            work.unlink(missing_ok=True)
        clean_up(place)


def _workplace(name: HuggingFaceName) -> Path:
    """A new folder of this process, in the cache, where links are possible, if that can be."""
    place = _ours(name) / name.revision
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        clean_up(place)
        work = sibling(place)
        work.mkdir()
        return work
    return Path(tempfile.mkdtemp(prefix="bequest-"))


def _ours(name: HuggingFaceName) -> Path:
    constants = need("huggingface_hub.constants", extra="hf", purpose="the cache of the Hub")
    cache = Path(constants.HF_HUB_CACHE).expanduser()
    return cache / "--".join(["models", *name.repo.split("/")]) / OURS
