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
        The model handed over. From transfer where the verdict is *helps*, and where it is
        *undecided* but the gain is above one standard error; else from scratch.
    outcome : Outcome
        Everything there is to say about it.
    ranking : Ranking
        The sources, best first.
    """

    model: Model
    outcome: Outcome
    ranking: Ranking

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
