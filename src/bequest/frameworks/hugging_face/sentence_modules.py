"""The layers that sentence-transformers puts behind a transformer, built from plain values.

Each reads the values that the ones before it left under a name, as in that library: the tokens
(N, T, D) under ``token_embeddings``, the text (N, D) under ``sentence_embedding``.

N samples, T tokens, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.frameworks.torch.load_checked import load_checked

__all__ = [
    "ACTIVATIONS", "LAYERS", "MODES", "SENTENCE", "STATES", "TOKENS", "SentenceLayers",
    "layers_from",
]  # fmt: skip

TOKENS, SENTENCE = "token_embeddings", "sentence_embedding"
MASK, STATES = "attention_mask", "all_layer_embeddings"
FEWEST = 1e-9  # of a weight that is divided by, where no token counts
Values = dict[str, Any]


@final
class SentenceLayers(nn.Module):
    """The layers behind a transformer, in their order.

    Parameters
    ----------
    steps : sequence of mapping
        Of each layer its name in `LAYERS` under ``layer``, and what its class is called with.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.steps = tuple(dict(step) for step in steps)
        made = []
        for step in steps:
            settings = {key: value for key, value in step.items() if key != "layer"}
            made.append(LAYERS[step["layer"]](**settings))
        self.layers = nn.ModuleList(made)

    def forward(self, hidden: Tensor, mask: Tensor, states: Sequence[Tensor] = ()) -> Tensor:
        """Features (N, D) of tokens (N, T, D); those count whose mask (N, T) is 1.

        `states` are those of all layers, where one of these layers reads them.
        """
        values: Values = {TOKENS: hidden, MASK: mask, STATES: states}
        for layer in self.layers:
            layer(values)
        features: Tensor = values[SENTENCE]
        return features


def layers_from(
    steps: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor]
) -> SentenceLayers:
    """The layers with these tensors; `ModelError` where they are not theirs."""
    made = load_checked(lambda: SentenceLayers(steps), tensors).eval()
    assert isinstance(made, SentenceLayers)
    return made


@final
class PoolTokens(nn.Module):
    """One row of features from those of the tokens; several ways are put beside each other.

    Parameters
    ----------
    modes : sequence of str
        Names in `MODES`.
    skipped : int
        Tokens at the start that do not count: those of a prompt.
    """

    def __init__(self, modes: Sequence[str], skipped: int = 0) -> None:
        super().__init__()
        self.modes, self.skipped = tuple(modes), skipped

    def forward(self, values: Values) -> None:
        """Read the tokens and their mask, write the features of the text."""
        mask = values[MASK].clone()
        mask[:, : self.skipped] = 0
        pooled = [MODES[mode](values[TOKENS], mask) for mode in self.modes]
        values[SENTENCE] = torch.cat(pooled, dim=-1)


@final
class WeightedLayers(nn.Module):
    """Each token as the weighted mean of what the last layers of the network say of it.

    Parameters
    ----------
    count : int
        How many layers.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layer_weights = nn.Parameter(torch.ones(count))

    def forward(self, values: Values) -> None:
        """Read the states of all layers, write the tokens."""
        states = torch.stack(list(values[STATES][-len(self.layer_weights) :]))
        weights = self.layer_weights / self.layer_weights.sum()
        values[TOKENS] = (weights[:, None, None, None] * states).sum(dim=0)


@final
class DenseLayer(nn.Module):
    """A linear layer and its activation; its tensors have sentence-transformers' names.

    Parameters
    ----------
    inputs, outputs : int
        Features.
    bias, residual : bool
        Whether it has a bias, and whether its input is added to its output.
    activation : str
        Name in `ACTIVATIONS`.
    source, target : str
        What it reads and writes.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool,
        residual: bool,
        activation: str,
        source: str,
        target: str,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.activation_function = ACTIVATIONS[activation]()
        self.added = residual
        if residual and inputs != outputs:
            self.residual = nn.Linear(inputs, outputs, bias=False)
        self.source, self.target = source, target

    def forward(self, values: Values) -> None:
        """Read `source`, write `target`."""
        given = values[self.source]
        result = self.activation_function(self.linear(given))
        if self.added:
            result = result + (self.residual(given) if hasattr(self, "residual") else given)
        values[self.target] = result


@final
class UnitLength(nn.Module):
    """Rows of length one."""

    def __init__(self, source: str, target: str) -> None:
        super().__init__()
        self.source, self.target = source, target

    def forward(self, values: Values) -> None:
        """Read `source`, write `target`."""
        values[self.target] = nn.functional.normalize(values[self.source], p=2, dim=-1)


@final
class NormLayer(nn.Module):
    """Layer normalisation of the features of the text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Values) -> None:
        """Read and write the features of the text."""
        values[SENTENCE] = self.norm(values[SENTENCE])


@final
class DropoutLayer(nn.Module):
    """Dropout of the features of the text, in training only."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(share)

    def forward(self, values: Values) -> None:
        """Read and write the features of the text."""
        values[SENTENCE] = self.dropout(values[SENTENCE])


@final
class FirstFeatures(nn.Module):
    """The first features of the text only: those of a Matryoshka embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, values: Values) -> None:
        """Read and write the features of the text."""
        values[SENTENCE] = values[SENTENCE][:, : self.width]


def _first(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), mask.argmax(dim=1)]


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * places).argmax(dim=1)
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    counts: Tensor = mask[rows, last, None].to(hidden.dtype)
    return hidden[rows, last] * counts  # zero where no token counts


def _largest(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(dim=1)


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=FEWEST)


def _mean_by_root(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=FEWEST).sqrt()


def _weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    weights = (mask * places)[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=FEWEST)


# under sentence-transformers' names, in the order in which it puts them beside each other
MODES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": _first,
    "max": _largest,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
# those of torch that need no settings and keep the shape; no other name is looked up
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
        nn.Identity, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU,
        nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
    )
}  # fmt: skip
LAYERS: Mapping[str, Callable[..., nn.Module]] = {
    "pooling": PoolTokens,
    "weighted-layers": WeightedLayers,
    "dense": DenseLayer,
    "normalize": UnitLength,
    "layer-norm": NormLayer,
    "dropout": DropoutLayer,
    "first-features": FirstFeatures,
}
