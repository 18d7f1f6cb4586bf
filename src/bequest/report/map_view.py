"""A parameter map laid out for a reader: blocks of tensors, each row with its rule and confidence.

Names of tensors are other people's text; the templates escape them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import final

from bequest.mapping import Entry, ParameterMap
from bequest.mapping.plans.entry import Amounts
from bequest.report.amounts import SPACE

__all__ = ["Band", "Block", "MapView", "Row", "view_of"]

FEW = 60  # tensors that are all shown; of more, blocks are folded
MOST = 5000  # rows; a browser is slow with more
CHILDREN = 3  # names in the title of a block that has none of its own


@final
@dataclass(frozen=True)
class Band:
    """A range of confidence, with the name of its colour."""

    least: float
    tone: str
    text: str


# Okabe and Ito's colours, which the colour-blind tell apart too; the number stands beside each.
BANDS = (
    Band(0.95, "sure", "0.95 and above"),
    Band(0.8, "likely", "0.80 to 0.95"),
    Band(0.5, "unsure", "0.50 to 0.80"),
    Band(0.0, "doubtful", "below 0.50"),
)


@final
@dataclass(frozen=True)
class Row:
    """One tensor of the target."""

    name: str
    within: str
    what: str
    shape: str
    rule: str
    sources: tuple[str, ...]
    confidence: float | None
    tone: str
    problem: str


@final
@dataclass(frozen=True)
class Block:
    """Tensors of one part of the target."""

    name: str
    rows: tuple[Row, ...]
    amounts: Amounts
    least: float | None
    tone: str
    open: bool


@final
@dataclass(frozen=True)
class MapView:
    """What the templates show of a map."""

    coverage: str  # per cent of the target's parameters that come from the source
    body: str | None  # the same of its body's
    amounts: Amounts
    confidence: float | None  # of the least sure tensor; None where nothing moves
    tensors: int
    refused: tuple[Row, ...]  # those that keep the map from being applied
    discrepancies: tuple[str, ...]
    blocks: tuple[Block, ...]
    more: int  # rows that are left out
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    bands: tuple[Band, ...] = BANDS


def view_of(plan: ParameterMap) -> MapView:
    """Lay out a map.

    Examples
    --------
    >>> import bequest as bq
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> view = view_of(bq.map_parameters(net, net, skip="2"))
    >>> view.amounts, view.blocks[0].rows[2].rule
    (Amounts(copied=15, reshaped=0, neutral=0, initialised=8), 'initialised (skipped)')
    """
    entries = plan.entries[:MOST]
    few = len(plan.entries) <= FEW
    return MapView(
        _per_cent(plan.from_source),
        _per_cent(plan.body_from_source) if plan.body else None,
        Amounts.of(plan.entries),
        plan.confidence if any(entry.moves for entry in plan.entries) else None,
        len(plan.entries),
        tuple(_row(entry, "") for entry in plan.entries if entry.problem),
        plan.discrepancies,
        tuple(_blocks(entries, few)),
        len(plan.entries) - len(entries),
        plan.unused,
        plan.notes,
    )


def _per_cent(share: float) -> str:
    """To one decimal; 100 % means all of them.

    Examples
    --------
    >>> _per_cent(0.99999), _per_cent(1.0), _per_cent(0.123)
    ('99.9\xa0%', '100\xa0%', '12.3\xa0%')
    """
    return f"{100.0 if share == 1.0 else min(99.9, round(100.0 * share, 1)):g}{SPACE}%"


def _blocks(entries: Sequence[Entry], few: bool) -> Iterable[Block]:
    for name, group in groupby(entries, key=lambda entry: _part(entry.target)):
        inside = list(group)
        rows = tuple(_row(entry, name) for entry in inside)
        known = [row.confidence for row in rows if row.confidence is not None]
        least = min(known, default=None)
        refused = any(row.problem for row in rows)
        yield Block(
            name or _children(rows),
            rows,
            Amounts.of(inside),
            least,
            "refused" if refused else _tone(least),
            few or refused,
        )


def _part(name: str) -> str:
    """A repeated block, such as ``encoder.layer.3``, or what holds the layer.

    Examples
    --------
    >>> _part("encoder.layer.3.attention.query.weight"), _part("stem.conv.weight"), _part("0.bias")
    ('encoder.layer.3', 'stem', '')
    """
    path = name.split(".")
    numbered = [n for n, part in enumerate(path[:-2]) if part.isdecimal()]
    return ".".join(path[: numbered[0] + 1] if numbered else path[:-2])


def _children(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.name.split(".")[0] for row in rows))
    more = len(names) - CHILDREN
    return ", ".join(names[:CHILDREN]) + (f" and {more} more" if more > 0 else "")


def _row(entry: Entry, part: str) -> Row:
    sure = entry.confidence if entry.moves else None
    axes = " × ".join(entry.axes)
    return Row(
        entry.target,
        entry.target.removeprefix(f"{part}."),
        f"{entry.role}, {axes}" if axes else entry.role,
        " × ".join(f"{size:,}" for size in entry.shape) or "1",
        "refused" if entry.problem else entry.rule,
        entry.sources,
        sure,
        "refused" if entry.problem else _tone(sure),
        entry.problem,
    )


def _tone(confidence: float | None) -> str:
    if confidence is None:
        return "own"
    return next((band.tone for band in BANDS if confidence >= band.least), BANDS[-1].tone)
