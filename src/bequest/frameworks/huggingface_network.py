"""A Hugging Face network as a module of one input, with one head whose input is the features.

N samples, T tokens, D features, C classes; C, H and W of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor, nn

from bequest.frameworks.foreign_network import ForeignNetwork
from bequest.frameworks.huggingface_inputs import PADDING
from bequest.frameworks.huggingface_write import write_model

if TYPE_CHECKING:
    from bequest.frameworks.torch_model import Network

__all__ = ["HuggingFaceNetwork", "Pooling"]

Pooling = Literal["", "mean", "first", "last", "image"]


@final
class HuggingFaceNetwork(ForeignNetwork):
    """A network of transformers, called with token numbers (N, T) or pixels (N, C, H, W).

    Parameters
    ----------
    network : PreTrainedModel
    modality : {"text", "image"}
    config : mapping
        Its audited ``config.json``.
    pooling : {"", "mean", "first", "last", "image"}
        How one row of features comes from those of all tokens, where the network does not do it
        itself: their mean, the first or last token's, or an image network's own way. With "last"
        the network's own head follows, otherwise ``head`` of this module.
    width : int, optional
        D: gives this module a head, which has no outputs yet.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        modality: Literal["text", "image"],
        config: Mapping[str, Any],
        pooling: Pooling = "",
        width: int | None = None,
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
        if width is not None:
            self.add_head(width)

    @property
    def structure(self) -> Mapping[str, Any]:
        """Class of the network, its config, and how features come from tokens."""
        name = type(self.network).__name__
        return {"huggingface": name, "config": self.config, "pooling": self.pooling}

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
        given = self._given(samples)
        body: nn.Module = self.network.base_model if self.pooling == "last" else self.network  # type: ignore[assignment]
        hidden: Tensor = body(**given).last_hidden_state
        if self.pooling == "image":
            return self._pooled_patches(hidden)
        if self.pooling == "first":
            return hidden[:, 0]
        mask = given["attention_mask"]
        if self.pooling == "last":
            return hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
        weights = mask.to(hidden.dtype)[:, :, None]
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def _given(self, samples: Tensor) -> dict[str, Tensor]:
        """What transformers calls the samples."""
        if self.modality == "image":
            return {"pixel_values": samples}
        longest = int((samples != PADDING).sum(dim=1).max())
        tokens = samples[:, :longest]
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
        """Write a model folder that transformers can read as well."""
        write_model(self, model, folder)
