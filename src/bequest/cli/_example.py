"""From a file of arrays to what a network is run on."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bequest.errors import DataError
from bequest.frameworks.weights import read_weights

__all__ = ["read_example"]

LIMIT = 2**30  # bytes; a few rows are enough to see what reads what


def read_example(path: Path) -> Any:
    """One tensor, or several by the names under which the networks take them.

    Numbers with a point become single precision.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}, which --example names.")
    if path.stat().st_size > LIMIT:
        raise DataError(f"{path} has {path.stat().st_size} bytes: a few rows are enough.")
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz", ".safetensors"):
        raise DataError(f"{path}: an example is an .npy, .npz or .safetensors file.")
    found = read_weights(path) if suffix == ".safetensors" else _arrays(path)
    if not found:
        raise DataError(f"{path} has no arrays in it.")
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in found.items()}
    return tensors if len(tensors) > 1 else next(iter(tensors.values()))


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {"": found} if isinstance(found, np.ndarray) else dict(found)
            return {name: torch.from_numpy(array) for name, array in arrays.items()}
    except (
        ValueError, TypeError, EOFError, OSError, MemoryError, zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        raise DataError(f"{path} cannot be read as plain arrays: {error}.") from error
