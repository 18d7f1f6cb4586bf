"""A checkpoint that torch.save wrote, read without running it, in a process that may be lost.

`python -m bequest.frameworks.files.checkpoint` is that process: its memory and time are limited,
because four megabytes can ask for four gigabytes. `bequest.frameworks.files.convert` starts it.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.checkpoint_tensors import SEEN, TIMES, check_tensors, find_tensors
from bequest.frameworks.files.weights import write_weights

if sys.platform == "linux":
    import resource

__all__ = ["convert", "read_checkpoint"]

ROOM = 2 * 2**30  # bytes of memory beyond what the file itself explains
GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
REFUSED = (
    RuntimeError, UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, ImportError, OSError, OverflowError,
)  # fmt: skip


def read_checkpoint(path: Path) -> Any:
    """What torch.save wrote, in the file format of today or that of before torch 1.6.

    `UnsafeModel` where it asks for something that is neither a tensor nor a plain value.
    """
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        _check_archive(path)
    elif start[:1] != b"\x80":
        raise ModelError(f"{path} is no checkpoint: torch.save did not write it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError as error:
        raise ModelError(_too_large(path)) from error
    except REFUSED as error:
        raise _translated(error, path) from error


def _check_archive(path: Path) -> None:
    """torch.save compresses nothing: where the parts are larger than the file, it is a bomb."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ModelError(
            f"{path} is truncated or damaged: {ascii(str(error))[1:-1][:SEEN]}."
        ) from error
    inside, size = sum(part.file_size for part in parts), path.stat().st_size
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or inside > size:
        raise ModelError(
            f"{path} has {size} bytes and says that {inside} are in it: torch.save does not "
            "compress, so it did not write this."
        )


def _translated(error: BaseException, path: Path) -> ModelError:
    text = str(error)
    if wanted := GLOBAL.search(text):
        return UnsafeModel(
            f"{path} asks for {wanted[1][:SEEN]}, which is neither a tensor nor a plain value: "
            "nothing of it was run. Where you trust it, load it with the program that wrote it and "
            "save the tensors alone: torch.save(model.state_dict(), ...)."
        )
    if "TorchScript" in text:
        return UnsafeModel(
            f"{path} is a TorchScript archive, which is a program: nothing of it was run. Where "
            "you trust it: torch.save(torch.jit.load(...).state_dict(), ...)."
        )
    if "allocate memory" in text or "not resizable" in text:
        return ModelError(_too_large(path))
    if "zip archive" in text or "EOF" in text or isinstance(error, EOFError):
        return ModelError(f"{path} is truncated or damaged.")
    return ModelError(f"{path} is no checkpoint that torch.save wrote, or it is damaged.")


def _too_large(path: Path) -> str:
    return f"{path} asks for far more memory than its {path.stat().st_size} bytes explain."


def _limit(size: int) -> None:
    """Let this process take what a file of that size explains, and no more; where Linux can."""
    if sys.platform != "linux":
        return
    with suppress(OSError, ValueError):  # a kernel without /proc, or that lets nobody set limits
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted = pages * resource.getpagesize() + TIMES * size + ROOM
        for kind, most in (
            (resource.RLIMIT_AS, wanted),
            (resource.RLIMIT_CPU, 120 + size // 2**22),  # seconds; 4 MiB of a file in each
        ):
            hard = resource.getrlimit(kind)[1]
            limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (limit, limit))


def convert(path: str, work: str, options: str) -> dict[str, Any]:
    """Write the tensors of the checkpoint at `path` to `work`; the outcome as plain values.

    `options` is JSON, what `find_tensors` takes: key, strip and drop. Gives ``tensors``,
    ``numbers``, ``key`` and ``dropped``; or ``error`` and ``unsafe``.
    """
    try:
        found = find_tensors(read_checkpoint(Path(path)), **json.loads(options))
        tensors = check_tensors(found.tensors, Path(path).stat().st_size)
        _write(work, tensors)
    except MemoryError:
        return {"error": _too_large(Path(path)), "unsafe": False}
    except ModelError as error:
        line = str(error) if path in str(error) else f"{path}: {error}"
        return {"error": line, "unsafe": isinstance(error, UnsafeModel)}
    numbers = sum(tensor.numel() for tensor in tensors.values())
    names = {"tensors": len(tensors), "numbers": numbers, "key": found.key}
    return {**names, "dropped": [name[:SEEN] for name in found.dropped]}


def _write(work: str, tensors: Mapping[str, torch.Tensor]) -> None:
    try:
        write_weights(work, tensors)
    except ModelError as error:
        raise type(error)(f"{error} Such tensors are left out with --drop NAME.") from error


if __name__ == "__main__":
    torch.set_num_threads(1)
    _limit(Path(sys.argv[1]).stat().st_size)
    sys.stdout.write(json.dumps(convert(*sys.argv[1:])))
