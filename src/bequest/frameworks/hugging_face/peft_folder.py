"""A folder of peft: a LoRA adapter of a network of transformers, put on its base.

Nothing is fetched: the folder says what its base is called, and a person gives it, or the cache of
the Hub has it. r is the rank.
"""

from __future__ import annotations

import copy
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bequest.core import Card, Model
from bequest.core.plain_values import escaped, quoted
from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.weights import read_weights
from bequest.frameworks.hugging_face.files import licence_of
from bequest.frameworks.hugging_face.load import load_by_name
from bequest.frameworks.hugging_face.model import model_with_head
from bequest.frameworks.hugging_face.network import HuggingFaceNetwork
from bequest.frameworks.torch.model import TorchFeatures, TorchModel

__all__ = ["load_peft"]

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
FACTOR = re.compile(r"(.+)\.lora_(A|B)\.weight")
SAVED = ".modules_to_save"
# What changes a forward pass in another way than ``W + alpha / r * B A``.
OTHER_WAYS = (
    "use_dora", "lora_bias", "layer_replication", "trainable_token_indices", "exclude_lora_base",
    "use_qalora", "alora_invocation_tokens", "arrow_config", "target_parameters",
)  # fmt: skip
Factors = dict[str, dict[str, Tensor]]

logger = logging.getLogger(__name__)


def load_peft(
    folder: Path,
    config: Mapping[str, Any],
    card: Card | None,
    modules: Sequence[type] = (),
    base: Model | None = None,
) -> TorchModel | TorchFeatures:
    """Fold a LoRA adapter of peft into a copy of its base.

    `config` is its ``adapter_config.json``. A head that was trained with it (``modules_to_save``)
    comes along; where the base has none of that kind, the classifier of its type is built.

    Raises
    ------
    ModelError
        No base is given, and the cache of the Hub does not hold it; or one that is no network of
        transformers or does not have the layers; or the adapter is of another kind than LoRA.
    UnsafeModel
        Its weights are a pickle.

    References
    ----------
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022. Kalajdzievski, A Rank
    Stabilization Scaling Factor for Fine-Tuning with LoRA, 2023 (``use_rslora``).
    """
    where, named = folder.name, _base_name(config)
    _check(config, where)
    if base is None:
        base = _cached(config, where)
    if not isinstance(base, TorchModel | TorchFeatures) or not isinstance(
        base.module, HuggingFaceNetwork
    ):
        raise ModelError(
            f"{where} is an adapter of {named}; the base given, {base.name!r}, is no network of "
            "transformers."
        )
    if base.name and _short(base.name) != _short(named):
        logger.warning(
            "%s was made on %s and is put on %s: whether they are the same, it does not say.",
            where, named, base.name,
        )  # fmt: skip
    factors, saved = _tensors(folder, where)
    card = Card(name=where, licence=licence_of(folder), parents=(base.name,) if base.name else ())
    try:
        changes = _changes(base.module.network, factors, config)
        if not saved:
            return _changed(base, changes, card)
        return model_with_head(base, changes, _head(base.module.network, saved), card)
    except _NotOfThisBaseError as error:
        raise ModelError(
            f"{where} is an adapter of {named}; the base given, {base.name!r}, is another: {error}"
        ) from error


class _NotOfThisBaseError(Exception):
    """How the base differs from what the adapter was made on."""


def _short(name: str) -> str:
    """The last part of a name on the Hub, without a revision; or of a folder."""
    return name.rstrip("/").rpartition("/")[2].partition("@")[0]


def _base_name(config: Mapping[str, Any]) -> str:
    named = config.get("base_model_name_or_path")
    return escaped(named) if isinstance(named, str) and named else "a model that it does not name"


def _cached(config: Mapping[str, Any], where: str) -> Model:
    """The base by the name that the adapter gives, out of the cache of the Hub."""
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    name = f"hf://{named or ''}" + (f"@{revision}" if revision else "")
    try:
        return load_by_name(name, local=True)
    except ModelError as error:
        raise ModelError(
            f"{where} is an adapter of {_base_name(config)} and predicts nothing without it, which "
            "is not fetched: bequest.load(folder, base=...) with that model, its folder, or its "
            f"name on the Hub. (Of the cache: {error})"
        ) from error


def _check(config: Mapping[str, Any], where: str) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelError(f"{where} is an adapter of the kind {quoted(kind)}: LORA is read.")
    used = [name for name in OTHER_WAYS if config.get(name)]
    if config.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise ModelError(
            f"{where} uses {listed(used)}, which is not read: merge it with peft "
            "(merge_and_unload), save the whole model and load that."
        )


