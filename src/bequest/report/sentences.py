"""The sentences of the report, for a reader who knows nothing of machine learning.

Names of models and tasks are other people's text: they only come in through `Markup.format`,
which escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, final

from markupsafe import Markup

from bequest.core import LabelsSaved, Outcome, Verdict
from bequest.core.outcome import SCORES, TOO_SHORT
from bequest.report.amounts import count, decimals_for, number, reading_of

__all__ = [
    "at_least",
    "estimated",
    "folds_sentence",
    "headline",
    "labels_sentence",
    "moved_sentence",
    "ranking_sentence",
    "selected",
    "summary",
]

NAME = Markup("<bdi class='name'>{}</bdi>")
LONGEST = 48  # characters of a name in a sentence
EVEN = 0.16  # of a probability: within a standard error of even
SCRATCH = "training from scratch"
MORE, LOWER = ("more", "fewer"), ("lower", "higher")


@final
@dataclass(frozen=True)
class Phrases:
    """How a gain reads: for sure up, for sure down, and one end of an open interval."""

    up: str
    down: str
    more: str
    less: str
    tail: str = ""

    @classmethod
    def of(cls, text: str, words: tuple[str, str], tail: str) -> Self:
        """From a sentence with places for an amount, one of two words, and what is compared."""
        up, down = (text.format("{}", word, "{}") for word in words)
        more, less = (f"{{}} {word}" for word in words)
        return cls(up, down, more, less, tail)


PHRASES: Mapping[str, Phrases] = MappingProxyType(
    {
        "accuracy": Phrases.of(
            "about {} {} right answers in 100 than {}", MORE, " right answers in 100"
        ),
        "balanced_accuracy": Phrases.of(
            "about {} {} right answers in 100 than {}, every class counting the same",
            MORE,
            " right answers in 100, every class counting the same",
        ),
        "neg_log_loss": Phrases(
            "its probabilities fit better, with a log loss about {} nats lower than {}",
            "its probabilities fit worse, with a log loss about {} nats higher than {}",
            "{} nats better",
            "{} nats worse",
            " in log loss",
        ),
        "r2": Phrases(
            "it explains about {} percentage points more of the variation than {}",
            "it explains about {} percentage points less of the variation than {}",
            "{} more",
            "{} fewer",
            " percentage points of the variation explained",
        ),
        "neg_mean_squared_error": Phrases.of(
            "its squared error is about {} {} than {}", LOWER, " squared error"
        ),
        "neg_mean_absolute_error": Phrases.of(
            "its error is about {} {} on average than {}", LOWER, " error on average"
        ),
    }
)


def _name(text: str) -> Markup:
    """A name in a sentence: the middle of a long one is left out, the tables have it whole."""
    short = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
    return NAME.format(short)


def summary(outcome: Outcome) -> tuple[str, ...]:
    """The verdict, which model was handed over, and the figures of both: plain paragraphs."""
    lead = " ".join(filter(None, (headline(outcome).striptags(), estimated(outcome))))
    paragraphs = [lead, judged(outcome), selected(outcome).striptags()]
    if outcome.labels_saved is not None and outcome.verdict.kind == "helps":
        paragraphs.append(labels_sentence(outcome.labels_saved))
    sides = (outcome.folds.get("transfer"), outcome.folds.get("from-scratch"))
    if all(sides):
        transfer, scratch = (sum(folds) / len(folds) for folds in sides if folds)
        paragraphs.append(_both("On rows left out in turn", transfer, scratch, outcome))
    if (test := outcome.test) is not None:
        rows = count(test.rows, "held-out row")
        paragraphs.append(_both(f"On {rows}", test.transfer, test.scratch, outcome))
    return tuple(filter(None, paragraphs))


def _both(where: str, transfer: float, scratch: float, outcome: Outcome) -> str:
    sides = f"{transfer:.3g} with transfer, {scratch:.3g} from scratch"
    return f"{where}: {sides} ({outcome.verdict.metric})."


def headline(outcome: Outcome) -> Markup:
    """The verdict in a sentence; what was measured on held-out rows, where there are any."""
    if not outcome.source:
        return _no_source(outcome)
    name, verdict, test = _name(outcome.source), outcome.verdict, outcome.test
    if not _measured(outcome) or test is None:
        start, amount = _said(verdict)
        return Markup("{} {}").format(Markup(start[:1].upper() + start[1:]).format(name), amount)
    start, amount = _said(
        Verdict(gain=test.gain, low=test.low, high=test.high, metric=verdict.metric)
    )
    rows = count(test.rows, "held-out row")
    return Markup("On {}, {} {}").format(rows, Markup(start).format(name), amount)


def estimated(outcome: Outcome) -> str:
    """What the labelled rows alone say, where the headline is of held-out rows; else nothing."""
    if not _measured(outcome):
        return ""
    unclear = "it is not clear: " if outcome.verdict.kind == "undecided" else ""
    return f"By the labelled rows alone, {unclear}{_said(outcome.verdict)[1]}"


def _measured(outcome: Outcome) -> bool:
    test = outcome.test
    return bool(outcome.source) and test is not None and math.isfinite(test.gain)


def _said(verdict: Verdict) -> tuple[str, str]:
    """Whether building on a source helps, with a place for its name; and by how much."""
    phrases = _phrases(verdict.metric)
    if math.isinf(verdict.low) or math.isinf(verdict.high):
        return "it is not known whether building on {} helps:", "too little was measured."
    gain, low, high = _amounts(verdict)
    better, apart = verdict.gain > 0, verdict.low > 0 or verdict.high < 0
    ends = (verdict.low, low, high) if better else (-verdict.high, high, low)
    amount = _singular((phrases.up if better else phrases.down).format(gain, SCRATCH), gain)
    amount = f"{amount} ({_between(*ends)})"
    if verdict.kind != "undecided":
        by = "" if apart else " That figure alone may be chance."
        word = "better" if better else "worse"
        return f"building on {{}} made the model {word}:", f"{amount}.{by}"
    if not apart:
        amount = f"{_range(verdict, phrases, low, high)} than {SCRATCH}."
    else:
        amount += ", but the probabilities of its answers, which decide, do not say so."
    return "it is not clear whether building on {} helps:", amount


def _between(nearest: float, near: str, far: str) -> str:
    """The interval in a sentence that says more or fewer already: a minus is the other way."""
    minus = "\N{MINUS SIGN}" if nearest < 0 and near.strip("0.") else ""
    return f"between {minus}{near} and {far}"


def judged(outcome: Outcome) -> str:
    """What the verdict was judged by, how sure it is, and what would decide it."""
    verdict = outcome.verdict
    if not outcome.source or verdict.probability is None:
        return ""
    sure = _percent(verdict.probability)
    parts = [f"By these rows alone, transfer is the better one with a probability of {sure}."]
    if verdict.score:
        gain, low, high = (number(value, 3, sign=True) for value in verdict.judged)
        by = SCORES.get(verdict.score, verdict.score)
        parts.insert(
            0, f"Judged by {by}, which sees how far off each answer is: {gain} ({low} to {high})."
        )
    if verdict.contradicted:
        parts.append("The metric does not say the same, so nothing is decided.")
    if verdict.labels is not None and verdict.kind == "undecided":
        parts.append(_deciding(verdict.labels, verdict.probability))
    return " ".join(parts)


def _deciding(labels: float, probability: float) -> str:
    """How many labelled rows would decide it; a gain about zero may be any that is small."""
    if math.isfinite(labels):
        return f"About {number(labels, 0)} labelled rows would decide it."
    if EVEN < probability < 1 - EVEN:
        return "How many labelled rows would decide it cannot be told from so few."
    return "More labels would not decide it, as far as can be told."


def _percent(probability: float) -> str:
    """In words that promise no more than an interval from a few rows can tell."""
    if probability > 0.999:
        return "more than 99.9 %"
    return "less than 0.1 %" if probability < 0.001 else f"{100 * probability:.3g} %"


def selected(outcome: Outcome) -> Markup:
    """Which model the reader has, and why."""
    kind = outcome.verdict.kind
    if outcome.selected == "transfer":
        why = {
            "helps": "because it is the better one",
            "hurts": "although it is the worse one",
            "undecided": "which is probably, but not surely, the better one",
        }[kind]
        if outcome.verdict.judged[0] <= 0 < outcome.verdict.gain:
            score = SCORES.get(outcome.verdict.score, outcome.verdict.score)
            why = f"which is better by {outcome.verdict.metric}, though not by {score}"
        return Markup("The model handed over builds on {} by {}, {}.").format(
            _name(outcome.source), _by(outcome), why
        )
    if math.isinf(outcome.verdict.low) and not outcome.source:
        return Markup("The model handed over was trained from scratch, on your data alone.")
    why = {
        "helps": "although transfer did better",
        "hurts": "because transfer did worse",
        "undecided": "because transfer was not the better one here",
    }[kind]
    return Markup("The model handed over was trained from scratch, on your data alone, {}.").format(
        why
    )


def _by(outcome: Outcome) -> Markup:
    """The method, or what is averaged."""
    members = outcome.settings.get("members")
    if outcome.method != "ensemble" or not isinstance(members, list | tuple):
        return _name(outcome.method)
    methods = dict.fromkeys(str(m.get("method", "")) for m in members if isinstance(m, Mapping))
    named = Markup(", ").join(map(_name, methods))
    if len(members) == 1:
        return named
    return Markup("the average of {} models ({})").format(len(members), named)


def folds_sentence(transfer: tuple[float, ...], scratch: tuple[float, ...]) -> str:
    """How often transfer was ahead."""
    pairs = list(zip(transfer, scratch, strict=False))
    ahead = sum(a > b for a, b in pairs)
    ties = sum(a == b for a, b in pairs)
    if len(pairs) == 1:
        word = "ahead" if ahead else "level" if ties else "behind"
        return f"There is one fold only; transfer was {word} on it."
    text = f"Transfer was ahead on {ahead} of {len(pairs)} folds"
    return f"{text} and level on {ties}." if ties else f"{text}."


def ranking_sentence(outcome: Outcome) -> Markup:
    """What the ranking says before anything was trained."""
    fitting = [entry for entry in outcome.ranking if not entry.reason]
    if not outcome.ranking:
        return Markup("No source was offered.")
    if not fitting and _too_short(outcome):
        return Markup("There was no time to ask the sources.")
    if not fitting:
        offered = len(outcome.ranking)
        said = (
            "The one source offered does" if offered == 1 else f"The {offered} sources offered do"
        )
        return Markup("{} not fit this task, each for the reason given below.").format(said)
    best = max(fitting, key=lambda entry: -math.inf if math.isnan(entry.score) else entry.score)
    if best.low > 0:
        return Markup("{} looks most promising, judged before anything was trained.").format(
            _name(best.source)
        )
    return Markup("No source looks better than one that knows nothing about this task.")


def moved_sentence(outcome: Outcome, kept: float, total: float) -> Markup:
    """How much of the model with transfer is the source's."""
    source = _name(outcome.source)
    rules = {str(entry.get("rule", "")) for entry in outcome.transferred}
    if not outcome.transferred:
        text = Markup("The method {} does not say what it moved.").format(_name(outcome.method))
    elif rules == {"as it is"}:
        text = Markup("The model with transfer is {} as it is, its labels matched.").format(source)
    elif rules == {"frozen"}:
        text = Markup("{} stays as it is inside the model with transfer, which learns from the {}.")
        text = text.format(source, " and ".join(_given(entry) for entry in outcome.transferred))
    else:
        least = "At least " if any(rule.startswith("rows of") for rule in rules) else ""
        share = f"{100 * kept / max(total, 1):.0f}\N{NO-BREAK SPACE}%"
        some = f"{least}{number(kept, 0)} of the {number(total, 0)}"
        text = Markup("{} parameters of the model with transfer come from {} ({}).").format(
            some if kept < total else f"All {number(total, 0)}", source, share
        )
    if outcome.selected == "from-scratch":
        text += Markup(" None of it stands in the model handed over.")
    return text


