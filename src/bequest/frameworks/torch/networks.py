"""The table of networks that a config may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from bequest.core import Registry

__all__ = ["NETS", "build"]

NETS: Registry[Callable[..., nn.Module]] = Registry(
    "network",
    {
        "mlp": "bequest.nets.mlp:MLP",
        "resnet": "bequest.nets.resnet:ResNet",
        "efficientnet-lite": "bequest.nets.efficientnet_lite:EfficientNetLite",
    },
    group="bequest.nets",
)


def build(name: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of this registry name, with fresh weights.

    Examples
    --------
    >>> build("mlp", {"numbers": 4, "outputs": 3}).head
    Linear(in_features=128, out_features=3, bias=True)
    """
    return NETS[name](**config)