def _tensors(folder: Path, where: str) -> tuple[Factors, dict[str, Tensor]]:
    """The factors of each layer, and the layers that were trained whole."""
    if not (folder / WEIGHTS).is_file():
        if (folder / "adapter_model.bin").is_file():
            raise UnsafeModel(
                f"{where} holds its weights as a pickle only: bequest convert "
                f"{folder / 'adapter_model.bin'} {folder / WEIGHTS} takes them out."
            )
        raise ModelError(f"{where} has no {WEIGHTS}.")
    factors: Factors = {}
    saved = {}
    for name, tensor in read_weights(folder / WEIGHTS).items():
        if not name.startswith(PREFIX):
            raise ModelError(
                f"{where} holds {escaped(name)}, which is no tensor of a LoRA adapter."
            )
        inside = name.removeprefix(PREFIX)
        found = FACTOR.fullmatch(inside)
        if found is not None:
            factors.setdefault(found[1], {})[found[2]] = tensor
        elif ".lora_" in f".{inside}":
            raise ModelError(
                f"{where} holds {escaped(name)}, which is not read: merge it with peft."
            )
        else:
            saved[inside.replace(SAVED, "")] = tensor
    halves = [layer for layer, pair in factors.items() if len(pair) != 2]
    if halves:
        raise ModelError(f"{where} holds one factor only of {escaped(halves[0])}.")
    return factors, saved


def _changes(network: nn.Module, factors: Factors, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """What is added to each weight of the network, by its name there, float64."""
    changes = {}
    for layer, pair in factors.items():
        low, high = pair["A"].double(), pair["B"].double()
        path, module = _layer(network, layer)
        change = (high.flatten(1) @ low.flatten(1)) * _scale(config, layer, len(low))
        transposed = type(module).__name__ == "Conv1D"
        change = change.T if transposed else change
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or weight.numel() != change.numel():
            shape = tuple(weight.shape) if isinstance(weight, Tensor) else "no weight"
            raise _NotOfThisBaseError(
                f"its {escaped(path)} is {shape}, the adapter changes {tuple(change.shape)}."
            )
        if len(change) != len(weight):
            raise _NotOfThisBaseError(
                f"its {escaped(path)} is {tuple(weight.shape)}, the adapter changes "
                f"{tuple(change.shape)}."
            )
        changes[f"{path}.weight"] = change.reshape(weight.shape)
    return changes


def _layer(network: nn.Module, name: str) -> tuple[str, nn.Module]:
    """A layer under the adapter's name, or that without or with the name of the body."""
    prefix = f"{getattr(network, 'base_model_prefix', '')}."
    for path in (name, name.removeprefix(prefix), prefix + name):
        try:
            return path, network.get_submodule(path)
        except AttributeError:
            continue
    raise _NotOfThisBaseError(f"it has no {escaped(name)}.")


def _scale(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """``alpha / r``, or ``alpha / sqrt(r)`` where it says so; a pattern may give another alpha."""
    alpha = config.get("lora_alpha", 8)
    patterns = config.get("alpha_pattern") or {}
    for pattern, value in patterns.items() if isinstance(patterns, Mapping) else ():
        # peft reads them as regular expressions: of what is untrusted only plain names are taken
        if layer == pattern or layer.endswith(f".{pattern}"):
            alpha = value
            break
        if re.escape(pattern).replace(r"\.", ".") != pattern:
            raise ModelError(f"the adapter's alpha_pattern {quoted(pattern)} is no plain name.")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ModelError(f"the adapter's lora_alpha is {quoted(alpha)}, no number.")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _changed(
    base: TorchModel | TorchFeatures, changes: Mapping[str, Tensor], card: Card
) -> TorchModel | TorchFeatures:
    module = copy.deepcopy(base.module)
    network: Any = module.network
    with torch.no_grad():
        for name, change in changes.items():
            weight = network.get_parameter(name)
            weight.copy_(weight.double() + change.to(weight.device))
    if isinstance(base, TorchModel):
        return replace(base, module=module, card=card, origin=None)
    return replace(base, module=module, card=card, origin=None)  # type: ignore[arg-type]


def _head(network: nn.Module, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layers that were trained whole; they belong to the head and not to the body."""
    body = {name for name, _ in getattr(network, "base_model", network).named_parameters()}
    prefix = f"{getattr(network, 'base_model_prefix', '')}."
    inside = [name for name in saved if name.removeprefix(prefix) in body]
    if inside:
        raise ModelError(f"the adapter replaces {escaped(inside[0])}, which is not read: merge it.")
    return dict(saved)
