"""Tensors on disk: safetensors, with the header checked by us before anything is built from it.

safetensors' own reader takes headers of any size, doubled keys, names such as ``../../x``, NaN
and shapes of 2^40. A stranger's file is therefore read whole (never memory-mapped: somebody else
may still change it), checked, and only then parsed.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch

from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.absent import absent
from bequest.frameworks.files.file_formats import other_format

__all__ = ["DTYPES", "TENSOR_NAME", "TensorFile", "read_header", "read_weights", "write_weights"]

TENSOR_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")  # a torch path; no slash, no '..'
NAME_LIMIT = 256  # characters
# One tensor takes about 120 bytes of header, so this holds 60,000 of them; the largest public
# models have about 1 MB in one file. A header of 99 MB costs its reader 24 s and 1.4 GB.
HEADER_LIMIT = 8 * 2**20
SIZE_LIMIT = 2**40  # of one dimension; (0, 2^62) has no bytes, but its strides overflow
RANK_LIMIT = 16
SEEN_IN_ERRORS = 80  # characters of a stranger's text that an error line repeats
ALIASES = "bequest.aliases"
START = 32  # bytes that tell what a file is that is not safetensors
DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16,
    "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip


@final
@dataclass(frozen=True)
class _Entry:
    """One tensor of a header that was checked."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@final
