"""A Hugging Face network as a module of one input, with one head whose input is the features.

Tuned, it becomes a model folder of ours that transformers reads as well.

N samples, T tokens, D features, C classes; C, H and W of images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from bequest.core import Predicts
from bequest.errors import ModelError
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.encoders.static_embedding import StaticEmbedding
from bequest.frameworks.encoders.tokens import PADDING, Tokens
from bequest.frameworks.files.folder import write_folder
from bequest.frameworks.files.weights import write_weights
from bequest.frameworks.hugging_face.config import with_classes
from bequest.frameworks.hugging_face.sentence_modules import SentenceLayers
from bequest.frameworks.torch.device import running_to_config
from bequest.frameworks.torch.model import ForeignNetwork, Network

__all__ = ["OF_OURS", "OWN_HEAD", "OWN_LAYERS", "SECTION", "HuggingFaceNetwork", "Pooling"]

SECTION = "bequest_model"  # of config.json: what is ours; the rest is what transformers knows
OF_OURS = ("format", "bequest", "kind", "files", "digest", SECTION)
OWN_HEAD = "bequest_head."  # of the names of a head that is ours
OWN_LAYERS = "bequest_layers."  # of the layers between the network and that head
BODY = "network."
LAYERS = "sentence."
Pooling = Literal["", "mean", "first", "last", "last-token", "image", "layers"]


@final
class HuggingFaceNetwork(ForeignNetwork):
    """A network of transformers, called with token numbers (N, T) or pixels (N, C, H, W).

    Parameters
    ----------
    network : PreTrainedModel
    modality : {"text", "image"}
    config : mapping
        Its audited ``config.json``.
    pooling : {"", "mean", "first", "last", "last-token", "image", "layers"}
        How one row of features comes from those of all tokens, where the network does not do it
        itself: their mean, the first or last token's, an image network's own way, or `layers`. With
        "last" the network's own head reads the last token, otherwise ``head`` of this module.
    width : int, optional
        D: gives this module a head, which has no outputs yet.
    layers : SentenceLayers, optional
        With "layers": what sentence-transformers puts behind the network.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        modality: Literal["text", "image"],
        config: Mapping[str, Any],
        pooling: Pooling = "",
        width: int | None = None,
        layers: SentenceLayers | None = None,
    ) -> None:
        super().__init__()
        self.network, self.training = network, network.training
        self.modality = modality
        self.config = dict(config)
        self.pooling = pooling
        padding = config.get("pad_token_id")
        self.padding = padding if isinstance(padding, int) and padding >= 0 else 0
        # transformers' decoders have a head without a bias, which tuning then adds
        self.bare = pooling == "last" and network.get_submodule("score").bias is None
        self.sentence = layers
        if width is not None:
            self.add_head(width)

    @property
    def structure(self) -> Mapping[str, Any]:
        """Class of the network, its config, and how features come from tokens."""
        name = type(self.network).__name__
        steps = [] if self.sentence is None else list(self.sentence.steps)
        return {
            "huggingface": name, "config": self.config, "pooling": self.pooling, "layers": steps,
        }  # fmt: skip

    def forward(self, samples: Tensor) -> Tensor:
        """Logits (N, C) or values (N, 1)."""
        if not self.pooling:
            logits: Tensor = self.network(**self._given(samples)).logits
            return logits
        own = self.pooling == "last"
        head = self.network.get_submodule("score") if own else self.head
        values: Tensor = head(self.pooled(samples))
        return values

    def pooled(self, samples: Tensor) -> Tensor:
        """Features (N, D) of the samples, where the network does not pool by itself."""
        hidden, mask, layers = self.hidden(samples)
        if self.pooling == "image":
            return self._pooled_patches(hidden)
        if self.pooling == "first":
            return hidden[:, 0]
        if self.sentence is not None:
            features: Tensor = self.sentence(hidden, mask, layers)
            return features
        if self.pooling in ("last", "last-token"):
            return hidden[torch.arange(hidden.shape[0]), mask.sum(dim=1) - 1]
        weights = mask.to(hidden.dtype)[:, :, None]
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def hidden(self, samples: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Last hidden states (N, T, D), the mask (N, T) of tokens, and the states of all layers.

        The latter only where the config asks for them.

        Of images the states have the network's own shape, and the mask has no meaning.
        """
        given = self._given(samples)
        body: nn.Module = self.network.base_model if self.pooling == "last" else self.network  # type: ignore[assignment]
        output = body(**given)
        layers = tuple(getattr(output, "hidden_states", None) or ())
        return output.last_hidden_state, given.get("attention_mask", samples), layers

    def _given(self, samples: Tensor) -> dict[str, Tensor]:
        """What transformers calls the samples."""
        if self.modality == "image":
            return {"pixel_values": samples}
        tokens = samples
        if not torch.compiler.is_compiling():  # an export knows no numbers
            tokens = samples[:, : int((samples != PADDING).sum(dim=1).max())]
        known = tokens != PADDING
        return {
            "input_ids": torch.where(known, tokens, self.padding),
            "attention_mask": known.long(),
        }

    def _pooled_patches(self, hidden: Tensor) -> Tensor:
        if hidden.ndim == 4:
            return hidden.mean(dim=(2, 3))
        # a class token stands first, where there is one; else every patch counts the same
        whole = any(name.endswith("cls_token") for name, _ in self.network.named_parameters())
        return hidden[:, 0] if whole else hidden.mean(dim=1)

    def add_head(self, width: int) -> None:
        """Give it a head that reads `width` features, and has no outputs until it is tuned."""
        self.head = nn.Linear(width, 1, device="meta")  # numbers would be drawn for nothing
        self.head.weight = nn.Parameter(torch.empty(0, width))
        self.head.bias = nn.Parameter(torch.empty(0))
        self.head.out_features = 0

    def write(self, model: Network, folder: str | Path) -> None:
        """Write the folder: one ``config.json`` with transformers' keys at the top and ours in it.

        `ModelError` where the network's class is not transformers' own, or its config has keys of
        ours.
        """
        name = type(self.network).__name__
        own = isinstance(self.network, StaticEmbedding)
        if not (own or type(self.network).__module__.startswith("transformers.")):
            raise ModelError(
                f"{name} is no class of transformers' own: its folder could not be loaded again "
                "without running its code."
            )
        encoder = model.encoder
        ours = {
            "spec": asdict(model.spec),
            "classes": list(model.classes),
            "target_scale": list(model.target_scale),
            "head": model.head,
            "added_bias": self._added_bias(model.head),
            "width": self.head.in_features if hasattr(self, "head") else None,
            "modality": self.modality,
            "pooling": self.pooling,
            "layers": self.structure["layers"],
            "encoder": None if encoder is None else encoder.to_config(),
            **running_to_config(model),
        }
        predicts = isinstance(model, Predicts)
        config = with_classes(self.config, model.classes) if predicts else self.config
        whole = {**config, "architectures": [name], "dtype": "float32", SECTION: ours}
        taken = sorted(set(OF_OURS) & set(config))
        if taken:
            raise ModelError(f"the network's config uses keys that a model folder needs: {taken}.")

        def write(place: Path) -> None:
            write_weights(place / "model.safetensors", self._stored())
            if isinstance(encoder, Tokens):
                (place / "tokenizer.json").write_text(encoder.content, encoding="utf-8")
                about = {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "model_max_length": encoder.length,
                }
                _write_json(place / "tokenizer_config.json", {**about, **encoder.special})
            if isinstance(encoder, Pixels):
                _write_json(place / "preprocessor_config.json", encoder.to_preprocessor())

        write_folder(folder, kind="huggingface", config=whole, card=model.card, write=write)

    def _added_bias(self, head: str) -> str:
        """Name of a bias that the head was tuned with and transformers' class does not have."""
        tuned = self.bare and getattr(self.get_submodule(head), "bias", None) is not None
        return f"{head.removeprefix(BODY)}.bias" if tuned else ""

    def _stored(self) -> dict[str, Tensor]:
        """Tensors under transformers' names; a head and layers of ours under names of their own."""
        stored = {}
        for ours, theirs in ((BODY, ""), (LAYERS, OWN_LAYERS), ("head.", OWN_HEAD)):
            for name, tensor in self.state_dict().items():
                if name.startswith(ours) and (tensor.numel() or ours != "head."):
                    stored[theirs + name.removeprefix(ours)] = tensor
        return stored


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
