"""Rows that stand in a table more than once: a copy that is tested must not have been trained on.

N rows, G of them distinct.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bequest.core.task import Task
from bequest.core.wording import pluralise
from bequest.data.near_duplicates import overlap, row_fingerprints

__all__ = ["with_repeats_together"]

FEWEST = 0.05  # share of repeated rows from which on whole groups are dealt, not rows of each class


def with_repeats_together(task: Task) -> tuple[Task, tuple[str, ...]]:
    """The task with near copies of a row as one group, and what a reader must know of them.

    Rows that are tested beside a copy that was trained on make every model look good, and those
    that remember rows most of all. As groups they are dealt into one fold, and are drawn together
    where an interval is made: three copies are no three observations. A task with groups or times
    of its own keeps these, for they say what belongs together; the notes are the same.

    Parameters
    ----------
    task : Task
        Its held-out rows are compared, too.

    Returns
    -------
    task : Task
    notes : tuple of str

    Examples
    --------
    >>> thrice = Task.from_arrays([[0.0], [1.0], [2.0], [5.0]] * 3, list("abab") * 3)
    >>> grouped, notes = with_repeats_together(thrice)
    >>> len(set(grouped.groups.tolist())), notes
    (4, ('8 of the 12 rows repeat another one: copies stay in one fold, and count as one row.',))
    """
    rows = row_fingerprints(task)
    distinct, group = np.unique(rows, return_inverse=True)
    repeats = len(rows) - len(distinct)
    own = task.groups is not None or task.time is not None
    together = not own and repeats >= FEWEST * len(rows) and len(distinct) > 1
    notes = []
    if repeats and (together or repeats >= FEWEST * len(rows)):
        what = (
            "copies stay in one fold, and count as one row"
            if together
            else ("where copies are in several groups or times, they are tested beside each other")
        )
        verb = "repeats" if repeats == 1 else "repeat"
        notes.append(f"{repeats:,} of the {len(rows):,} rows {verb} another one: {what}.")
    if task.test is not None and (known := overlap(row_fingerprints(task.test), rows)):
        held_out = pluralise(len(task.test), "held-out row")
        notes.append(
            f"{known:,} of the {held_out} are also among the rows to train on: on these a model "
            "that remembers rows looks good."
        )
    return (replace(task, groups=group) if together else task), tuple(notes)
