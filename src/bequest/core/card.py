"""What a model says of itself: the content of `card.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, final

from bequest.errors import ModelError

__all__ = ["Card"]


@final
@dataclass(frozen=True)
class Card:
    """What a model is, what it was trained on, how good it was, and where it comes from.

    Parameters
    ----------
    name : str
        What people call it.
    task : mapping
        Name, fingerprint, kind, metric, rows and classes of the task that it was trained on.
    metrics : mapping of str to float
        What was measured, by name.
    licence : str
        An SPDX identifier; empty where nobody has said.
    parents : tuple of str
        Names or digests of the models that it was made from.
    moved : tuple of mapping
        What came from the parents: ``{"part", "numbers", "rule"}`` per layer or output.
    method, settings
        The transfer method that made it, and its settings.
    parameter_map : mapping
        Where parameters were mapped into another network: the map, as plain values.
    """

    name: str = ""
    task: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    parents: tuple[str, ...] = ()
    moved: tuple[Mapping[str, Any], ...] = ()
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameter_map: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Card:
        """The card that these plain values describe; keys that are not known are refused."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ModelError(f"the card has keys that this version does not know: {unknown}.")
        known = dict(values)
        known["parents"] = tuple(known.get("parents", ()))
        known["moved"] = tuple(known.get("moved", ()))
        return cls(**known)
