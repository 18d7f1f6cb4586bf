"""A folder of sentence-transformers: read as plain values, its classes looked up in a table.

``modules.json`` names a class and a folder for each module. No class is imported by that name, and
no folder is looked into that does not lie inside.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, final

from torch import Tensor

from bequest.core.plain_values import json_fault, quoted
from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.folder import read_json
from bequest.frameworks.files.original_folder import is_inside
from bequest.frameworks.hugging_face.sentence_modules import SENTENCE, STATES, TOKENS
from bequest.frameworks.hugging_face.sentence_readers import READERS, WITH_WEIGHTS, Step, Widths
from bequest.frameworks.hugging_face.sentence_settings import (
    MODEL_FILE,
    Config,
    prompt_and_width,
    transformer_settings,
)

__all__ = ["MODULES_FILE", "SentenceFolder", "layers_of", "read_sentence_folder"]

MODULES_FILE = "modules.json"
POOLING_FOLDER = "1_Pooling"
MODULES_LIMIT = 2**20  # bytes; a list of a few lines
MOST_MODULES = 64
# Where sentence-transformers has kept its classes: version 2 to 4, then 5 and 6.
WITHOUT_FOLDER = ("Normalize", "Dropout")  # an empty folder is often lost, and says nothing
CLASS = re.compile(
    r"sentence_transformers\.(?:models|sentence_transformer\.modules|base\.modules)"
    r"(?:\.(?P<file>\w{1,60}))?\.(?P<name>\w{1,60})"
)
FIRST = ("Transformer", "StaticEmbedding")
OTHERS = (
    "Asym", "BoW", "CLIPModel", "CNN", "LSTM", "Router", "WordEmbeddings", "WordWeights",
)  # fmt: skip
SETTINGS_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@final
@dataclass(frozen=True)
class SentenceFolder:
    """What a folder says, audited; nothing is built from it yet.

    Parameters
    ----------
    transformer : path
        Where the network and its tokenizer lie.
    length : int or None
        Most tokens of a text.
    lower : bool
        Whether texts are put into lower case.
    prompt : str
        Stands before every text.
    modules : tuple of (str, path)
        Class and folder of what comes behind the transformer.
    width : int or None
        Of the first features that are kept.
    static : bool
        Whether a table of embeddings stands in the transformer's place.
    """

    transformer: Path
    length: int | None
    lower: bool
    prompt: str
    modules: tuple[tuple[str, Path], ...]
    width: int | None
    static: bool = False


def read_sentence_folder(folder: Path) -> SentenceFolder | None:
    """Read what a folder of sentence-transformers says of itself; None where it is none.

    `UnsafeModel` where a module is not of that library or lies outside of the folder; `ModelError`
    where one of its modules or settings is not known here.
    """
    if not os.path.lexists(folder / MODULES_FILE):
        pooling = folder / POOLING_FOLDER
        if not (pooling / "config.json").is_file():
            return None
        modules = [("Transformer", folder), ("Pooling", _inside(folder, POOLING_FOLDER))]
    else:
        modules = [_module(folder, entry) for entry in _listed_modules(folder)]
    names = [name for name, _ in modules]
    if names[0] not in FIRST or any(name in FIRST for name in names[1:]):
        raise ModelError(
            f"{folder.name}/{MODULES_FILE} lists {listed(names)}: one Transformer or "
            "StaticEmbedding comes first."
        )
    transformer, static = modules[0][1], names[0] == "StaticEmbedding"
    length, lower = None, False
    if not static:
        length, lower = transformer_settings(
            _settings(folder, transformer), f"{folder.name}'s Transformer"
        )
    about = _optional(folder, folder / MODEL_FILE)
    prompt, width = prompt_and_width(about, folder.name)
    return SentenceFolder(transformer, length, lower, prompt, tuple(modules[1:]), width, static)


def layers_of(
    found: SentenceFolder,
    folder: Path,
    width: int,
    states: int,
    skipped: int,
    weights: Callable[[Path], Mapping[str, Tensor]],
) -> tuple[list[Step], dict[str, Tensor]]:
    """What `SentenceLayers` is made of, behind a network of so many features, and its tensors.

    `states` are those of its layers, if it gives them, and 0 if not; `skipped` is the number of
    tokens of the prompt; `weights` reads the tensors of one module. `ModelError` where the modules
    do not fit the network or each other.
    """
    widths: Widths = {TOKENS: width} | ({STATES: states} if states else {})
    steps: list[Step] = []
    if found.static:
        widths = {SENTENCE: width}
        steps.append({"layer": "pooling", "modes": ["mean"], "skipped": 0})
    tensors: dict[str, Tensor] = {}
    for name, place in found.modules:
        where = f"{folder.name}/{place.relative_to(folder).as_posix()} ({name})"
        if name not in WITHOUT_FOLDER and not place.is_dir():
            raise ModelError(f"{where} is listed in {MODULES_FILE}, and there is no such folder.")
        step = READERS[name](_optional(folder, place / "config.json"), widths, where)
        if step is None:
            continue
        if step["layer"] == "pooling":
            step["skipped"] = 0 if step.pop("whole") else skipped
        if name in WITH_WEIGHTS:
            if not is_inside(folder, place / "model.safetensors"):
                raise UnsafeModel(f"{where} has its weights outside of the folder.")
            own = weights(place).items()
            tensors |= {f"layers.{len(steps)}.{key}": tensor for key, tensor in own}
        steps.append(step)
    if SENTENCE not in widths:
        raise ModelError(f"{folder.name}/{MODULES_FILE} has no Pooling: no features of a text.")
    if found.width is not None:
        steps.append({"layer": "first-features", "width": found.width})
    return steps, tensors


def _listed_modules(folder: Path) -> list[Any]:
    path = folder / MODULES_FILE
    if not is_inside(folder, path):
        raise UnsafeModel(f"{path} is a link that leads out of the folder.")
    if not path.is_file():
        raise ModelError(f"{path} is not a plain file.")
    if path.stat().st_size > MODULES_LIMIT:
        raise ModelError(f"{path} is larger than {MODULES_LIMIT} bytes: it is no list of modules.")
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {quoted(str(error), 120)}.") from error
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_MODULES:
        raise ModelError(f"{path} is no list of 1 to {MOST_MODULES} modules.")
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    if len(names) < len(entries) or len({str(name) for name in names}) < len(names):
        raise ModelError(f"{path} has a module without a name of its own.")
    return entries


def _module(folder: Path, entry: Config) -> tuple[str, Path]:
    """Class and folder of one module."""
    called, path = entry.get("type"), entry.get("path")
    found = CLASS.fullmatch(called) if isinstance(called, str) else None
    name = found["name"] if found else ""
    own = name in {*FIRST, *READERS, *OTHERS}
    if not found or not own or _plain_name(found["file"] or name) != _plain_name(name):
        raise UnsafeModel(
            f"{folder.name}/{MODULES_FILE} names a class that is not sentence-transformers' own, "
            f"{quoted(called, 100)}: its code is never run. Load it with sentence-transformers "
            "where you trust it, and hand its features to bequest.wrap as a function."
        )
    if name in OTHERS:
        known = ", ".join([*FIRST, *READERS])
        raise ModelError(f"{folder.name} has a module {name}, which is not read. Read are {known}.")
    return name, _inside(folder, path)


def _plain_name(name: str) -> str:
    return name.replace("_", "").lower()


def _inside(folder: Path, path: Any) -> Path:
    """The folder of a module, which lies in that of the model."""
    climbs = (
        not isinstance(path, str)
        or "\0" in path
        or "\\" in path
        or PurePosixPath(path).is_absolute()
        or bool(PureWindowsPath(path).drive)
        or ".." in PurePosixPath(path).parts
    )
    if climbs or not is_inside(folder, folder / path):
        raise UnsafeModel(
            f"{folder.name}/{MODULES_FILE} names a module outside of the folder: {quoted(path)}."
        )
    return folder / str(path)


def _optional(folder: Path, path: Path) -> dict[str, Any]:
    """The values of a config, none where it is missing."""
    if not path.is_file():
        return {}
    if not is_inside(folder, path):
        raise UnsafeModel(f"{path} is a link that leads out of the folder.")
    values = read_json(path)
    if fault := json_fault(values):
        raise ModelError(f"{path} is unsound: ${fault}.")
    return values


def _settings(folder: Path, transformer: Path) -> dict[str, Any]:
    for name in SETTINGS_FILES:
        if values := _optional(folder, transformer / name):
            return values
    return {}
