"""A way to train: from scratch on the target alone, or from sources.

K sources.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, ClassVar, Self, final

import numpy as np

from bequest.core.model import Model
from bequest.core.source import Source
from bequest.core.task import Task
from bequest.core.wording import pluralise
from bequest.errors import NotApplicable

__all__ = ["Baseline", "Takes", "TransferMethod"]


@final
@dataclass(frozen=True)
class Takes:
    """What a method of transfer asks of its sources and of the target.

    Parameters
    ----------
    sources : int or None
        Sources that it is fitted with, 1 by default; None for as many as there are.
    model, data : bool
        Whether each source must bring a model, and whether it must bring data.
    labels, unlabelled : bool
        Whether the target must have labels, and whether it must have unlabelled rows.
    """

    sources: int | None = 1
    model: bool = True
    data: bool = False
    labels: bool = True
    unlabelled: bool = False

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """None where the sources and the target have what is asked for, else the reason why not.

        Examples
        --------
        >>> known = Source(data=Task.from_arrays([[0.0], [1.0]], ["a", "b"], name="known"))
        >>> Takes().refuses([known], known.data).reason
        'it needs a model, and known brings data only.'
        """
        if not sources or (self.sources is not None and len(sources) != self.sources):
            wanted = pluralise(self.sources or 1, "source")
            return NotApplicable(f"it takes {wanted}, not {len(sources)}.")
        if self.labels and not task.labelled:
            return NotApplicable("it needs labelled rows, and the target has none.")
        if self.unlabelled and task.unlabelled is None:
            return NotApplicable(
                "it needs unlabelled rows of the target: give the task unlabelled=."
            )
        for source in sources:
            if self.data and source.data is None:
                return NotApplicable(
                    f"it needs the source's data, and {source.name} brings a model only: "
                    "bequest.Source(model, data)."
                )
            if self.model and source.model is None:
                return NotApplicable(f"it needs a model, and {source.name} brings data only.")
        return None


class Baseline(ABC):
    """A way to train on the target alone; final frozen dataclasses, their fields are settings.

    Attributes
    ----------
    name, citation : str
        As for `TransferMethod`.
    """

    name: ClassVar[str]
    citation: ClassVar[str]

    @property
    def trains_network(self) -> bool:
        """Whether it trains a network: it races after the others, where its time suffices."""
        return False

    @abstractmethod
    def applies(self, task: Task) -> NotApplicable | None:
        """None where it can be fitted, else the reason why not; cheap, trains nothing."""

    @abstractmethod
    def fit(self, task: Task, *, rng: np.random.Generator) -> Model:
        """Train on all rows of the task.

        Parameters
        ----------
        task : Task
        rng : numpy.random.Generator
            The only source of randomness.

        Raises
        ------
        NotApplicable
            As `applies` says.
        """

    @classmethod
    @abstractmethod
    def arms(cls, task: Task) -> tuple[Self, ...]:
        """The settings worth racing for this task, the most promising first."""

    def settings(self) -> dict[str, Any]:
        """The settings as plain values, ready for JSON."""
        return _settings(self)


class TransferMethod(ABC):
    """A way to transfer; subclasses are final frozen dataclasses whose fields are their settings.

    Attributes
    ----------
    name : str
        What the registry and the reports call it.
    citation : str
        BibTeX of where it comes from.
    automatic : bool
        Whether it is among the methods that race where nobody names any.
    takes : Takes
        How many sources it takes, whether it needs their models or their data, and what it needs
        of the target. One source with a model and a labelled target by default.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    automatic: ClassVar[bool] = True
    takes: ClassVar[Takes] = Takes()

    @property
    def trains_network(self) -> bool:
        """Whether it trains a network: it races after the others, where its time suffices."""
        return False

    @final
    def applies(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """None where it can be fitted, else the reason why not; cheap, trains nothing.

        Parameters
        ----------
        sources : sequence of Source
            K of them.
        task : Task
            The target.
        """
        missing = self.takes.refuses(sources, task)
        return self.refuses(sources, task) if missing is None else missing

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """What `applies` asks once `takes` is met: that every model reads the task's inputs.

        A method that asks for more, or for something else, overrides it.
        """
        models = (source.model for source in sources)
        reasons = (model.applies(task) for model in models if model is not None)
        return next((reason for reason in reasons if reason is not None), None)

    @abstractmethod
    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Make a model of the task; the sources are left as they were.

        Parameters
        ----------
        sources, task
            As in `applies`; all rows of `task` are training rows.
        rng : numpy.random.Generator
            The only source of randomness.

        Raises
        ------
        NotApplicable
            As `applies` says.
        """

    @classmethod
    @abstractmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """The settings worth racing for this task, the most promising first.

        Parameters
        ----------
        sources : sequence of Source
            As in `fit`; empty where they are chosen later: settings for any source.
        task : Task
        """

    @final
    def check(self, sources: Sequence[Source], task: Task) -> None:
        """Raise what `applies` says, if anything; every `fit` begins with it."""
        reason = self.applies(sources, task)
        if reason is not None:
            raise reason

    def settings(self) -> dict[str, Any]:
        """The settings as plain values, ready for JSON."""
        return _settings(self)


def _settings(method: Any) -> dict[str, Any]:
    return asdict(method) if is_dataclass(method) and not isinstance(method, type) else {}
