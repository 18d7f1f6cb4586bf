"""A table of embeddings and no network, as model2vec and sentence-transformers have it.

N samples, T tokens, D features, V tokens that are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import final

import torch
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.frameworks.encoders.tokens import PADDING, UNCUT, Tokens

__all__ = ["STATIC", "StaticEmbedding", "static_embedding", "static_tokens"]

STATIC = "static-embedding"  # the model_type of the config of one that we wrote


@final
class StaticEmbedding(nn.Module):
    """The embeddings of tokens, called and asked as a network of transformers is.

    Parameters
    ----------
    table : tensor, shape (V, D)
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(table), table.shape[1], _weight=table)

    def get_input_embeddings(self) -> nn.Embedding:
        """The table."""
        return self.embedding

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """Embeddings (N, T, D), as a network gives its last hidden states."""
        return SimpleNamespace(last_hidden_state=self.embedding(input_ids))


def static_embedding(tensors: Mapping[str, Tensor], where: str) -> StaticEmbedding:
    """The table of a folder's tensors; `ModelError` where they are not of one.

    sentence-transformers stores ``embedding.weight``; model2vec ``embeddings``, of which tokens may
    share a row (``mapping``), and a weight for each token (``weights``).
    """
    table = tensors.get("embedding.weight")
    if table is None and (table := tensors.get("embeddings")) is not None:
        rows = tensors.get("mapping")
        if rows is not None:
            table = _rows(table, rows, where)
        if (weights := tensors.get("weights")) is not None:
            _check(weights.shape == table.shape[:1], "one weight for each token", where)
            table = table.float() * weights.float()[:, None]
    _check(table is not None and table.ndim == 2 and table.numel() > 0, "one table", where)
    assert table is not None
    return StaticEmbedding(table.float().contiguous()).eval()


def _rows(table: Tensor, rows: Tensor, where: str) -> Tensor:
    whole = rows.ndim == 1 and not rows.is_floating_point() and rows.numel() > 0
    _check(whole, "one row for each token", where)
    low, high = torch.aminmax(rows)
    _check(int(low) >= 0 and int(high) < len(table), "rows that the table has", where)
    return table[rows.long()]


def _check(sound: bool, what: str, where: str) -> None:
    if not sound:
        raise ModelError(f"{where}/model.safetensors holds no static embedding: {what} is wanted.")


def static_tokens(content: str, known: int, prompt: str, where: str) -> Tokens:
    """The tokenizer of such a table with V rows, `known`: it adds nothing, and cuts as it says."""
    tokens = Tokens(content, length=UNCUT, filler=PADDING, prompt=prompt, markers=False)
    tokens = tokens.cut_as_stored()
    if tokens.highest >= known:
        raise ModelError(
            f"{where} has a tokenizer that makes tokens up to {tokens.highest}, the table has "
            f"{known} rows: they are not of one model."
        )
    return tokens
