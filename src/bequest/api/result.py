"""What `transfer` gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from bequest.api.result_folder import best_single_of, read_parts, save_result
from bequest.core import ArmResult, Model, Outcome, Verdict
from bequest.report import summary, write_report
from bequest.selection import Ranking

__all__ = ["Result", "load_result"]


@final
@dataclass(frozen=True)
class Result:
    """A model, and what is known of it.

    Parameters
    ----------
    model : Model
        The model handed over: transfer's where its estimated gain is above zero, else from scratch.
        Where several methods fit, it is their average, an `Ensemble`.
    outcome : Outcome
        Everything there is to say about it.
    ranking : Ranking
        The sources, best first.
    best_single : Model
        Of what is averaged in `model`, the member with the best metric on rows that it did not
        train on: one network or estimator, for what an average cannot do. Without an average, the
        model itself.
    """

    model: Model
    outcome: Outcome
    ranking: Ranking
    best_single: Model

    def __repr__(self) -> str:
        source = self.outcome.source or "none"
        return f"Result({self.verdict.kind}, source={source!r}, model={self.model.name!r})"

    def __str__(self) -> str:
        """What `bequest transfer` shows: the ranking, the verdict, the figures of both sides."""
        return "\n".join([f"{self.ranking}", "", *summary(self.outcome)])

    @property
    def verdict(self) -> Verdict:
        """Whether transfer helps, hurts, or neither can be said."""
        return self.outcome.verdict

    @property
    def arms(self) -> tuple[ArmResult, ...]:
        """Every arm that was tried, with its estimate."""
        return self.outcome.arms

    def report(self, path: str | Path) -> Path:
        """Write the self-contained HTML page."""
        return write_report(self.outcome, path)

    def save(self, folder: str | Path) -> None:
        """Write a folder that `load_result` reads, the same that ``bequest transfer --out`` writes.

        It holds ``model/``, ``outcome.json``, ``report.html`` and ``best_single.json``, and is
        written whole or not at all.

        Parameters
        ----------
        folder : path or str
            Nothing may be there, or an empty folder, or an earlier result, which is replaced.

        Raises
        ------
        DataError
            There is something else, or it cannot be written.
        ModelError, NotApplicable
            The model cannot be saved; it says why.
        """
        save_result(self, folder)


def load_result(folder: str | Path, *, modules: Sequence[type] = ()) -> Result:
    """Load what `Result.save` or ``bequest transfer --out`` wrote; runs no code from it.

    Parameters
    ----------
    folder : path or str
    modules : sequence of classes
        As in `bequest.load`.

    Returns
    -------
    Result
        Its models predict as those that were saved.

    Raises
    ------
    DataError
        It is no such folder, or its outcome is damaged.
    ModelError
        As `bequest.load`, for the model.

    Examples
    --------
    >>> load_result("nowhere")
    Traceback (most recent call last):
        ...
    bequest.errors.DataError: there is no folder nowhere.
    """
    model, outcome, about = read_parts(folder, modules)
    return Result(model, outcome, Ranking(outcome.ranking), best_single_of(model, about))
