"""Rows that a source has seen and that stand in the target again: they make transfer look good.

N rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from bequest.core import Model, Task
from bequest.data.near_duplicates import pack, row_fingerprints, unpack

__all__ = ["overlap_notes", "remember"]

KEPT = 1000  # fingerprints on a card: the smallest, so that two cards keep the same rows


def remember(model: Model, task: Task) -> Model:
    """The model with a sample of its training rows' fingerprints on its card.

    The fingerprints are hashes of coarsened rows: who holds a row can ask whether it was seen. With
    a sketch of the task (`bequest.hub.sketch`) they are not published.
    """
    rows = np.sort(row_fingerprints(task))[:KEPT]
    return model.with_card(
        replace(model.card, task={**model.card.task, "fingerprints": pack(rows)})
    )


def overlap_notes(sources: Iterable[Model], task: Task) -> tuple[str, ...]:
    """A line for each source whose training rows the target nearly repeats.

    Parameters
    ----------
    sources : iterable of Model
        Those without fingerprints on their card are passed over.
    task : Task
        All of its rows count, the held-out ones too.
    """
    own = row_fingerprints(task)
    if task.test is not None:
        own = np.concatenate([own, row_fingerprints(task.test)])
    notes = []
    for source in sources:
        packed = source.card.task.get("fingerprints")
        if packed is None:
            continue
        kept = unpack(packed)
        known = np.count_nonzero(np.isin(kept, own))
        if known:
            share = known / len(kept)
            notes.append(
                f"{source.name} was trained on rows that the target nearly repeats: {known} of "
                f"the {len(kept)} that its card remembers ({share:.0%})."
            )
    return tuple(notes)
