"""A folder of sentence-transformers: read as plain values, its classes looked up in a table.

``modules.json`` names a class and a folder for each module. No class is imported by that name, and
no folder is looked into that does not lie inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, final

from torch import Tensor

from bequest.core.kinds import bare, plain, shown
from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.folder import read_json
from bequest.frameworks.original_folder import is_inside
from bequest.frameworks.sentence_modules import ACTIVATIONS, MODES, SENTENCE, TOKENS

__all__ = ["MODULES_FILE", "SentenceFolder", "layers_of", "read_sentence_folder"]

MODULES_FILE = "modules.json"
MODEL_FILE = "config_sentence_transformers.json"
POOLING_FOLDER = "1_Pooling"
MODULES_LIMIT = 2**20  # bytes; a list of a few lines
MOST_MODULES = 64
# Where sentence-transformers has kept its classes: version 2 to 4, then 5 and 6.
CLASS = re.compile(
    r"sentence_transformers\.(?:models|sentence_transformer\.modules|base\.modules)"
    r"(?:\.(?P<file>\w{1,60}))?\.(?P<name>\w{1,60})"
)
OTHERS = (
    "Asym", "BoW", "CLIPModel", "CNN", "LSTM", "Router", "StaticEmbedding", "WeightedLayerPooling",
    "WordEmbeddings", "WordWeights",
)  # fmt: skip
SETTINGS_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# What the settings of a Transformer may say that changes nothing here.
HARMLESS = {"attn_implementation", "device_map", "dtype", "torch_dtype", "trust_remote_code"}
TEXT_ONLY = {"method": "forward", "method_output_name": "last_hidden_state"}
OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATION = re.compile(r"torch\.nn\.(?:modules\.\w{1,40}\.)?(?P<name>\w{1,40})")

Config = Mapping[str, Any]
Step = dict[str, Any]
Widths = dict[str, int]


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
    """

    transformer: Path
    length: int | None
    lower: bool
    prompt: str
    modules: tuple[tuple[str, Path], ...]
    width: int | None


def read_sentence_folder(folder: Path) -> SentenceFolder | None:
    """Read what a folder of sentence-transformers says of itself; None where it is none.

    `UnsafeModel` where a module is not of that library or lies outside of the folder; `ModelError`
    where one of its modules or settings is not known here.
    """
    if not (folder / MODULES_FILE).is_file():
        pooling = folder / POOLING_FOLDER
        if not (pooling / "config.json").is_file():
            return None
        modules = [("Transformer", folder), ("Pooling", _inside(folder, POOLING_FOLDER))]
    else:
        modules = [_module(folder, entry) for entry in _listed_modules(folder)]
    names = [name for name, _ in modules]
    if names[:1] != ["Transformer"] or "Transformer" in names[1:]:
        raise ModelError(
            f"{folder.name}/{MODULES_FILE} lists {listed(names)}: one Transformer comes first."
        )
    transformer = modules[0][1]
    length, lower = _transformer(_settings(folder, transformer), f"{folder.name}'s Transformer")
    about = _optional(folder, folder / MODEL_FILE)
    prompt, width = _about(about, folder.name)
    return SentenceFolder(transformer, length, lower, prompt, tuple(modules[1:]), width)


def layers_of(
    found: SentenceFolder,
    folder: Path,
    width: int,
    skipped: int,
    weights: Callable[[Path], Mapping[str, Tensor]],
) -> tuple[list[Step], dict[str, Tensor]]:
    """What `SentenceLayers` is made of, behind a network of so many features, and its tensors.

    `skipped` is the number of tokens of the prompt; `weights` reads the tensors of one module.
    `ModelError` where the modules do not fit the network or each other.
    """
    widths: Widths = {TOKENS: width}
    steps: list[Step] = []
    tensors: dict[str, Tensor] = {}
    for name, place in found.modules:
        where = f"{folder.name}/{place.relative_to(folder).as_posix()} ({name})"
        step = _READERS[name](_optional(folder, place / "config.json"), widths, where)
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
    if path.stat().st_size > MODULES_LIMIT:
        raise ModelError(f"{path} is larger than {MODULES_LIMIT} bytes: it is no list of modules.")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {shown(str(error), 120)}.") from error
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
    own = name in {"Transformer", *_READERS, *OTHERS}
    if not found or not own or _plain_name(found["file"] or name) != _plain_name(name):
        raise UnsafeModel(
            f"{folder.name}/{MODULES_FILE} names a class that is not sentence-transformers' own, "
            f"{shown(called, 100)}: its code is never run. Load it with sentence-transformers "
            "where you trust it, and hand its features to bequest.wrap as a function."
        )
    if name in OTHERS:
        known = ", ".join(["Transformer", *_READERS])
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
            f"{folder.name}/{MODULES_FILE} names a module outside of the folder: {shown(path)}."
        )
    return folder / str(path)


