"""Settings of a sentence-transformers folder: the known ones are read, others refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bequest.core.plain_values import escaped, quoted
from bequest.core.wording import listed
from bequest.errors import ModelError
from bequest.frameworks.hugging_face.sentence_modules import TOKENS

__all__ = ["MODEL_FILE", "Config", "flag", "number", "prompt_and_width", "transformer_settings"]

MODEL_FILE = "config_sentence_transformers.json"
# What the settings of a Transformer may say that changes nothing here.
HARMLESS = {"attn_implementation", "device_map", "dtype", "torch_dtype", "trust_remote_code"}
TEXT_ONLY = {"method": "forward", "method_output_name": "last_hidden_state"}

Config = Mapping[str, Any]


def transformer_settings(values: Config, where: str) -> tuple[int | None, bool]:
    """The longest text in tokens, and whether it is put into lower case."""
    task = values.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ModelError(f"{where} is for {quoted(task)}: only feature-extraction is read.")
    modalities = values.get("modality_config")
    if modalities is not None and modalities != {"text": TEXT_ONLY}:
        raise ModelError(
            f"{where} reads {quoted(modalities, 160)}: only plain texts are read, each as the last "
            "hidden state of its tokens."
        )
    output = values.get("module_output_name", TOKENS)
    if output != TOKENS:
        raise ModelError(f"{where} gives {quoted(output)}, not {TOKENS}.")
    length = _length(values, where)
    _refuse_settings(values, where)
    return length, flag(values, "do_lower_case", False, where)


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
            f"{where} has max_seq_length = {quoted(length)}: a number of tokens, or null."
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
        raise ModelError(f"{where} has settings that are not read: {escaped(listed(odd, 3), 160)}.")


def prompt_and_width(values: Config, where: str) -> tuple[str, int | None]:
    """The prompt that stands before every text by default, and how many features are kept."""
    kind = values.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ModelError(
            f"{where} is a {quoted(kind)}: of this library SentenceTransformer is read."
        )
    width = values.get("truncate_dim")
    if width is not None:
        width = number(values, "truncate_dim", f"{where}/{MODEL_FILE}")
    prompts, name = values.get("prompts") or {}, values.get("default_prompt_name")
    if name is None:
        return "", width
    known = isinstance(prompts, dict) and isinstance(name, str) and name in prompts
    prompt = prompts[name] if known else None
    if known and prompt is None:
        prompt = ""
    if not isinstance(prompt, str):
        raise ModelError(
            f"{where}/{MODEL_FILE} has the default prompt {quoted(name)}, which its prompts do not "
            "hold as a text."
        )
    return prompt, width


def _mapping(values: Config, name: str, where: str) -> Config:
    found = values.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ModelError(f"{where} has {name} = {quoted(found)}: names and values are wanted.")
    return found


def flag(values: Config, name: str, default: bool, where: str) -> bool:
    """A setting that is true or false; one that is missing or null is the default."""
    value = values.get(name, default)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelError(f"{where} has {name} = {quoted(value)}: true or false is wanted.")
    return value


def number(values: Config, name: str, where: str) -> int:
    """A setting that is a whole number from 1 on."""
    value = values.get(name)
    if type(value) is not int or not 0 < value < 2**31:
        raise ModelError(f"{where} has {name} = {quoted(value)}: a number from 1 on is wanted.")
    return value
