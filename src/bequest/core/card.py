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
        Names or digests of the models that it was made from; ``name@version`` once a hub that
        holds them has published it.
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
        """The card that these plain values describe.

        Raises
        ------
        ModelError
            A key is not known, or its value is of another kind: cards come from strangers.
        """
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ModelError(f"the card has keys that this version does not know: {unknown}.")
        known = dict(values)
        for name, value in known.items():
            if not _fits(name, value):
                raise ModelError(f"the card has no sound {name!r}: {value!a:.80}.")
        known["parents"] = tuple(known.get("parents", ()))
        known["moved"] = tuple(known.get("moved", ()))
        return cls(**known)


def _fits(name: str, value: Any) -> bool:
    if name in ("name", "licence", "method"):
        return isinstance(value, str)
    if name not in ("parents", "moved"):
        return isinstance(value, Mapping)
    each = str if name == "parents" else Mapping
    return isinstance(value, list | tuple) and all(isinstance(item, each) for item in value)