def _given(entry: Mapping[str, Any]) -> str:
    amount, part = round(float(entry.get("numbers", 0))), str(entry.get("part", ""))
    return f"{amount:,} {part if amount != 1 else part.removesuffix('s')} that it gives"


def labels_sentence(saved: LabelsSaved) -> str:
    """How many labels transfer was worth."""
    text = f"Trained on {count(saved.labels, 'labelled row')}, transfer"
    if math.isinf(saved.needed):
        text = (
            f"{text} does what from scratch would not reach, as far as its learning curve can tell"
        )
        least = at_least(saved)
        if least:
            labels = "label" if least == "at least 1" else "labels"
            return f"{text}: {least} {labels} saved, by the lower end of the interval."
        low = number(saved.low, 0)
        return (
            f"{text}." if math.isinf(saved.low) else f"{text} (the interval starts at {low} rows)."
        )
    low, high = number(saved.low, 0), number(saved.high, 0)
    ends = f"at least {low}" if math.isinf(saved.high) else f"between {low} and {high}"
    text = f"{text} does as well as from scratch on about {number(saved.needed, 0)} ({ends})"
    if saved.saved >= 1:
        return f"{text}: about {count(saved.saved, 'label')} saved."
    return f"{text}: no labels saved."


def at_least(saved: LabelsSaved) -> str:
    """What is saved by the lower end of the interval; empty where that is nothing sure."""
    if math.isinf(saved.low) or saved.low - saved.labels < 1:
        return ""
    return f"at least {number(math.floor(saved.low - saved.labels), 0)}"


