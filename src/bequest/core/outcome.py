"""What came of a transfer, as frozen values that go to JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, final

from bequest.core.metric import METRICS
from bequest.core.plain_values import escaped
from bequest.core.records import Count, Record, Share, read
from bequest.core.task_summary import TaskSummary
from bequest.errors import DataError

__all__ = [
    "ArmResult", "LabelsSaved", "Outcome", "RankedSource", "SourceGain", "TestResult", "Verdict",
]  # fmt: skip

TOO_SHORT = "No verdict: the time was too short"  # how a note begins where nothing was asked
SCORES = {"neg_brier_score": "the Brier score", "neg_mean_squared_error": "squared error"}
VerdictKind = Literal["helps", "hurts", "undecided"]


@final
@dataclass(frozen=True)
class Verdict(Record):
    """Does transfer beat from scratch, on new rows of the same distribution?

    It is judged by a proper score, which sees how sure a model is of each row; the metric stands
    beside it.

    Parameters
    ----------
    gain : float
        Metric with transfer minus from scratch, in the metric's unit; above zero is better.
    low, high : float
        Ends of the interval of the gain.
    metric : str
        scikit-learn's name; higher is better.
    level : float
        Coverage of the intervals, 0 to 1.
    score : str
        What it is judged by, where that is not the metric itself: such as ``"neg_brier_score"``.
    score_gain, score_low, score_high : float, optional
        The gain in that score and the ends of its interval.
    probability : float, optional
        Share of the interval's distribution that lies above zero, 0 to 1. No prior: what these
        rows say alone.
    labels : float, optional
        Of an undecided one: labelled rows with which the interval would leave zero, about; ``inf``
        where that is never, as far as can be told; None where nothing is known.

    Examples
    --------
    >>> Verdict(gain=0.061, low=0.032, high=0.090, metric="accuracy")
    Verdict(kind='helps', gain=+0.061, low=+0.032, high=+0.090, metric='accuracy')
    """

    derived: ClassVar[tuple[str, ...]] = ("kind",)

    gain: float
    low: float
    high: float
    metric: str
    level: Share = 0.95
    score: str = ""
    score_gain: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    probability: float | None = None
    labels: float | None = None

    @property
    def judged(self) -> tuple[float, float, float]:
        """Gain and ends of the interval that decides: the score's, else the metric's."""
        if self.score_gain is None or self.score_low is None or self.score_high is None:
            return self.gain, self.low, self.high
        return self.score_gain, self.score_low, self.score_high

    @property
    def kind(self) -> VerdictKind:
        """helps, hurts or undecided: whether the interval excludes zero, and on which side.

        Where the metric says the opposite of the score, it is undecided.
        """
        _, low, high = self.judged
        if low > 0 and self.gain > 0:
            return "helps"
        return "hurts" if high < 0 and self.gain < 0 else "undecided"

    @property
    def contradicted(self) -> bool:
        """Whether it is undecided only because the metric does not say what the score says."""
        _, low, high = self.judged
        return self.kind == "undecided" and (low > 0 or high < 0)

    def favours(self, ranked: float = math.nan) -> Literal["transfer", "from-scratch"]:
        """Which side is handed over: transfer's where the estimated gain is above zero.

        The judged score decides. From a few rows it often differs in sign from the metric:
        probabilities close to even hide a gain in accuracy. So where the metric and the ranking of
        sources both speak for transfer, they overrule it. Where an interval of the two gains lies
        below zero, it is from scratch.

        Parameters
        ----------
        ranked : float
            How far the source stands above one that knows nothing, as the ranking has it; NaN
            where it was not ranked, and the score alone decides.

        Examples
        --------
        >>> torn = Verdict(gain=0.2, low=-0.1, high=0.5, metric="accuracy", score="neg_brier_score",
        ...                score_gain=-0.01, score_low=-0.2, score_high=0.18)
        >>> torn.favours(1.5), torn.favours(-0.5)
        ('transfer', 'from-scratch')
        """
        gain, _, high = self.judged
        for_it = gain > 0 or (self.gain > 0 and ranked > 0)
        against = high < 0 or self.high < 0
        return "transfer" if for_it and not against else "from-scratch"

    @property
    def sentence(self) -> str:
        """The verdict as a person reads it."""
        amount = _said(abs(self.gain), self.metric)
        low, high = (_said(end, self.metric, sign=True) for end in (self.low, self.high))
        between = f"{low} to {high}"
        if self.kind == "helps":
            said = f"Transfer helps: {amount} better than from scratch ({between})"
        elif self.kind == "hurts":
            said = f"Transfer hurts: {amount} worse than from scratch ({between})"
        elif math.isinf(self.low) or math.isinf(self.high):
            return "Undecided: too little was measured to tell the gain over from scratch."
        else:
            said = f"Undecided: the gain over from scratch lies between {low} and {high}"
        return said + self._by_score() + "."

    def _by_score(self) -> str:
        """What the score says, where it is not the metric."""
        if not self.score:
            return ""
        gain, low, high = (f"{value:+z.3f}" for value in self.judged)
        by = f"by {SCORES.get(self.score, self.score)} {gain} ({low} to {high})"
        if self.contradicted:
            return f"; {by}, which the metric does not confirm"
        return f"; {by}"

    def __repr__(self) -> str:
        return (
            f"Verdict(kind={self.kind!r}, gain={self.gain:+z.3f}, low={self.low:+z.3f}, "
            f"high={self.high:+z.3f}, metric={self.metric!r})"
        )


def _said(value: float, metric: str, *, sign: bool = False) -> str:
    unit = METRICS[metric].unit if metric in METRICS else "units"  # of a plug-in not installed
    plus = "+" if sign else ""
    if unit == "points":
        return f"{100 * value:{plus}z.1f} points"
    return f"{value:{plus}z.3g} {unit}"


@final
@dataclass(frozen=True)
class RankedSource(Record):
    """One source's place in the ranking.

    Parameters
    ----------
    source : str
        Its name.
    score : float
        Combined score: how far it stands above a source that knows nothing, in standard units.
    low, high : float
        Ends of the 95 % bootstrap interval of `score`.
    scores : mapping of str to float
        Each transferability score by name.
    reason : str
        Why it is not applicable; empty where it is. Its score is then NaN.
    """

    source: str
    score: float
    low: float
    high: float
    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@final
@dataclass(frozen=True)
class ArmResult(Record):
    """One arm of the race: a source, a method and its settings.

    Parameters
    ----------
    source : str
        Empty for from scratch.
    method : str
    settings : mapping
    score : float
        Mean of the metric over the out-of-fold rows; NaN where it never ran.
    folds : tuple of float
        The metric per fold that was run.
    seconds : float
        Time spent on it.
    reason : str
        Why it was not run, or was stopped; empty where it ran to the end.
    used : bool
        Whether it was judged, alone or in an average.
    """

    source: str
    method: str
    settings: Mapping[str, Any]
    score: float
    folds: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    used: bool = False


@final
@dataclass(frozen=True)
class SourceGain(Record):
    """What one source was worth, whether or not it was chosen.

    Parameters
    ----------
    source : str
    verdict : Verdict
        Of the average of its arms over from scratch, uncorrected: no choice was made.
    differences : tuple of tuple of float
        For each repeat, what each row (or group) contributes to the gain in the score that is
        judged: their mean is that gain, and their spread its error. Empty where there are too many.
    """

    source: str
    verdict: Verdict
    differences: tuple[tuple[float, ...], ...] = ()


@final
@dataclass(frozen=True)
class LabelsSaved(Record):
    """How many labels from scratch would need for the score that transfer has.

    Parameters
    ----------
    labels : int
        Labelled rows that transfer used.
    needed, low, high : float
        Rows that from scratch would need, with a 95 % interval; ``inf`` where no number of rows
        within reach of the curve gives that score.
    sizes : tuple of int
        Training rows at which the curve of from scratch was measured.
    scratch : tuple of float
        From scratch's metric at `sizes`.
    transfer : float
        Transfer's metric at `labels` rows.
    """

    labels: int
    needed: float
    low: float
    high: float
    sizes: tuple[int, ...]
    scratch: tuple[float, ...]
    transfer: float

    @property
    def saved(self) -> float:
        """Labels saved: `needed` minus `labels`."""
        return self.needed - self.labels


@final
@dataclass(frozen=True)
class TestResult(Record):
    """Both candidates on the held-out rows, which chose nothing.

    Parameters
    ----------
    rows : int
    transfer, scratch : float
        The metric of each.
    gain, low, high : float
        Their paired difference and its 95 % bootstrap interval.
    """

    rows: Count
    transfer: float
    scratch: float
    gain: float
    low: float
    high: float

    __test__ = False  # pytest: this is a result, not a test class


@final
@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """Everything there is to say about one transfer; `to_json` and back loses nothing.

    Parameters
    ----------
    target : TaskSummary
    source, method, settings
        The transfer that was chosen: an arm, or ``"ensemble"`` with the methods and settings of its
        members; `source` is empty where no arm could run.
    selected : {"transfer", "from-scratch"}
        Which of the two candidates the result's model is.
    verdict : Verdict
    folds : mapping
        ``{"transfer": [...], "from-scratch": [...]}``, the metric per fold of the chosen arms.
    splits : tuple of str
        Fingerprint of each fold's test rows.
    ranking, arms
        Every source and every arm, with those that were left out and why.
    seed : int
    cost : mapping
        Seconds, peak memory in MB, labelled rows.
    versions : mapping
        Package versions.
    gains : tuple of SourceGain
        Each source's own gain.
    labels_saved, test : optional
    transferred : tuple of mapping
        What of the source stands in the transfer model.
    parameter_map : mapping
        Where parameters were mapped into another network: the map, as plain values.
    notes : tuple of str
        Near-duplicate rows, time that ran out, and whatever else a reader must know.
    """

    versioned: ClassVar[bool] = True
    finite: ClassVar[bool] = False  # a ranking, a verdict may say that nothing was measured

    target: TaskSummary
    source: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    selected: Literal["transfer", "from-scratch"]
    verdict: Verdict
    folds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    ranking: tuple[RankedSource, ...] = ()
    arms: tuple[ArmResult, ...] = ()
    seed: int = 0
    cost: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    gains: tuple[SourceGain, ...] = ()
    labels_saved: LabelsSaved | None = None
    test: TestResult | None = None
    transferred: tuple[Mapping[str, Any], ...] = ()
    parameter_map: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Strict JSON (no NaN, no Infinity: these are written as strings)."""
        return json.dumps(_strict(self.to_dict()), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """The outcome that `to_json` wrote.

        Raises
        ------
        DataError
            The text is no outcome, or a value in it is of another kind.
        """
        try:
            return read(cls, _loose(json.loads(text)))
        except (DataError, ValueError, RecursionError) as error:
            said = escaped(str(error), 200)
            raise DataError(f"this is not an outcome of bequest: {said}.") from error

    def checked(self) -> Self:
        """The outcome itself, where it could be read back from its JSON.

        Raises
        ------
        DataError
            As in `from_json`; an outcome may also be made by hand.
        """
        try:
            text = self.to_json()
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"this outcome has no JSON: {escaped(str(error), 200)}.") from error
        type(self).from_json(text)
        return self


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"float:{value}"
    return value


def _loose(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _loose(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_loose(item) for item in value]
    if isinstance(value, str) and value in ("float:nan", "float:inf", "float:-inf"):
        return float(value.removeprefix("float:"))
    return value
