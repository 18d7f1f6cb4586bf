"""What `transfer` gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from bequest.core import ArmResult, Model, Outcome, Verdict
from bequest.report import write_report
from bequest.selection import Ranking

__all__ = ["Result"]


@final
@dataclass(frozen=True)
class Result:
    """A model, and what is known of it.

    Parameters
    ----------
    model : Model
        The model handed over: transfer's where the estimated gain is above zero, in the judged
        score or in the metric, else from scratch.
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
