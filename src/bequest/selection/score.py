"""What a transferability score is, and the table of those that are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

from numpy.typing import NDArray

from bequest.core import Registry
from bequest.errors import NotApplicable

__all__ = ["SCORES", "Needs", "Score", "by_targets"]

Array = NDArray[Any]
Needs = Literal["features", "probabilities", "labels"]
Kind = Literal["classification", "regression"]


def _as_is(values: Array, targets: Array) -> Array:
    return values


def by_targets(score: Callable[..., float]) -> Callable[[Array, Array], float]:
    """A score that is told what its targets are: class indices or, as floats, values."""
    return lambda values, targets: score(values, targets, classification=targets.dtype.kind != "f")


@final
@dataclass(frozen=True)
class Score:
    """How well a source fits a task, told from what the source makes of the task's rows.

    Parameters
    ----------
    name : str
        What the registry, the ranking and the reports call it.
    needs : {"features", "probabilities", "labels"}
        What it reads of the source: features (N, D), class probabilities (N, Z), or the index of
        the likeliest source class (N,).
    kinds : tuple of {"classification", "regression"}
        The tasks that it is defined for.
    function : callable ``(values, targets) -> float``
        `targets` are class indices (int64) or values (float64); higher is better.
    citation : str
        BibTeX of where it comes from.
    prepare : callable ``(values, targets) -> values``, optional
        The part that does not read the labels, done once before rows are resampled; of the
        targets it may use no more than the number of classes.
    optimistic : bool
        Whether features that know nothing score the better the more of them there are. The ranking
        takes off what permuted labels give.

    Examples
    --------
    >>> import numpy as np
    >>> spread = Score(
    ...     name="spread", needs="features", kinds=("classification",), citation="@misc{none}",
    ...     function=lambda features, targets: float(features.std()),
    ... )
    >>> spread(np.array([[0.0], [2.0]]), np.array([0, 1]))
    1.0
    """

    name: str
    needs: Needs
    kinds: tuple[Kind, ...]
    function: Callable[[Array, Array], float]
    citation: str
    prepare: Callable[[Array, Array], Array] = _as_is
    optimistic: bool = False

    def __call__(self, values: Array, targets: Array) -> float:
        """The score of these rows; not prepared yet."""
        return float(self.function(self.prepare(values, targets), targets))

    def applies(self, kind: str) -> NotApplicable | None:
        """None where it is defined for this kind of task, else the reason why not."""
        if kind in self.kinds:
            return None
        return NotApplicable(f"{self.name} is defined for {' and '.join(self.kinds)}, not {kind}.")


SCORES: Registry[Score] = Registry(
    "score",
    {
        "logme": "bequest.selection.scores.logme:SCORE",
        "h-score": "bequest.selection.scores.h_score:SCORE",
        "leep": "bequest.selection.scores.leep:SCORE",
        "nleep": "bequest.selection.scores.nleep:SCORE",
        "nce": "bequest.selection.scores.nce:SCORE",
        "gbc": "bequest.selection.scores.gbc:SCORE",
        "knn": "bequest.selection.scores.knn:SCORE",
        "probe": "bequest.selection.scores.probe:SCORE",
    },
    group="bequest.scores",
)
