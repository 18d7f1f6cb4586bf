"""Numbers as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

from bequest.core import METRICS

__all__ = ["Reading", "count", "decimals_for", "duration", "number", "plain", "reading_of"]

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"
MISSING = "\N{EN DASH}"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, decimals: int | None = None, *, sign: bool = False) -> str:
    """One number, with a true minus sign, and never a string of digits that nobody reads.

    With `decimals` after the point, else of three significant digits; with `sign` a plus is
    written.

    Examples
    --------
    >>> number(-0.12345), number(12.0, 1, sign=True), number(4.2e9), number(float("nan"))
    ('−0.123', '+12.0', '4.2\xa0×\xa010⁹', '–')
    """
    if math.isnan(value):
        return MISSING
    size = abs(value)
    if math.isinf(value):
        text = "∞"
    elif size >= 1e6 or 0 < size < 1e-4:
        mantissa, _, exponent = f"{size:.2e}".partition("e")
        text = f"{float(mantissa):g}{SPACE}×{SPACE}10{str(int(exponent)).translate(RAISED)}"
    elif decimals is None:
        text = f"{size:,.0f}" if size >= 100 else f"{size:.3g}"
    else:
        text = f"{size:,.{decimals}f}"
    if value < 0 and any(digit in text for digit in "123456789∞"):
        return MINUS + text
    return f"+{text}" if sign else text


def decimals_for(values: Iterable[float]) -> int:
    """Digits after the point that tell these numbers apart and leave none of them at zero.

    Examples
    --------
    >>> decimals_for([12.3, 8.04, 16.2]), decimals_for([0.31, 0.12, 0.55])
    (0, 1)
    """
    finite = [abs(value) for value in values if math.isfinite(value)]
    spread = max(finite, default=0.0)
    if spread == 0.0:
        return 0
    decimals = max(0, -math.floor(math.log10(spread)))
    while decimals < 6 and any(value > 0 and round(value, decimals) == 0 for value in finite):
        decimals += 1
    return min(decimals, 6)


def count(value: float, noun: str) -> str:
    """A number of things: ``1 row``, ``1,200 rows``."""
    plural = {"class": "classes"}.get(noun, f"{noun}s")
    return f"{number(round(value), 0)} {noun if value == 1 else plural}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    Examples
    --------
    >>> duration(0.04), duration(73.6), duration(600), duration(9000)
    ('0.04 s', '74 s', '10 min', '2.5 h')
    """
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def plain(value: Any) -> str:
    """A setting's value as short text.

    Examples
    --------
    >>> plain(0.001), plain(True), plain([1, 2]), plain({"lr": 1e-05}), plain(None)
    ('0.001', 'yes', '1, 2', 'lr 1e-05', 'none')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    return "none" if value is None else str(value)


@final
@dataclass(frozen=True)
class Reading:
    """How one metric's numbers read."""

    label: str  # what is measured
    factor: float = 1.0  # to the number shown: 100 of shares, -1 where errors are stored negative
    suffix: str = ""  # behind a value
    unit: str = ""  # behind a difference

    def shown(self, value: float) -> float:
        """The metric's value as it is shown."""
        return value * self.factor

    def value(self, value: float) -> str:
        """The metric's value as text: ``81.4 %``."""
        shown = self.shown(value)
        if not math.isfinite(shown):
            return number(shown)
        share = self.factor == 100 and abs(shown) < 1000
        return number(shown, 1 if share else None) + self.suffix

    def gain(self, value: float, decimals: int | None = None) -> str:
        """A difference as signed text; plus is better: ``+12.3 points``."""
        text = number(value * abs(self.factor), decimals, sign=True)
        return f"{text} {self.unit}".rstrip()


POINTS = (100, f"{SPACE}%", "points")
READINGS: Mapping[str, Reading] = MappingProxyType(
    {
        "accuracy": Reading("Right answers", *POINTS),
        "balanced_accuracy": Reading("Right answers, each class counting the same", *POINTS),
        "neg_log_loss": Reading("Log loss (lower is better)", -1, "", "nats"),
        "r2": Reading("Variation explained (R²)", *POINTS),
        "neg_mean_squared_error": Reading(
            "Squared error (lower is better)", -1, "", "squared units"
        ),
        "neg_mean_absolute_error": Reading("Error (lower is better)", -1, "", "units"),
    }
)


def reading_of(metric: str) -> Reading:
    """How this metric reads; one that is not in the table reads by its name, sign and unit."""
    if metric in READINGS:
        return READINGS[metric]
    unit = METRICS[metric].unit if metric in METRICS else ""
    factor, suffix = (100, f"{SPACE}%") if unit == "points" else (1, "")
    if metric.startswith("neg_"):
        return Reading(f"{metric[4:]} (lower is better)", -factor, suffix, unit)
    return Reading(metric, factor, suffix, unit)