def _optional(folder: Path, path: Path) -> dict[str, Any]:
    """The values of a config, none where it is missing."""
    if not path.is_file():
        return {}
    if not is_inside(folder, path):
        raise UnsafeModel(f"{path} is a link that leads out of the folder.")
    values = read_json(path)
    if fault := plain(values):
        raise ModelError(f"{path} is unsound: {fault}.")
    return values


def _settings(folder: Path, transformer: Path) -> dict[str, Any]:
    for name in SETTINGS_FILES:
        if values := _optional(folder, transformer / name):
            return values
    return {}


def _transformer(values: Config, where: str) -> tuple[int | None, bool]:
    """The longest text in tokens, and whether it is put into lower case."""
    task = values.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ModelError(f"{where} is for {shown(task)}: only feature-extraction is read.")
    modalities = values.get("modality_config")
    if modalities is not None and modalities != {"text": TEXT_ONLY}:
        raise ModelError(
            f"{where} reads {shown(modalities, 160)}: only plain texts are read, each as the last "
            "hidden state of its tokens."
        )
    output = values.get("module_output_name", TOKENS)
    if output != TOKENS:
        raise ModelError(f"{where} gives {shown(output)}, not {TOKENS}.")
    length = _length(values, where)
    _refuse_settings(values, where)
    return length, _flag(values, "do_lower_case", False, where)


def _length(values: Config, where: str) -> int | None:
    told = [values.get("max_seq_length")]
    told += [
        _mapping(values, name, where).get("model_max_length")
        for name in ("tokenizer_args", "processor_kwargs")
    ]
    # an explicit setting of the tokenizer comes before the module's own
    length = next((value for value in reversed(told) if value is not None), None)
    if length is not None and (type(length) is not int or not 1 <= length < 2**31):
        raise ModelError(
            f"{where} has max_seq_length = {shown(length)}: a number of tokens, or null."
        )
    return length


def _refuse_settings(values: Config, where: str) -> None:
    """Refuse by name what would give other features and is not known here."""
    groups = ("model_args", "model_kwargs", "config_args", "config_kwargs")
    found = [(group, key) for group in groups for key in _mapping(values, group, where)]
    odd = [f"{group}.{key}" for group, key in found if key not in HARMLESS]
    for group in ("tokenizer_args", "processor_kwargs"):
        known = {*HARMLESS, "model_max_length", "padding_side"}
        odd += [f"{group}.{key}" for key in _mapping(values, group, where) if key not in known]
    others = ("processing_kwargs", "tokenizer_name_or_path", "query_expansion")
    odd += [key for key in others if values.get(key)]
    if odd:
        raise ModelError(f"{where} has settings that are not read: {bare(listed(odd, 3), 160)}.")


def _mapping(values: Config, name: str, where: str) -> Config:
    found = values.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ModelError(f"{where} has {name} = {shown(found)}: names and values are wanted.")
    return found


def _flag(values: Config, name: str, default: bool, where: str) -> bool:
    value = values.get(name, default)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelError(f"{where} has {name} = {shown(value)}: true or false is wanted.")
    return value


def _number(values: Config, name: str, where: str) -> int:
    value = values.get(name)
    if type(value) is not int or not 0 < value < 2**31:
        raise ModelError(f"{where} has {name} = {shown(value)}: a number from 1 on is wanted.")
    return value


def _about(values: Config, where: str) -> tuple[str, int | None]:
    """The prompt that stands before every text by default, and how many features are kept."""
    kind = values.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ModelError(
            f"{where} is a {shown(kind)}: of this library SentenceTransformer is read."
        )
    width = values.get("truncate_dim")
    if width is not None:
        width = _number(values, "truncate_dim", f"{where}/{MODEL_FILE}")
    prompts, name = values.get("prompts") or {}, values.get("default_prompt_name")
    if name is None:
        return "", width
    known = isinstance(prompts, dict) and isinstance(name, str) and name in prompts
    prompt = prompts[name] if known else None
    if known and prompt is None:
        prompt = ""
    if not isinstance(prompt, str):
        raise ModelError(
            f"{where}/{MODEL_FILE} has the default prompt {shown(name)}, which its prompts do not "
            "hold as a text."
        )
    return prompt, width


