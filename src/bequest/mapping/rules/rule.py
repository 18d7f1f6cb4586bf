"""What a rule is: along one axis it brings a source's values into the target's shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

from torch import Tensor

__all__ = ["Rule"]


class Rule(ABC):
    """Along one axis; subclasses are final frozen dataclasses of plain values."""

    name: ClassVar[str]  # what maps and tables call it
    citation: ClassVar[str] = ""  # authors, title, venue, year; empty for what needs none
    exact: ClassVar[bool] = False  # values of the source, only elsewhere: counted as copied
    axis: int

    @abstractmethod
    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """The source's values, in the canonical layout, along `axis` in the target's size.

        Other axes are the target's already or come later. `current` are the target's own values,
        which a rule that does not know all rows leaves in place.
        """

    def filled(self, size: int) -> int:
        """How many of the target's `size` places along the axis come from the source."""
        return size

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        fields = asdict(self)  # type: ignore[call-overload]
        plain = {key: [*v] if isinstance(v, tuple) else v for key, v in fields.items()}
        return {"rule": self.name, **plain}
