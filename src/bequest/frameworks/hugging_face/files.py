"""The files of a Hugging Face folder: found, measured and read, none of them run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.encoders.static_embedding import static_tokens
from bequest.frameworks.encoders.tokens import Tokens
from bequest.frameworks.files.file_formats import PICKLES
from bequest.frameworks.files.folder import read_json
from bequest.frameworks.files.shards import check_shard, shards_of
from bequest.frameworks.files.weights import DTYPES, read_header, read_weights
from bequest.frameworks.hugging_face.sentence_folder import SentenceFolder
from bequest.frameworks.torch.free_memory import check_memory

__all__ = [
    "folder_weights",
    "licence_of",
    "pixels_of",
    "tokens_from",
    "tokens_of",
]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_LIMIT = 64 * 2**20  # bytes; the largest public ones have 35 MB
README_LIMIT = 2**16  # characters of a model card that are looked at
MOST_TOKENS = 512  # a longer text costs its square in attention
UNBOUNDED = 2**31  # tokens; transformers writes 10^30 where a tokenizer has no limit
TRUNCATION = re.compile(r'"truncation": *\{[^{}]*"direction": *"(Left|Right)"')
SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
FRONT = re.compile(r"\A---\n(.*?)\n---", re.S)
LICENCE = re.compile(r"^license: *[\"']?([A-Za-z0-9.+-]{1,64})[\"']? *$", re.M)


def folder_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by name, from one file or from shards.

    `UnsafeModel` where it has pickles only, or its index names files outside of the folder.
    """
    if (folder / WEIGHTS).is_file():
        _check_memory(folder, [WEIGHTS])
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
    shards = shards_of(folder / INDEX)
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:  # found before the others, of gigabytes, are read
        raise ModelError(
            f"{folder} lacks {len(missing)} of its {len(shards)} files of weights: "
            f"{listed(missing, 3)}."
        )
    _check_memory(folder, shards)
    for shard, wanted in shards.items():
        tensors = read_weights(folder / shard)
        check_shard(folder / shard, tensors, wanted)
        found |= tensors
    return found


def _check_memory(folder: Path, files: Iterable[str]) -> None:
    entries = [entry for name in files for entry in read_header(folder / name).values()]
    sizes = [(dtype, math.prod(shape) * DTYPES[dtype].itemsize) for dtype, shape in entries]
    check_memory(sizes, folder.name)


def tokens_of(
    folder: Path, config: Mapping[str, Any], network: nn.Module, sentence: SentenceFolder | None
) -> Tokens:
    """The tokenizer of a folder, checked against the network that reads its tokens.

    `sentence` is what sentence-transformers' own files in the folder say.
    """
    path = folder / "tokenizer_config.json"
    told = read_json(path) if path.is_file() else {}
    content = _tokenizer_file(folder)
    if sentence is None:
        return tokens_from(content, told, config, network, folder.name)
    if sentence.static:
        known = len(network.get_input_embeddings().weight)  # type: ignore[operator]
        return static_tokens(content, known, sentence.prompt, folder.name)
    if sentence.lower:
        content = _in_lower_case(content, folder)
    stated = sentence.length
    if stated is None:
        places = getattr(network.config, "max_position_embeddings", None)
        limits = [told.get("model_max_length"), places, *_places(network)]
    else:  # as in that library, which then looks at nothing else
        limits = [stated, *_places(network)]
    length = _smallest(limits, folder.name)
    about: dict[str, Any] = {"length": length, "prompt": sentence.prompt}
    return tokens_from(content, told, config, network, folder.name, **about)


def tokens_from(
    content: str,
    told: Mapping[str, Any],
    config: Mapping[str, Any],
    network: nn.Module,
    where: str,
    *,
    length: int | None = None,
    prompt: str = "",
) -> Tokens:
    """A tokenizer, checked against the network that reads its tokens.

    `content` is that of its ``tokenizer.json``, `told` that of its ``tokenizer_config.json``,
    `config` the network's; `length` are the most tokens of a text, by default those that the
    network has places for, `MOST_TOKENS` at most; the `prompt` stands before every text.
    """
    special = {f"{name}_token": _token(told.get(f"{name}_token")) for name in SPECIAL}
    fillers = [config.get(f"{name}_token_id") for name in ("pad", "eos", "bos")]
    tokens = Tokens(
        content,
        length=_length(told, config, network, where) if length is None else length,
        filler=next((n for n in fillers if isinstance(n, int) and n >= 0), 0),
        special={name: token for name, token in special.items() if token},
        side=_side(told, content),
        prompt=prompt,
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


def _in_lower_case(content: str, folder: Path) -> str:
    """A tokenizer that puts texts into lower case before all else."""
    try:
        values = json.loads(content)
        before = values.get("normalizer")
    except (AttributeError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder}/tokenizer.json cannot be read: {str(error)[:80]}.") from error
    first = {"type": "Lowercase"}
    values["normalizer"] = {"type": "Sequence", "normalizers": [first, before]} if before else first
    return json.dumps(values, ensure_ascii=False)


def _side(told: Mapping[str, Any], content: str) -> Literal["right", "left"]:
    """Where a longer text is cut."""
    side = told.get("truncation_side")
    if side is None:
        found = TRUNCATION.search(content)  # JSON of up to 64 MB is not parsed a second time
        side = found[1].lower() if found else "right"
    return "left" if side == "left" else "right"


def _length(
    told: Mapping[str, Any], config: Mapping[str, Any], network: nn.Module, where: str
) -> int:
    """Tokens that the network has places for, `MOST_TOKENS` at most."""
    limits = [told.get("model_max_length"), MOST_TOKENS, *_places(network)]
    limits += [config.get("n_positions"), config.get("max_position_embeddings")]
    return _smallest(limits, where)


def _smallest(limits: Iterable[Any], where: str) -> int:
    known = [limit for limit in limits if isinstance(limit, int | float) and limit > 0]
    if not known or min(known) >= UNBOUNDED:
        raise ModelError(f"{where} does not say how long a text may be: max_seq_length, in tokens.")
    return int(min(known))


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


def licence_of(folder: Path) -> str:
    """The licence that a model card names; empty where there is none."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        front = FRONT.match(file.read(README_LIMIT))
    named = LICENCE.search(front[1]) if front else None
    return named[1] if named else ""
