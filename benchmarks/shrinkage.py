"""Batch spectral shrinkage: the weakest directions of the features are not worth keeping.

It did not earn a place among the methods: `benchmarks.regularisers` holds the figures.

B samples of a batch, D features.
"""

from __future__ import annotations

from typing import Any, Self, final

import torch
from torch import Tensor, nn

__all__ = ["Shrinkage", "spectral_tail"]


def spectral_tail(features: Tensor, k: int = 1) -> Tensor:
    """Sum of the squares of the `k` smallest singular values.

    Parameters
    ----------
    features : Tensor, shape (B, D)
    k : int
        From 1 to ``min(B, D)``; more counts all of them.

    Returns
    -------
    Tensor
        A scalar, zero or more, in squared units of the features.

    References
    ----------
    Chen et al., Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe
    Transfer Learning, NeurIPS 2019.
    """
    values: Tensor = torch.linalg.svdvals(features)
    return values[-k:].square().sum()


@final
class Shrinkage:
    """The penalty of a step: `weight` times the tail of the batch that the network just read.

    Inside ``with`` it watches what enters the head.

    Parameters
    ----------
    module : torch.nn.Module
    head : str
        Name of the layer whose input the features are.
    weight : float
        The paper's eta, zero or more.
    k : int
        Singular values that are penalised.
    """

    def __init__(self, module: nn.Module, head: str, weight: float = 1e-3, k: int = 1) -> None:
        self.layer = module.get_submodule(head)
        self.weight = weight
        self.k = k
        self._features: Tensor | None = None

    def __enter__(self) -> Self:
        self._hook = self.layer.register_forward_pre_hook(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        self._features = None

    def _watch(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        self._features = args[0]

    def __call__(self) -> Tensor:
        """The penalty of the batch that the network just read, a scalar."""
        if self._features is None:
            raise RuntimeError("no batch was read yet: the penalty follows the network's output.")
        return self.weight * spectral_tail(self._features.flatten(1), self.k)
