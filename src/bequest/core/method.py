"""A transfer method: from a source and a task to a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar, Self

import numpy as np

from bequest.core.model import Model
from bequest.core.task import Task
from bequest.errors import NotApplicable

__all__ = ["TransferMethod"]


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
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    automatic: ClassVar[bool] = True

    @abstractmethod
    def applies(self, source: Model | None, task: Task) -> NotApplicable | None:
        """None where it can be fitted, else the reason why not; cheap, trains nothing.

        Parameters
        ----------
        source : Model or None
            None only for the baseline, which takes no source.
        task : Task
            The target.
        """

    @abstractmethod
    def fit(self, source: Model | None, task: Task, *, rng: np.random.Generator) -> Model:
        """Make a model of the task; the source is left as it was.

        Parameters
        ----------
        source, task
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
    def arms(cls, source: Model | None, task: Task) -> tuple[Self, ...]:
        """The settings worth racing for this source and task, the most promising first."""

    def settings(self) -> dict[str, Any]:
        """The settings as plain values, ready for JSON."""
        return asdict(self) if is_dataclass(self) else {}
