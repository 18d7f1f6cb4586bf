"""What a network of another library tells that a plain torch module does not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

if TYPE_CHECKING:
    from bequest.frameworks.torch_model import TorchModel

__all__ = ["ForeignNetwork"]


class ForeignNetwork(nn.Module, ABC):
    """A network that is built, run and written in its own way; `TorchModel` asks it how.

    Attributes
    ----------
    rows_at_once : int
        Samples in one forward pass: a large network would fill the memory with a thousand.
    """

    rows_at_once: ClassVar[int] = 32

    @property
    @abstractmethod
    def structure(self) -> Mapping[str, Any]:
        """The architecture as plain values, ready for JSON."""

    @abstractmethod
    def write(self, model: TorchModel, folder: str | Path) -> None:
        """Write the model folder of `model`, whose module this is."""
