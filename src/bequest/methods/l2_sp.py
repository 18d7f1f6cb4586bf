"""L2-SP: the body stays near the source's numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["source_pull"]


def source_pull(module: nn.Module, head: str, weight: float) -> Callable[[], Tensor]:
    """The penalty of a step: half of `weight` times the squared distance of the body from here.

    Parameters
    ----------
    module : torch.nn.Module
        At the source's values; its body is compared with what it is now.
    head : str
        Name of the layer that is left out.
    weight : float
        Zero or more.

    Returns
    -------
    callable
        Gives a scalar, zero or more.

    References
    ----------
    Li, Grandvalet and Davoine, Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks, ICML 2018.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    >>> penalty = source_pull(net, "1", weight=0.5)
    >>> with torch.no_grad():
    ...     net[0].weight += 2.0
    >>> round(penalty().item(), 3)
    1.0
    """
    body = [
        (value, value.detach().clone())
        for name, value in module.named_parameters()
        if name.rpartition(".")[0] != head
    ]

    def penalty() -> Tensor:
        return (
            0.5 * weight * torch.stack([((a - b.to(a.device)) ** 2).sum() for a, b in body]).sum()
        )

    return penalty