def _fitting(stated: int, widths: Widths, name: str, where: str) -> None:
    if name not in widths:
        raise ModelError(f"{where} reads {shown(name)}, which no module before it gives.")
    if stated != widths[name]:
        raise ModelError(
            f"{where} reads {stated} features, what comes before it gives {widths[name]}."
        )


def _pooling(values: Config, widths: Widths, where: str) -> Step:
    stated = _dimension(values, widths, where)
    _fitting(stated, widths, TOKENS, where)
    modes = _modes(values, where)
    widths[SENTENCE] = stated * len(modes)
    whole = _flag(values, "include_prompt", True, where)
    return {"layer": "pooling", "modes": modes, "whole": whole}


def _dimension(values: Config, widths: Widths, where: str) -> int:
    """Features of a token, under the new name of that setting, the old one, or both alike."""
    names = [name for name in ("embedding_dimension", "word_embedding_dimension") if name in values]
    stated = {_number(values, name, where) for name in names} or {widths[TOKENS]}
    if len(stated) > 1:
        raise ModelError(f"{where} contradicts itself: {listed(sorted(stated))} features a token.")
    return stated.pop()


def _modes(values: Config, where: str) -> list[str]:
    """How tokens are pooled, by one of the two forms in which that is written, or by both alike."""
    old = [key for key in values if key.startswith("pooling_mode_")]
    unknown = [key for key in old if key not in OLD_MODES]
    if unknown:
        raise ModelError(f"{where} has a setting that is not read: {bare(unknown[0])}.")
    chosen = [mode for key, mode in OLD_MODES.items() if _flag(values, key, False, where)]
    modes = values.get("pooling_mode")
    if modes is None:
        modes = chosen
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes:
        raise ModelError(f"{where} says no way to pool the tokens.")
    odd = [mode for mode in modes if not isinstance(mode, str) or mode not in MODES]
    if odd or len(modes) > MOST_MODULES:
        raise ModelError(f"{where} pools by {shown(modes, 100)}: known are {', '.join(MODES)}.")
    if old and sorted(chosen) != sorted(modes):
        raise ModelError(
            f"{where} contradicts itself: pooling_mode says {listed(modes)}, the older settings "
            f"say {listed(chosen) or 'none'}."
        )
    return modes


def _dense(values: Config, widths: Widths, where: str) -> Step:
    inputs, outputs = (_number(values, name, where) for name in ("in_features", "out_features"))
    source, target = _names(values, where)
    _fitting(inputs, widths, source, where)
    widths[target] = outputs
    called = values.get("activation_function", "torch.nn.Tanh")
    found = ACTIVATION.fullmatch(called) if isinstance(called, str) else None
    if found is None or found["name"] not in ACTIVATIONS:
        raise UnsafeModel(
            f"{where} has the activation {shown(called)}, which is not known here and never "
            f"imported: {', '.join(ACTIVATIONS)} of torch.nn are."
        )
    return {
        "layer": "dense",
        "inputs": inputs,
        "outputs": outputs,
        "bias": _flag(values, "bias", True, where),
        "residual": _flag(values, "use_residual", False, where),
        "activation": found["name"],
        "source": source,
        "target": target,
    }


def _names(values: Config, where: str) -> tuple[str, str]:
    """What a module reads and writes."""
    source = values.get("module_input_name", SENTENCE)
    target = values.get("module_output_name")
    target = source if target is None else target
    for name in (source, target):
        if name not in (TOKENS, SENTENCE):
            raise ModelError(f"{where} reads or writes {shown(name)}: {TOKENS} or {SENTENCE}.")
    return source, target


def _normalize(values: Config, widths: Widths, where: str) -> Step | None:
    source, target = _names(values, where)
    if source not in widths:  # as in the library, which passes over it
        return None
    widths[target] = widths[source]
    return {"layer": "normalize", "source": source, "target": target}


def _layer_norm(values: Config, widths: Widths, where: str) -> Step:
    width = _number(values, "dimension", where)
    _fitting(width, widths, SENTENCE, where)
    return {"layer": "layer-norm", "width": width}


def _dropout(values: Config, widths: Widths, where: str) -> Step:
    share = values.get("dropout", 0.2)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise ModelError(f"{where} has dropout = {shown(share)}: from 0 to below 1.")
    if SENTENCE not in widths:
        raise ModelError(f"{where} comes before any Pooling.")
    return {"layer": "dropout", "share": float(share)}


WITH_WEIGHTS = ("Dense", "LayerNorm")
_READERS: Mapping[str, Callable[[Config, Widths, str], Step | None]] = {
    "Pooling": _pooling,
    "Dense": _dense,
    "Normalize": _normalize,
    "LayerNorm": _layer_norm,
    "Dropout": _dropout,
}
