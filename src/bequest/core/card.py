"""What a model says of itself: the content of `card.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Self, final, get_type_hints

from bequest.core import kinds
from bequest.errors import ModelError

__all__ = ["Card"]

_PARENTS = 1000


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
        holds them has published it. 1,000 at most: whoever asks for the lineage has the weights of
        each of them compared.
    moved : tuple of mapping
        What came from the parents: ``{"part", "numbers", "rule"}`` per layer or output.
    method, settings
        The transfer method that made it, and its settings.
    parameter_map : mapping
        Where parameters were mapped into another network: the map, as plain values.
    """

    name: str = ""
    task: Annotated[Mapping[str, Any], kinds.TASK] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    parents: Annotated[tuple[str, ...], kinds.each(kinds.text, most=_PARENTS)] = ()
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
        known = dict(values)
        if unknown := sorted(map(str, set(known) - {f.name for f in fields(cls)})):
            raise ModelError(
                f"the card has keys that this version does not know: {kinds.shown(unknown, 100)}."
            )
        _check(known)
        for name in ("parents", "moved"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)

    def checked(self) -> Self:
        """The card itself, where it could be read back from its file.

        Raises
        ------
        ModelError
            As in `from_dict`; a card may also be made by hand.
        """
        _check({f.name: getattr(self, f.name) for f in fields(self)})
        return self


_KINDS = {
    name: kinds.of_hint(hint, kinds.number)
    for name, hint in get_type_hints(Card, include_extras=True).items()
}


def _check(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if fault := _KINDS[name](value):
            raise ModelError(f"the card has no sound {name!r}: {fault}.")
