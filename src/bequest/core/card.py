"""What a model says of itself: the content of `card.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self, final

import msgspec

from bequest.core.records import Record, read
from bequest.core.task_summary import TaskSummary
from bequest.errors import DataError, ModelError

__all__ = ["Card"]

_PARENTS = 1000


@final
@dataclass(frozen=True)
class Card(Record):
    """What a model is, what it was trained on, how good it was, and where it comes from.

    Parameters
    ----------
    name : str
        What people call it.
    task : TaskSummary
        Of the task that it was trained on.
    metrics : mapping of str to float
        What was measured, by name.
    licence : str
        An SPDX identifier; empty where nobody has said.
    parents : tuple of str
        Names or digests of the models that it was made from; ``name@version`` once a hub that
        holds them has published it. 1,000 at most: whoever asks for the lineage has the weights of
        each of them compared.
    transferred : tuple of mapping
        What came from the parents: ``{"part", "numbers", "rule"}`` per layer or output.
    method, settings
        The transfer method that made it, and its settings.
    parameter_map : mapping
        Where parameters were mapped into another network: the map, as plain values.
    """

    versioned: ClassVar[bool] = True

    name: str = ""
    task: TaskSummary = field(default_factory=TaskSummary)
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    parents: Annotated[tuple[str, ...], msgspec.Meta(max_length=_PARENTS)] = ()
    transferred: tuple[Mapping[str, Any], ...] = ()
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameter_map: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Card:
        """The card that these plain values describe.

        Raises
        ------
        ModelError
            A value is of another kind than its field: cards come from strangers.
        """
        try:
            return read(cls, values)
        except DataError as error:
            raise ModelError(f"this is no card: {error}.") from error

    def checked(self) -> Self:
        """The card itself, where it could be read back from its file.

        Raises
        ------
        ModelError
            As in `from_dict`; a card may also be made by hand.
        """
        self.from_dict(self.to_dict())
        return self
