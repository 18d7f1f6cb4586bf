"""A tuned Hugging Face network as a model folder of ours that transformers reads as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bequest.core import Predicts
from bequest.errors import ModelError
from bequest.frameworks.folder import spec_to_config, write_folder
from bequest.frameworks.huggingface_config import with_classes
from bequest.frameworks.huggingface_inputs import Pixels, Tokens
from bequest.frameworks.weights import write_weights

if TYPE_CHECKING:
    from bequest.frameworks.huggingface_network import HuggingFaceNetwork
    from bequest.frameworks.torch_model import Network

__all__ = ["OF_OURS", "OWN_HEAD", "SECTION", "TOKENIZER", "WEIGHTS", "write_model"]

SECTION = "bequest_model"  # of config.json: what is ours; the rest is what transformers knows
OF_OURS = ("format", "bequest", "kind", "files", "digest", SECTION)
OWN_HEAD = "bequest_head."  # of the names of a head that is ours
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
BODY = "network."


def write_model(network: HuggingFaceNetwork, model: Network, folder: str | Path) -> None:
    """Write the folder: one ``config.json`` with transformers' keys at the top and ours in it.

    `ModelError` where the network's class is not transformers' own, or its config has keys of ours.
    """
    if not type(network.network).__module__.startswith("transformers."):
        raise ModelError(
            f"{type(network.network).__name__} is no class of transformers' own: its folder could "
            "not be loaded again without running its code."
        )
    encoder = model.encoder
    ours = {
        "spec": spec_to_config(model.spec),
        "classes": list(model.classes),
        "target_scale": list(model.target_scale),
        "head": model.head,
        "added_bias": _added_bias(network, model.head),
        "width": network.head.in_features if hasattr(network, "head") else None,
        "modality": network.modality,
        "pooling": network.pooling,
        "encoder": None if encoder is None else encoder.to_config(),
        "batch_size": model.batch_size,
    }
    predicts = isinstance(model, Predicts)
    config = with_classes(network.config, model.classes) if predicts else network.config
    architecture = type(network.network).__name__
    whole = {**config, "architectures": [architecture], "dtype": "float32", SECTION: ours}
    taken = sorted(set(OF_OURS) & set(config))
    if taken:
        raise ModelError(f"the network's config uses keys that a model folder needs: {taken}.")

    def write(place: Path) -> None:
        write_weights(place / WEIGHTS, _stored(network.state_dict()))
        if isinstance(encoder, Tokens):
            (place / TOKENIZER).write_text(encoder.content, encoding="utf-8")
            _write_json(place / "tokenizer_config.json", _tokenizer_config(encoder))
        if isinstance(encoder, Pixels):
            _write_json(place / "preprocessor_config.json", encoder.to_preprocessor())

    write_folder(folder, kind="huggingface", config=whole, card=model.card, write=write)


def _added_bias(network: HuggingFaceNetwork, head: str) -> str:
    """Name of a bias that the head was tuned with and transformers' class does not have."""
    tuned = network.bare and getattr(network.get_submodule(head), "bias", None) is not None
    return f"{head.removeprefix(BODY)}.bias" if tuned else ""


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under transformers' names; a head of ours under a name of its own."""
    body = {name.removeprefix(BODY): t for name, t in tensors.items() if name.startswith(BODY)}
    head = {name: t for name, t in tensors.items() if name.startswith("head.") and t.numel()}
    return body | {OWN_HEAD + name.removeprefix("head."): t for name, t in head.items()}


def _tokenizer_config(encoder: Tokens) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": encoder.length,
        **encoder.special,
    }


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