def _no_source(outcome: Outcome) -> Markup:
    if _too_short(outcome):
        return Markup(
            "The time was too short to use another model, so yours was trained from scratch, on "
            "your data alone."
        )
    unfit = sum(bool(entry.reason) for entry in outcome.ranking)
    if not outcome.ranking:
        why = "No model was offered to build on"
    elif unfit < len(outcome.ranking):
        why = "No transfer could be tried"
    elif unfit == 1:
        why = "The one model offered could not be used"
    else:
        why = f"None of the {unfit} models offered could be used"
    return Markup("{}, so yours was trained from scratch, on your data alone.").format(why)


def _too_short(outcome: Outcome) -> bool:
    return any(note.startswith(TOO_SHORT) for note in outcome.notes)


def _phrases(metric: str) -> Phrases:
    label = reading_of(metric).label.translate({ord("{"): "(", ord("}"): ")"})  # of a stranger
    other = Phrases.of(f"{label} is about {{}} {{}} than {{}}", ("higher", "lower"), f" {label}")
    return PHRASES.get(metric, other)


def _amounts(verdict: Verdict) -> tuple[str, str, str]:
    factor = abs(reading_of(verdict.metric).factor)
    sizes = [abs(factor * value) for value in (verdict.gain, verdict.low, verdict.high)]
    spread = factor * (verdict.high - verdict.low)
    decimals = max(decimals_for([spread / 2]), 0 if factor == 100 else decimals_for(sizes))
    if verdict.kind != "undecided":
        decimals = max(decimals, _apart_from_zero(sizes))
    gain, low, high = (number(size, decimals) for size in sizes)
    return gain, low, high


def _apart_from_zero(sizes: list[float]) -> int:
    smallest = min(sizes)
    return next((d for d in range(6) if round(smallest, d) > 0), 6)


def _range(verdict: Verdict, phrases: Phrases, low: str, high: str) -> str:
    first, last = (phrases.less if verdict.low < 0 else phrases.more), phrases.more
    ends = f"anything from {first.format(low)} to {last.format(high)}{phrases.tail}"
    return f"new data may show {ends}"


def _singular(text: str, amount: str) -> str:
    if amount != "1":
        return text
    return text.replace("answers", "answer").replace("points", "point").replace("nats", "nat")
