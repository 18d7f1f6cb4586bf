"""What a commit on the Hub holds, by the digests that the Hub lists, and what of it is needed.

huggingface_hub takes whatever lies in its cache, and what came over the network by its length
alone. So each file is checked here against the listing: a large one by its sha256, the rest by the
identifier that git gives to its content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Self, final

from bequest.core.plain_values import escaped, quoted
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.file_formats import PICKLES
from bequest.frameworks.hugging_face.name import HuggingFaceName

__all__ = ["ListedFile", "as_listing", "needed_files"]

CHUNK = 2**20  # bytes
TEXT_LIMIT = 16 * 2**20  # bytes of a config, or of an index of shards
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
ODD_NAME = re.compile(r"[\\:\x00-\x1f\x7f\ud800-\udfff]")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
OWN = ("bequest/config.json", "config.json")  # where a model that we wrote has its config
SETTINGS = (
    *("config.json", "modules.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model"),
    *("sentencepiece.bpe.model", "generation_config.json", "config_sentence_transformers.json"),
    *("sentence_*_config.json", "README.md", "LICENSE*", "LICENCE*", "NOTICE*"),
)
Read = Callable[[str], bytes]


@final
@dataclass(frozen=True)
class ListedFile:
    """One file as the Hub lists it.

    Parameters
    ----------
    size : int
        Bytes.
    digest : str
        Hex digits: 64 are the sha256 of its content, 40 are git's identifier of it.
    """

    size: int
    digest: str

    @classmethod
    def of(cls, size: Any, digest: Any) -> Self:
        """The file that these values of unknown type describe; `ValueError` where they cannot."""
        if not isinstance(size, int) or size < 0 or not DIGEST.fullmatch(str(digest)):
            raise ValueError(f"no size and digest of a file: {size!r}, {digest!r}")
        return cls(size, str(digest))

    def is_content_of(self, path: Path) -> bool:
        """Whether the file at this path has the size and the digest that are listed."""
        if path.stat().st_size != self.size:
            return False
        found = hashlib.sha256() if len(self.digest) == 64 else hashlib.sha1(usedforsecurity=False)
        if len(self.digest) == 40:
            found.update(b"blob %d\0" % self.size)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
        return found.hexdigest() == self.digest


def as_listing(
    values: Mapping[str, tuple[Any, Any]], name: HuggingFaceName
) -> dict[str, ListedFile]:
    """The files of a commit by their paths, from sizes and digests.

    `UnsafeModel` where a path leads out of the repository, `ValueError` where a value is no digest.
    """
    for path in values:
        parts = path.split("/")
        if ODD_NAME.search(path) or any(part in ("", ".", "..") for part in parts):
            raise UnsafeModel(f"{name} lists a file outside of itself: {quoted(path)}.")
    return {path: ListedFile.of(size, digest) for path, (size, digest) in values.items()}


def needed_files(files: Mapping[str, ListedFile], read: Read, name: HuggingFaceName) -> list[str]:
    """Paths of the files that loading the model reads, and of its licence.

    Parameters
    ----------
    files : mapping of str to ListedFile
    read : callable ``path -> bytes``
        Gives the checked content of a listed file.
    name : HuggingFaceName
        For messages.

    Raises
    ------
    UnsafeModel
        The weights are there as pickles only.
    ModelError
        A config is not JSON, or names files that are not there.
    """
    for own in OWN:
        config = _object(files, read, own, name)
        if "format" in config:
            return _of_ours(files, config, own, name)
    return _of_theirs(files, read, name)


def _of_ours(
    files: Mapping[str, ListedFile], config: Mapping[str, Any], own: str, name: HuggingFaceName
) -> list[str]:
    """What the config of a model that we wrote lists."""
    listed = config.get("files")
    listed = list(map(str, listed)) if isinstance(listed, dict) else []
    lost = sorted(path for path in listed if path not in files)
    if lost:
        raise ModelError(f"{name} lacks {escaped(lost[0])}, which its {own} lists.")
    pickles = sorted(path for path in listed if _is_pickle(path))
    if pickles:
        raise UnsafeModel(f"{name} lists {escaped(pickles[0])}, a pickle: none is ever fetched.")
    return sorted({own, *listed, *({"README.md"} & set(files))})


def _of_theirs(files: Mapping[str, ListedFile], read: Read, name: HuggingFaceName) -> list[str]:
    """Settings, weights and texts of a repository that another library wrote."""
    found = {
        path
        for folder in _folders(files, read, name)
        for path in (*_settings(files, folder), *_weights(files, read, folder, name))
    }
    pickles = sorted(path for path in files if _is_pickle(path) and "/" not in path)
    if pickles and not any(path.endswith(".safetensors") for path in found):
        raise UnsafeModel(
            f"{name} has its weights as a pickle only ({escaped(pickles[0])}): opening it can run "
            f"code, and it is not fetched. Take a model that has {WEIGHTS}."
        )
    return sorted(found)


def _folders(files: Mapping[str, ListedFile], read: Read, name: HuggingFaceName) -> Iterator[str]:
    """The folders that hold something: the first, and those of sentence-transformers' modules.

    Those that are not listed are passed over here: the loader refuses them by name.
    """
    yield ""
    if "modules.json" in files:
        for module in _json(files, read, "modules.json", name, list):
            path = module.get("path") if isinstance(module, dict) else None
            if path and isinstance(path, str):
                yield f"{path.rstrip('/')}/"


def _settings(files: Mapping[str, ListedFile], folder: str) -> Iterator[str]:
    for path in files:
        within, _, base = path.rpartition("/")
        if f"{within}/" == (folder or "/") and any(fnmatchcase(base, one) for one in SETTINGS):
            yield path


def _weights(
    files: Mapping[str, ListedFile], read: Read, folder: str, name: HuggingFaceName
) -> Iterator[str]:
    """The one file of weights, else the shards that an index names."""
    index = f"{folder}{INDEX}"
    if f"{folder}{WEIGHTS}" in files:
        yield f"{folder}{WEIGHTS}"
    elif index in files:
        parts = _object(files, read, index, name).get("weight_map")
        parts = list(parts.values()) if isinstance(parts, dict) else []
        shards = {f"{folder}{part}" for part in parts if str(part).endswith(".safetensors")}
        lost = sorted(shard for shard in shards if shard not in files)
        if lost:
            raise ModelError(
                f"{name} lacks {len(lost)} of its {len(shards)} files of weights, such as "
                f"{escaped(lost[0])}."
            )
        yield index
        yield from shards


def _is_pickle(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in PICKLES


def _object(
    files: Mapping[str, ListedFile], read: Read, path: str, name: HuggingFaceName
) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no such file."""
    values: dict[str, Any] = _json(files, read, path, name, dict) if path in files else {}
    return values


def _json(
    files: Mapping[str, ListedFile], read: Read, path: str, name: HuggingFaceName, of: type
) -> Any:
    if files[path].size > TEXT_LIMIT:
        raise ModelError(f"{name} has a {path} of {files[path].size} bytes: it is no config.")
    content = read(path)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} has a {path} that is not JSON.") from error
    if not isinstance(values, of):
        raise ModelError(f"{name} has a {path} that holds no {'list' if of is list else 'object'}.")
    return values
