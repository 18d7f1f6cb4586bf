"""A source: something that already knows, a model, or data, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

from bequest.core.card import Card
from bequest.core.model import Model
from bequest.core.task import Task
from bequest.errors import BequestError, DataError, ModelError

__all__ = ["Source"]


@final
class Source:
    """A model, or its data, or both, and a card; the model is opened when it is first asked for.

    Parameters
    ----------
    model : Model, or callable ``() -> Model``, optional
        A callable opens the model where it lies, in a folder or in a hub.
    data : Task, optional
        Labelled rows of the source's own task, for methods that train on them too.
    card : Card, optional
        What is known before the model is opened; the model's own by default.
    name : str, optional
        What the race and the outcome call it; the card's name, or the data's, by default.

    Raises
    ------
    DataError
        Neither a model nor data is given, or something else in their place.

    Examples
    --------
    >>> Source(data=Task.from_arrays([[0.0], [1.0]], ["a", "b"], name="last year"))
    Source('last year', data)
    """

    def __init__(
        self,
        model: Any = None,
        data: Any = None,
        *,
        card: Card | None = None,
        name: str = "",
    ) -> None:
        if model is None and data is None:
            raise DataError("a source is a model, or data, or both: give one of them.")
        trained = hasattr(model, "state_dict") or hasattr(model, "fit")  # callable, but no opener
        if not (model is None or isinstance(model, Model) or (callable(model) and not trained)):
            kind = type(model).__name__
            raise DataError(f"a source's model is a Model, not a {kind}: bequest.wrap makes one.")
        if not (data is None or isinstance(data, Task)):
            raise DataError(f"a source's data is a Task, not a {type(data).__name__}.")
        own = model.card if isinstance(model, Model) else Card()
        self._given: Model | Callable[[], Model] | None = model
        self._held: Model | None = None  # once it is opened
        self.data: Task | None = data
        self.card = own if card is None else card
        self.name = name or self.card.name or (data.name if data is not None else "source")

    def __repr__(self) -> str:
        brought = (("model", self._given), ("data", self.data))
        what = " and ".join(name for name, given in brought if given is not None)
        return f"Source({self.name!r}, {what})"

    @property
    def model(self) -> Model | None:
        """The model under the source's name, opened at the first call; None for data alone.

        Raises
        ------
        BequestError
            It cannot be opened, or is no Model.
        """
        # No `cached_property`: its lock is one for all sources, and one that hangs would keep it.
        if self._given is None or self._held is not None:
            return self._held
        model = self._given if isinstance(self._given, Model) else self._opened(self._given)
        if model.name != self.name:
            model = model.with_card(replace(model.card, name=self.name))
        self.card, self._held = model.card, model
        return model

    def _opened(self, opener: Callable[[], Any]) -> Model:
        try:
            model = opener()
        except BequestError:
            raise
        except Exception as error:  # somebody else's code: the line must name the source
            raise ModelError(f"the source {self.name!r} cannot be opened: {error!r}.") from error
        if not isinstance(model, Model):
            raise ModelError(
                f"the source {self.name!r} opens as a {type(model).__name__}, not a Model: "
                "bequest.wrap makes one."
            )
        return model

    def named(self, name: str) -> Source:
        """The same source under another name; what was opened stays open."""
        given = self._given if self._held is None else self._held
        return Source(given, self.data, card=self.card, name=name)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self._held is not None:  # what opened it may be bound to this process
            state["_given"] = self._held
        return state
