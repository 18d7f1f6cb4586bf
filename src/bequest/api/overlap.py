"""Sources that have seen rows of the target: they make transfer look good, and must not judge.

N rows of the target, M of the source, K fingerprints that its card keeps.

A card keeps the K smallest of its distinct fingerprints. A fingerprint is a hash: so the rows whose
fingerprints are not above the largest of those kept are a random part of all rows, the same part of
every table, and of a row in that part the card tells for certain whether it was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, binomtest

from bequest.core import Model, RowFingerprints, Source, Task, TaskSummary
from bequest.core.wording import listed
from bequest.data.near_duplicates import pack, row_fingerprints, unpack
from bequest.errors import DataError

__all__ = ["Matches", "Overlap", "SeenRows", "about_rows", "overlap", "with_row_fingerprints"]

Array = NDArray[Any]
FEWEST, MOST = 1000, 2**14  # fingerprints on a card: all, up to the first; at most 171 KiB of text
MOST_EARLIER = 8  # tasks before, of which a card carries on the fingerprints
KEPT = 4  # between the two: one of so many rows
LEVEL = 0.001  # of the test against chance
LARGEST_SHARE = 1 / 3  # of the target's rows; with more, too few are left that were not seen
HIDDEN = 0.05  # of the rows that would judge, likely seen without a card that can name them


@final
@dataclass(frozen=True, eq=False)
class Overlap:
    """Which sources have seen rows of a task, beyond chance.

    Parameters
    ----------
    left_out : mapping of str to str
        Why a source cannot be judged on this task, by its name.
    unjudged : int array
        Rows of the task that another source has seen: they train, and do not judge.
    held_out : int array
        As `unjudged`, of the task's held-out rows.
    notes : tuple of str
        What a reader must know: the rows above, and of which sources nothing is known.
    seen : bool
        Whether any source has seen a row: what is left in the race all the same has no verdict.
    """

    left_out: Mapping[str, str]
    unjudged: Array
    held_out: Array
    notes: tuple[str, ...]
    seen: bool


def with_row_fingerprints(model: Model, task: Task, sources: Iterable[Source] = ()) -> Model:
    """The model with fingerprints of its training rows on its card, and of those of its sources.

    What a source has seen its child has seen, whatever it is trained on next: of the sources that
    are its parents it carries on what their cards and their data say, of at most 8 tasks.

    Of one task all are kept of 1,000 distinct rows, then 1,000 or a quarter, and 16,384 at most;
    beside them stands the share of the rows that are repeated, which tells what chance gives. A
    fingerprint is the hash of a coarsened row: who holds a row can ask whether it was seen. With a
    sketch of the task (`bequest.hub.sketches`) none of this is published.

    References
    ----------
    Broder, On the resemblance and containment of documents, 1997 (the smallest hashes).

    Examples
    --------
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> from bequest.core import Card
    >>> task = Task.from_arrays([[0.0], [0.0], [1.0], [2.0]], ["a", "b", "a", "b"])
    >>> model = FunctionModel(len, spec=task.spec, classes=task.classes, card=Card())
    >>> with_row_fingerprints(model, task).card.task.repeated_rows
    0.5
    """
    known = about_rows(row_fingerprints(task))
    parents = [source for source in sources if source.name in model.card.parents]
    earlier = {
        record.fingerprints: record
        for source in parents
        for record in _records(source)
        if record.fingerprints != known.fingerprints
    }
    said = replace(
        model.card.task,
        rows=known.rows,
        fingerprints=known.fingerprints,
        repeated_rows=known.repeated_rows,
        earlier_rows=tuple(earlier.values())[:MOST_EARLIER],
    )
    return model.with_card(replace(model.card, task=said))


def about_rows(rows: Array) -> RowFingerprints:
    """What a card keeps of M fingerprints (uint64)."""
    kept = np.unique(rows)[: max(FEWEST, min(MOST, len(rows) // KEPT))]
    return RowFingerprints(rows=len(rows), fingerprints=pack(kept), repeated_rows=_repeated(rows))


def overlap(sources: Iterable[Source], task: Task) -> Overlap:
    """Compare the rows that sources were trained on with those of a task.

    Of the target's distinct rows those are counted that are among the source's; they are more than
    chance gives where two tests say so at level 0.001. One expects as many as rows are repeated in
    both tables, each in itself, and knows that share no better than from half as many rows, for
    repeats come in pairs (beta-binomial); the other expects as many as are repeated in the target
    alone (binomial). A source leaves where more than a third of the rows that can be compared is
    shared, or where its card names so few of its rows that more than 5 % of those that judge would
    be rows which it has seen.

    Parameters
    ----------
    sources : iterable of Source
        Opened. Of a model the fingerprints on its card count, of data all rows.
    task : Task
        Its held-out rows are compared, too.

    Returns
    -------
    Overlap

    References
    ----------
    Brown, Cai and DasGupta, Interval estimation for a binomial proportion, 2001 (the prior of
    Jeffreys, for sources that repeat no row).

    Examples
    --------
    >>> X = np.arange(40.0)[:, None]
    >>> task = Task.from_arrays(X, np.arange(40) % 2, name="mine")
    >>> overlap([Source(data=task)], task).left_out
    {'mine': 'it was trained on rows of this task: 40 of 40.'}
    """
    parts = {"": row_fingerprints(task)}
    if task.test is not None:
        parts["held-out "] = row_fingerprints(task.test)
    shared = {what: np.zeros(len(own), dtype=bool) for what, own in parts.items()}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    unknown: list[str] = []
    seen = False
    for source in sources:
        known = list(_known(source, task))
        if not known:
            unknown.append(source.name)
        found = [(what, rows.among(own)) for rows in known for what, own in parts.items()]
        if any(one.unclear for _, one in found):
            notes.append(
                f"Whether {source.name} has seen these rows cannot be told: too few of them can be "
                "told apart from rows like them."
            )
        found = [(what, one) for what, one in found if one.beyond_chance]
        seen = seen or bool(found)
        reasons = [one.reason(what) for what, one in found if one.too_many]
        if reasons:
            left_out[source.name] = reasons[0]
            continue
        for what, one in found:
            shared[what] |= one.shared
            notes.append(
                f"{source.name} was trained on {one.count} of the {len(one.shared)} {what}rows: "
                f"these do not judge{one.more}."
            )
    if unknown:
        whose, verb = (
            ("its card holds", "has") if len(unknown) == 1 else ("their cards hold", "have")
        )
        notes.append(
            f"Whether {listed(unknown, 3)} {verb} seen these rows is unknown: {whose} no "
            "fingerprints."
        )
    places = {what: np.flatnonzero(rows) for what, rows in shared.items()}
    held_out = places.get("held-out ", np.zeros(0, dtype=np.int64))
    return Overlap(left_out, places[""], held_out, tuple(dict.fromkeys(notes)), seen)


@final
@dataclass(frozen=True, eq=False)
class Matches:
    """Rows of a source among N of a target: those that are, and those of which it can be told."""

    shared: Array  # bool (N,)
    compared: Array  # bool (N,)
    repeats: float  # rows that are repeated in their own table, of both
    rows: int  # of both tables
    repeated: float  # share of the target's own rows
    distinct: int  # rows that were compared, each counted once
    matches: int  # of these

    @property
    def count(self) -> int:
        """Rows of the target that the source has seen."""
        return int(self.shared.sum())

    @property
    def beyond_chance(self) -> bool:
        """Whether they are more than chance gives."""
        return self.matches > 0 and self._by_chance(self.matches) < LEVEL

    @property
    def unclear(self) -> bool:
        """Whether even a source that has seen all of them would not be told from chance."""
        if not self.distinct:
            return True
        return self.matches > 0 and self._by_chance(self.distinct) >= LEVEL

    def _by_chance(self, matches: int) -> float:
        """How likely chance gives so many, or more."""
        a, b = self.repeats / 2 + 0.5, (self.rows - self.repeats) / 2 + 0.5
        of_both = betabinom.sf(matches - 1, self.distinct, a, b)
        of_target = binomtest(matches, self.distinct, self.repeated, alternative="greater").pvalue
        return float(max(of_both, of_target))

    @property
    def hidden(self) -> float:
        """How many rows that cannot be compared were seen as well, on average."""
        return self.count / int(self.compared.sum()) * int((~self.compared).sum())

    @property
    def too_many(self) -> bool:
        """Whether the source cannot be judged by the rows that are left."""
        judging = len(self.shared) - self.count
        share = self.count / self.compared.sum()
        return bool(share > LARGEST_SHARE or self.hidden > HIDDEN * judging)

    @property
    def more(self) -> str:
        """The end of a sentence: rows that its card does not tell of."""
        if self.hidden < 1:
            return ""
        return f"; about {self.hidden:.0f} more may be among those that its card does not tell of"

    def reason(self, what: str) -> str:
        """Why the source leaves, for the rows or the held-out rows."""
        asked = int(self.compared.sum())
        limited = " of which its card can tell" if asked < len(self.shared) else ""
        the = "the " if limited else ""
        return f"it was trained on {what}rows of this task: {self.count} of {the}{asked}{limited}."


@final
@dataclass(frozen=True, eq=False)
class SeenRows:
    """The rows that a source was trained on, as far as they are known."""

    kept: Array  # uint64 (K,), distinct
    rows: int  # M
    repeated: float  # share of them
    whole: bool  # whether these are all

    @classmethod
    def of_record(cls, said: RowFingerprints) -> Self | None:
        """None where a record of rows holds no fingerprints, or none that can be read."""
        try:
            kept = unpack(said.fingerprints)
        except DataError:  # a card comes from anybody: what it cannot say is not known
            return None
        if not len(kept) or said.repeated_rows is None:
            return None
        share = min(max(said.repeated_rows, 0.0), 1.0)
        return cls(kept, max(said.rows, len(kept)), share, len(kept) < FEWEST)

    @classmethod
    def of_data(cls, data: Task) -> Self:
        """All rows of a task."""
        rows = row_fingerprints(data)
        return cls(np.unique(rows), len(rows), _repeated(rows), True)

    def among(self, own: Array) -> Matches:
        """Which of N fingerprints of a target are the source's."""
        # The smallest are kept: the largest of them says where the part ends that is known.
        compared = np.ones(len(own), dtype=bool) if self.whole else own <= self.kept.max()
        shared = np.isin(own, self.kept) & compared
        distinct, matches = (len(np.unique(own[rows])) for rows in (compared, shared))
        repeats = self.repeated * self.rows + _repeated(own) * len(own)
        rows = self.rows + len(own)
        return Matches(shared, compared, repeats, rows, _repeated(own), distinct, matches)


def _known(source: Source, task: Task) -> Iterable[SeenRows]:
    """What is known of a source's rows, from its card and from its data."""
    for record in () if source.model is None else _on_card(source.model.card.task):
        known = SeenRows.of_record(record)
        if known is not None:
            yield known
    if source.data is not None and source.data.modality == task.modality:
        yield SeenRows.of_data(source.data)


def _on_card(said: TaskSummary) -> Iterable[RowFingerprints]:
    """The records of rows on a card: of its own task, and of those of its sources."""
    yield RowFingerprints(
        rows=said.rows, fingerprints=said.fingerprints, repeated_rows=said.repeated_rows
    )
    yield from said.earlier_rows


def _records(source: Source) -> Iterable[RowFingerprints]:
    """What a card keeps of each task whose rows a source has seen, as far as they are known."""
    for record in () if source.model is None else _on_card(source.model.card.task):
        if SeenRows.of_record(record) is not None:
            yield record
    if source.data is not None:
        yield about_rows(row_fingerprints(source.data))


def _repeated(rows: Array) -> float:
    """Share of rows that stand there more than once, from 0 to 1."""
    _, counts = np.unique(rows, return_counts=True)
    return float(counts[counts > 1].sum() / max(len(rows), 1))
