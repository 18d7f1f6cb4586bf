"""The file that a path means as the source of a map: tensors are read from it one by one."""

from __future__ import annotations

import re
from pathlib import Path

from bequest.core.wording import listed
from bequest.errors import MapError, ModelError, UnsafeModel
from bequest.frameworks.files.file_formats import PICKLES
from bequest.frameworks.files.folder import read_json
from bequest.frameworks.files.shards import INDEX, ShardedFile
from bequest.frameworks.files.weights import TensorFile

__all__ = ["opened", "weights_in"]

WEIGHTS = "model.safetensors"
ADAPTER = "adapter_config.json"
OTHERS = (".onnx", ".h5", ".msgpack", ".gguf", ".tflite", ".pb", ".jit")
PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")


def opened(path: Path) -> TensorFile | ShardedFile:
    """A safetensors file, an index of several, or a folder with either, open for reading.

    `UnsafeModel` where it is a pickle or a program, `ModelError` where it is unsound or one shard
    of several, `MapError` where a folder holds no weights, an adapter, or several files.
    """
    place = weights_in(path) if path.is_dir() else path
    if place.name.endswith(INDEX):
        return ShardedFile(place)
    shard = PART.fullmatch(place.name)
    if shard and int(shard[2]) > 1:
        index = place.with_name(f"{shard[1]}{INDEX}")
        raise ModelError(
            f"{place} is one of {int(shard[2])} files of one model: name its index, {index}."
        )
    return TensorFile(place)


def weights_in(folder: Path) -> Path:
    """The file in a folder that holds its weights, or the index of several files."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    whole = [path for path in files if path.name in (WEIGHTS, f"model{INDEX}")]
    if whole:
        return whole[0]
    if any(path.name == ADAPTER or path.stem == "adapter_model" for path in files):
        raise MapError(_adapter(folder))
    indices = [path for path in files if path.name.endswith(INDEX)]
    tensors = [p for p in files if p.suffix == ".safetensors" and not PART.fullmatch(p.name)]
    if len(indices or tensors) == 1:
        return (indices or tensors)[0]
    if tensors or indices:
        raise MapError(
            f"{folder} holds several files of weights, "
            f"{listed(path.name for path in indices + tensors)}: name the one that is meant."
        )
    raise _without_weights(folder, files)


def _adapter(folder: Path) -> str:
    base = ""
    if (folder / ADAPTER).is_file():
        named = read_json(folder / ADAPTER).get("base_model_name_or_path")
        base = f", {named[:80]!a}" if isinstance(named, str) and named else ""
    return (
        f"{folder} is an adapter, not a network: merge it into its base{base} first (peft: "
        "model.merge_and_unload().save_pretrained(FOLDER)), and map that."
    )


def _without_weights(folder: Path, files: list[Path]) -> ModelError | MapError:
    pickles = [path for path in files if path.suffix.lower() in PICKLES]
    if pickles:
        return UnsafeModel(
            f"{folder} holds its weights as a pickle: opening it can run code. bequest convert "
            f"{pickles[0]} {folder / WEIGHTS} takes its tensors out without running any."
        )
    others = [path for path in files if path.suffix.lower() in OTHERS]
    if others:
        return MapError(
            f"{folder} holds no {WEIGHTS}, and {others[0].name}, which is not read: save the "
            "network's state_dict as safetensors with the library that wrote it."
        )
    inside = sorted({path.parent.name for path in folder.glob("*/*.safetensors")})
    if inside:
        return MapError(f"{folder} holds its weights in folders: name {listed(inside)}.")
    return MapError(f"{folder} is a folder without a {WEIGHTS}.")
