"""From a checkpoint that is a pickle to a safetensors file, without running anything of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from bequest.core.disk import flush
from bequest.core.validation import validate_path
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.temporary import clean_up, sibling
from bequest.frameworks.files.weights import read_header

__all__ = ["Converted", "convert_checkpoint"]

SUFFIX = ".safetensors"


@final
@dataclass(frozen=True)
class Converted:
    """What came of a checkpoint.

    Parameters
    ----------
    path : Path
        The file that was written.
    tensors, numbers : int
        How many are in it; a tensor that stands under two names counts twice.
    key : str
        Where in the checkpoint they stood, such as ``"state_dict"``; empty: at the top.
    dropped : tuple of str
        Names of what was left behind: epochs, optimisers, and whatever else is no tensor of it.
    """

    path: Path
    tensors: int
    numbers: int
    key: str
    dropped: tuple[str, ...]


def convert_checkpoint(
    path: str | Path,
    out: str | Path,
    *,
    key: str | None = None,
    strip: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Converted:
    """Take the tensors out of what torch.save wrote; no code of it runs.

    torch reads it with ``weights_only=True``, which builds tensors and plain values and refuses
    everything else, in a process of its own whose memory and time are bounded by the file's size
    (on Linux; elsewhere only sizes are checked). Nothing is memory-mapped.

    Parameters
    ----------
    path : path
        A ``.pt``, ``.pth``, ``.bin`` or ``.ckpt`` file: a dictionary of tensors, or one that has
        such a dictionary under a name like ``"state_dict"`` or ``"model"``.
    out : path
        A ``.safetensors`` file that does not exist; appears whole or not at all.
    key : str, optional
        Where the tensors are, if there are several such dictionaries.
    strip : sequence of str
        Beginnings that names lose, such as ``"module."``.
    drop : sequence of str
        Tensors, or parts, to leave out.

    Returns
    -------
    Converted

    Raises
    ------
    UnsafeModel
        The checkpoint asks for something that is neither a tensor nor a plain value.
    ModelError
        It is no checkpoint, truncated, or larger inside than outside; a tensor is quantised, has
        NaN, or another reason why a model file cannot hold it; or `out` exists.

    Examples
    --------
    >>> import tempfile, torch
    >>> folder = Path(tempfile.mkdtemp())
    >>> torch.save({"state_dict": {"a.weight": torch.ones(2, 3)}, "epoch": 3}, folder / "a.pt")
    >>> done = convert_checkpoint(folder / "a.pt", folder / "a.safetensors")
    >>> done.tensors, done.numbers, done.key, done.dropped
    (1, 6, 'state_dict', ('epoch',))
    """
    source = validate_path(path, "a checkpoint", ModelError)
    place = validate_path(out, "a safetensors file", ModelError)
    _check_places(source, place)
    work = sibling(place)
    try:
        said = _read(source, work, {"key": key, "strip": list(strip), "drop": list(drop)})
        read_header(work)  # what was written is what we read
        _sync(work)
        os.replace(work, place)
        clean_up(place)
    finally:
        work.unlink(missing_ok=True)
    return Converted(place, said["tensors"], said["numbers"], said["key"], tuple(said["dropped"]))


def _check_places(source: Path, place: Path) -> None:
    if not source.exists():
        raise ModelError(f"there is no file {source}.")
    if not source.is_file():
        raise ModelError(f"{source} is no file: name the checkpoint in it.")
    if source.suffix.lower() == SUFFIX:
        raise ModelError(f"{source} is a safetensors file already.")
    if place.suffix.lower() != SUFFIX:
        raise ModelError(f"{place} does not end in {SUFFIX}, which is what is written.")
    if place.exists():
        raise ModelError(f"{place} exists: name another file, or remove it first.")
    if not place.parent.is_dir():
        raise ModelError(f"there is no folder {place.parent} to write {place.name} into.")


def _read(source: Path, work: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Let another process read it: what a stranger's file can break is then not ours."""
    # -P: a module in the folder that the person stands in is not taken for ours or torch's
    command = [sys.executable, "-P", "-m", "bequest.frameworks.files.checkpoint"]
    done = subprocess.run(
        [*command, os.path.abspath(source), os.path.abspath(work), json.dumps(options)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise ModelError(
            f"{source} could not be read: its reader ended with code {done.returncode}, which "
            "too little memory, too much work or a damaged file can do."
        ) from error
    if "error" in said:
        raise (UnsafeModel if said["unsafe"] else ModelError)(said["error"])
    return said


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        flush(file.fileno())
