"""A model's weights in several safetensors files, and the index that says which tensor is where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import final

from torch import Tensor

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.absent import absent
from bequest.frameworks.files.folder import read_json
from bequest.frameworks.files.weights import TensorFile

__all__ = ["INDEX", "ShardedFile", "check_shard", "shards_of"]

INDEX = ".safetensors.index.json"
INDEX_LIMIT = 64 * 2**20  # bytes; the largest public ones have about 10 MB
SHARD = re.compile(r"\w[\w.-]*\.safetensors")


def shards_of(index: Path) -> dict[str, set[str]]:
    """The names of the tensors by the file that holds them, which stands beside the index.

    `UnsafeModel` where the index names a file outside of the folder, `ModelError` where it is none.
    """
    try:
        listed = read_json(index, INDEX_LIMIT).get("weight_map")
    except FileNotFoundError as error:
        raise ModelError(absent(index)) from error
    except OSError as error:
        raise ModelError(f"{index} cannot be read: {error.strerror}.") from error
    if not isinstance(listed, dict) or not listed:
        raise ModelError(f"{index} has no weight_map: it is no index.")
    found: dict[str, set[str]] = {}
    for name, file in listed.items():
        if not isinstance(file, str) or not SHARD.fullmatch(file):
            raise UnsafeModel(f"{index} names a file outside of the folder: {str(file)[:80]!a}.")
        found.setdefault(file, set()).add(name)
    return dict(sorted(found.items()))


def check_shard(shard: Path, tensors: Mapping[str, object], wanted: set[str]) -> None:
    """`ModelError` unless a shard holds the tensors that the index says, and no others."""
    odd = sorted(set(tensors) ^ wanted)
    if odd:
        raise ModelError(
            f"{shard} holds other tensors than the index says: {odd[0][:80]}"
            f"{' and others' if len(odd) > 1 else ''}."
        )


@final
class ShardedFile:
    """Several safetensors files under one index, read tensor by tensor like a `TensorFile`.

    Parameters
    ----------
    index : path
        A ``.safetensors.index.json`` file; its shards stand beside it.

    Raises
    ------
    UnsafeModel
        It names a file outside of its folder.
    ModelError
        It is no index, or a shard is missing, unsound or holds other tensors than the index says.
    """

    def __init__(self, index: Path) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, TensorFile] = {}
        for name, wanted in shards_of(index).items():
            if not (index.parent / name).exists():
                raise ModelError(f"{index} names {name}, which is not there: copy it too.")
            file = TensorFile(index.parent / name)
            check_shard(index.parent / name, file.shapes, wanted)
            self.shapes |= file.shapes
            self._files |= dict.fromkeys(file.shapes, file)

    def read(self, name: str) -> Tensor:
        """One tensor, as `TensorFile.read`."""
        return self._files[name].read(name)