@dataclass(frozen=True)
class _Header:
    """All tensors of a file, and the other names of those that are shared."""

    entries: Mapping[str, _Entry]
    aliases: Mapping[str, str]

    def described(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Dtype and shape by name, shared tensors under each of their names."""
        found = {name: (entry.dtype, entry.shape) for name, entry in self.entries.items()}
        return found | {name: found[stored] for name, stored in self.aliases.items()}


def write_weights(path: str | Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors of any device as one safetensors file; what stands at the path is overwritten.

    A tensor that stands under several names (tied weights) is stored once, with a table of its
    other names; views that overlap without being the same are stored apart. The caller syncs.
    `ModelError` where a name is no path of identifiers, or a dtype or a number cannot be stored.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> write_weights(file, {"head.weight": torch.ones(2, 3)})
    >>> read_header(file)
    {'head.weight': ('F32', (2, 3))}
    """
    stored: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        _check_name(name, "the model")
        if tensor.dtype not in DTYPES.values():
            raise ModelError(f"{name} has dtype {tensor.dtype}, which a model file cannot hold.")
        identity = _identity(tensor) if tensor.numel() else (name,)
        if identity in seen:
            aliases[name] = seen[identity]
            continue
        seen[identity] = name
        stored[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    _check_numbers(stored, "the model")
    metadata = {"format": "pt"}  # which transformers asks for
    if aliases:
        metadata[ALIASES] = json.dumps(aliases)
    try:
        safetensors_torch.save_file(stored, path, metadata)
    except SafetensorError as error:
        if (number := re.search(r"os error ([0-9]+)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file that anybody may have written.

    The tensors are on the CPU, in memory of their own; names that share one give the same object.
    `UnsafeModel` where a name is no path of identifiers, `ModelError` where anything else is
    unsound: a missing or truncated file, a shape that does not match its bytes, NaN, infinite
    numbers.
    """
    place = Path(path)
    with _opened(place) as file:
        header = _header(file, place)
        first = file.tell()
        tensors = {name: _tensor(file, first, e, place) for name, e in header.entries.items()}
    _check_numbers(tensors, str(place))
    return tensors | {name: tensors[stored] for name, stored in header.aliases.items()}


def read_header(path: str | Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, safetensors' dtypes (``"F32"``) and shapes in a safetensors file, without numbers."""
    place = Path(path)
    with _opened(place) as file:
        return _header(file, place).described()


@final
class TensorFile:
    """A safetensors file of anybody's, read tensor by tensor.

    Parameters
    ----------
    path : path

    Raises
    ------
    UnsafeModel
        It is a pickle or a TorchScript archive, or a name is no path of identifiers.
    ModelError
        As `read_header`.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> write_weights(place, {"head.weight": torch.ones(2, 3)})
    >>> TensorFile(place).read("head.weight").sum()
    tensor(6.)
    """

    def __init__(self, path: str | Path) -> None:
        self._place = Path(path)
        with _opened(self._place) as file:
            self._header = _header(file, self._place)
            self._first = file.tell()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape in the file's order, shared ones under each of their names."""
        return {name: shape for name, (_, shape) in self._header.described().items()}

    def read(self, name: str) -> torch.Tensor:
        """One tensor, on the CPU, in memory of its own; a bound may be infinite by design."""
        stored = self._header.aliases.get(name, name)
        with _opened(self._place) as file:
            tensor = _tensor(file, self._first, self._header.entries[stored], self._place)
        _check_booleans({name: tensor}, str(self._place))
        return tensor


def _opened(place: Path) -> BinaryIO:
    try:
        if place.exists() and not place.is_file():
            raise ModelError(f"{place} is no file.")
        return place.open("rb")
    except FileNotFoundError as error:
        raise ModelError(absent(place)) from error
    except OSError as error:
        raise ModelError(f"{place} cannot be read: {error.strerror}.") from error


def _tensor(file: BinaryIO, first: int, entry: _Entry, place: Path) -> torch.Tensor:
    """Read one tensor into memory of its own; the numbers begin at byte `first` of the file."""
    content = torch.empty(entry.stop - entry.start, dtype=torch.uint8)
    file.seek(first + entry.start)
    found = file.readinto(content.numpy())  # type: ignore[attr-defined]
    if found != len(content):
        raise ModelError(f"{place} was changed while it was read.")
    return content.view(DTYPES[entry.dtype]).reshape(entry.shape)


def _not_tensors(place: Path, size: int) -> str:
    """What a file is that cannot hold tensors, and what to do about it."""
    if place.suffix.lower() == ".safetensors":
        return f"{place} has {size} bytes: it is no safetensors file. Copy it again."
    what = "is no safetensors file" if size else "is empty"
    return (
        f"{place} {what}: name a .safetensors file, the index of several "
        "(.safetensors.index.json), or a model folder."
    )


def _header(file: BinaryIO, place: Path) -> _Header:
    """Read and check everything that stands before the numbers."""
    total = os.fstat(file.fileno()).st_size
    start = file.read(START)
    if total < 10:
        raise ModelError(_not_tensors(place, total))
    if start[8:9] != b"{" or any(start[4:8]):  # no header is that long
        refused = other_format(place, start)
        if refused is not None:
            raise refused
    size = int.from_bytes(start[:8], "little")
    if size > HEADER_LIMIT:
        if place.suffix.lower() != ".safetensors":
            raise ModelError(_not_tensors(place, total))
        raise ModelError(
            f"{place} is no safetensors file, or has a header of {size} bytes: at most "
            f"{HEADER_LIMIT} are read."
        )
    if 8 + size > total:
        raise ModelError(f"{place} is truncated: {total} bytes, its header alone has {size}.")
    file.seek(8)
    values = _json_object(file.read(size), place)
    metadata = values.pop("__metadata__", {})
    entries = {name: _entry(name, value, place) for name, value in values.items()}
    _check_ranges(entries, total - 8 - size, place)
    return _Header(entries, _aliases(metadata, entries, place))


def _json_object(content: bytes, place: Path) -> dict[str, Any]:
    try:
        values = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{place} has a header that is not JSON: {_short(error)}.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{place} has a header that is no JSON object.")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands in it twice")
    return values


def _entry(name: str, value: Any, place: Path) -> _Entry:
    """One tensor's line, held against its own shape."""
    _check_name(name, str(place))
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ModelError(f"{place} does not say dtype, shape and data_offsets of {name}.")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ModelError(
            f"{place} has {name} in the dtype {_short(dtype)}, which is not read: save it as F32, "
            "F16 or BF16."
        )
    if not _counts(shape) or len(shape) > RANK_LIMIT or any(n >= SIZE_LIMIT for n in shape):
        raise ModelError(f"{place} has {name} in the impossible shape {_short(shape)}.")
    if not _counts(offsets) or len(offsets) != 2:
        raise ModelError(f"{place} has {name} at the impossible offsets {_short(offsets)}.")
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != needed:
        raise ModelError(
            f"{place} has {name} {tuple(shape)} {dtype} in {offsets[1] - offsets[0]} bytes, "
            f"it takes {needed}."
        )
    return _Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def _check_ranges(entries: Mapping[str, _Entry], available: int, place: Path) -> None:
    """The byte ranges must follow each other without a gap and end where the file ends."""
    stop = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != stop:
            raise ModelError(f"{place} has a gap or an overlap of bytes before {name}.")
        stop = entry.stop
    if stop > available:
        raise ModelError(f"{place} is truncated: {available} bytes of numbers, {stop} are named.")
    if stop < available:
        raise ModelError(f"{place} has {available - stop} bytes more than its tensors take.")


def _aliases(metadata: Any, entries: Mapping[str, _Entry], place: Path) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ModelError(f"{place} has metadata that are not text.")
    aliases = _json_object(metadata.get(ALIASES, "{}").encode("utf-8", "replace"), place)
    for name, stored in aliases.items():
        _check_name(name, str(place))
        if name in entries or not isinstance(stored, str) or stored not in entries:
            raise ModelError(f"{place} shares {name} with {_short(stored)}, which is not in it.")
    return aliases


def _check_name(name: str, where: str) -> None:
    if len(name) > NAME_LIMIT or not TENSOR_NAME.fullmatch(name):
        raise UnsafeModel(
            f"{where} has a tensor named {_short(name)}; names are letters, digits, '_' and '-', "
            f"joined by single dots, at most {NAME_LIMIT} of them."
        )


def _check_numbers(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    bad = [name for name, tensor in tensors.items() if not _finite(tensor)]
    if bad:
        raise ModelError(f"{where} has NaN or infinite numbers in {listed(bad)}.")
    _check_booleans(tensors, where)


def _check_booleans(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    masks = {name: tensor for name, tensor in tensors.items() if tensor.dtype is torch.bool}
    # torch trusts a boolean to be one byte of 0 or 1, and counts wrongly where it is not
    bad = [name for name, mask in masks.items() if bool((mask.view(torch.uint8) > 1).any())]
    if bad:
        raise ModelError(f"{where} has booleans that are neither 0 nor 1 in {listed(bad)}.")


def _finite(tensor: torch.Tensor) -> bool:
    """Whether all numbers are; takes no memory, unlike `torch.isfinite`."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if math.isfinite(float(tensor.sum())):  # the quicker of the two, and no proof the other way
        return True
    low, high = torch.aminmax(tensor)
    return math.isfinite(float(low)) and math.isfinite(float(high))


def _identity(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Equal for tensors that are the same numbers in the same memory."""
    return (
        tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(),
    )  # fmt: skip


def _short(value: object) -> str:
    """A stranger's text on one line, and not more of it than a line takes."""
    text = ascii(value) if not isinstance(value, BaseException) else ascii(str(value))[1:-1]
    return text if len(text) <= SEEN_IN_ERRORS else text[:SEEN_IN_ERRORS] + "..."
