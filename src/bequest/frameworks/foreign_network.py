"""What a network of another library tells that a plain torch module does not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from bequest.frameworks.torch_model import Network

__all__ = ["ForeignNetwork"]


class ForeignNetwork(nn.Module, ABC):
    """A network that is built and written in its own way; its model asks it how."""

    @property
    @abstractmethod
    def structure(self) -> Mapping[str, Any]:
        """The architecture as plain values, ready for JSON."""

    @abstractmethod
    def write(self, model: Network, folder: str | Path) -> None:
        """Write the model folder of `model`, whose module this is."""
