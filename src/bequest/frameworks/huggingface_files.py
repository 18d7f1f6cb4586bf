"""The files of a Hugging Face folder: found, measured and read, none of them run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.file_formats import PICKLES
from bequest.frameworks.folder import read_json
from bequest.frameworks.huggingface_inputs import Pixels, Tokens
from bequest.frameworks.shards import check_shard, shards_of
from bequest.frameworks.weights import read_weights

__all__ = [
    "folder_weights",
    "licence_of",
    "pixels_of",
    "pooled_by_first",
    "tokens_from",
    "tokens_of",
]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_LIMIT = 64 * 2**20  # bytes; the largest public ones have 35 MB
README_LIMIT = 2**16  # characters of a model card that are looked at
MOST_TOKENS = 512  # a longer text costs its square in attention
SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
FRONT = re.compile(r"\A---\n(.*?)\n---", re.S)
LICENCE = re.compile(r"^license: *[\"']?([A-Za-z0-9.+-]{1,64})[\"']? *$", re.M)


def folder_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by name, from one file or from shards.

    `UnsafeModel` where it has pickles only, or its index names files outside of the folder.
    """
    if (folder / WEIGHTS).is_file():
        return read_weights(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _shards(folder)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        raise UnsafeModel(
            f"{folder} holds its weights as a pickle ({pickles[0]}): opening it can run code. "
            f"`bequest convert` writes {WEIGHTS} from it without running any."
        )
    raise ModelError(f"{folder} has a config.json and no weights: {WEIGHTS} is wanted.")


def _shards(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for shard, wanted in shards_of(folder / INDEX).items():
        tensors = read_weights(folder / shard)
        check_shard(folder / shard, tensors, wanted)
        found |= tensors
    return found


def tokens_of(folder: Path, config: Mapping[str, Any], network: nn.Module) -> Tokens:
    """The tokenizer of a folder, checked against the network that reads its tokens."""
    path = folder / "tokenizer_config.json"
    told = read_json(path) if path.is_file() else {}
    return tokens_from(_tokenizer_file(folder), told, config, network, folder.name)


def tokens_from(
    content: str,
    told: Mapping[str, Any],
    config: Mapping[str, Any],
    network: nn.Module,
    where: str,
) -> Tokens:
    """A tokenizer, checked against the network that reads its tokens.

    `content` is that of its ``tokenizer.json``, `told` that of its ``tokenizer_config.json``,
    `config` the network's.
    """
    special = {f"{name}_token": _token(told.get(f"{name}_token")) for name in SPECIAL}
    fillers = [config.get(f"{name}_token_id") for name in ("pad", "eos", "bos")]
    tokens = Tokens(
        content,
        length=_length(told, config, network),
        filler=next((n for n in fillers if isinstance(n, int) and n >= 0), 0),
        special={name: token for name, token in special.items() if token},
    )
    embedding: Any = network.get_input_embeddings()  # type: ignore[operator]
    known = len(embedding.weight)
    if max(tokens.highest, tokens.filler) >= known:
        raise ModelError(
            f"{where} has a tokenizer that makes tokens up to "
            f"{max(tokens.highest, tokens.filler)}, the network knows {known} (0 to {known - 1}): "
            "they are not of one model."
        )
    return tokens


def _tokenizer_file(folder: Path) -> str:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"{folder} has no tokenizer.json. Where transformers knows the tokenizer, "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes it."
        )
    size = path.stat().st_size
    if size > TOKENIZER_LIMIT:
        raise ModelError(f"{path} has {size} bytes, at most {TOKENIZER_LIMIT} are read.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is no tokenizer: it is not UTF-8.") from error


def _token(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _length(told: Mapping[str, Any], config: Mapping[str, Any], network: nn.Module) -> int:
    """Tokens that the network has places for, `MOST_TOKENS` at most."""
    limits = [told.get("model_max_length"), MOST_TOKENS, *_places(network)]
    limits += [config.get("n_positions"), config.get("max_position_embeddings")]
    return int(min(limit for limit in limits if isinstance(limit, int | float) and limit > 0))


def _places(network: nn.Module) -> Iterator[int]:
    """Positions that a table of them has; RoBERTa and its kin count from behind the padding's."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Embedding) and "position" in name.rpartition(".")[2]:
            offset = 0 if layer.padding_idx is None else layer.padding_idx + 1
            yield max(1, len(layer.weight) - offset)


def pixels_of(folder: Path, config: Mapping[str, Any]) -> Pixels:
    """How a folder's network wants its images: what its ``preprocessor_config.json`` says."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise ModelError(f"{folder} has no preprocessor_config.json: how big, how scaled?")
    channels = config.get("num_channels", 3)
    if not isinstance(channels, int):
        raise ModelError(f"{folder}/config.json says num_channels = {str(channels)[:40]}.")
    return Pixels.from_preprocessor(read_json(path), channels, folder.name)


def pooled_by_first(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether the first token stands for the text; the mean of all does where nothing is said."""
    if config.get("classifier_pooling") == "cls":
        return True
    path = folder / "1_Pooling" / "config.json"  # sentence-transformers' place for it
    return path.is_file() and bool(read_json(path).get("pooling_mode_cls_token"))


def licence_of(folder: Path) -> str:
    """The licence that a model card names; empty where there is none."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        front = FRONT.match(file.read(README_LIMIT))
    named = LICENCE.search(front[1]) if front else None
    return named[1] if named else ""
