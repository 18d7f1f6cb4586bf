"""Pieces that several plain implementations share.

B samples, T tokens, D width, H heads.
"""

import torch
from torch import Tensor, nn


def _per_head(x: Tensor, heads: int) -> Tensor:
    batch, tokens, _ = x.shape
    return x.reshape(batch, tokens, heads, -1).permute(0, 2, 1, 3)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    heads: int,
    *,
    causal: bool = False,
    bias: Tensor | float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Softmax attention on (B, T, D) projections, written out."""
    q, k, v = (_per_head(x, heads) for x in (queries, keys, values))
    scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scale is None else scale) + bias
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    return (scores.softmax(-1) @ v).permute(0, 2, 1, 3).flatten(2)


class FusedAttention(nn.Module):
    """One layer for queries, keys and values."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.to_out = nn.Linear(width, width)
        self.to_qkv = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.to_qkv(x).chunk(3, dim=-1)
        return self.to_out(attend(queries, keys, values, self.heads, causal=self.causal))


class OpaqueAttention(nn.Module):
    """Four square layers, registered in an order that says nothing: d=output, c=q, b=v, a=k."""

    def __init__(self, width: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.d = nn.Linear(width, width, bias=bias)
        self.b = nn.Linear(width, width, bias=bias)
        self.a = nn.Linear(width, width, bias=bias)
        self.c = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor, memory: Tensor | None = None, **options: object) -> Tensor:
        memory = x if memory is None else memory
        return self.d(attend(self.c(x), self.a(memory), self.b(memory), self.heads, **options))


class FeedForward(nn.Module):
    """Two layers; the second is registered first."""

    def __init__(self, width: int, inner: int, approximate: str = "none") -> None:
        super().__init__()
        self.shrink = nn.Linear(inner, width)
        self.grow = nn.Linear(width, inner)
        self.act = nn.GELU(approximate)

    def forward(self, x: Tensor) -> Tensor:
        return self.shrink(self.act(self.grow(x)))


class RootMeanSquare(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.gain
