"""Rows that a source has seen and that stand in the target again: they make transfer look good.

N rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bequest.core import Model, Source, Task
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


def overlap_notes(sources: Iterable[Source], task: Task) -> tuple[str, ...]:
    """A line for each source whose rows the target nearly repeats.

    Parameters
    ----------
    sources : iterable of Source
        Their data count, and of a model the fingerprints on its card, where it has some.
    task : Task
        All of its rows count, the held-out ones too.
    """
    own = row_fingerprints(task)
    if task.test is not None:
        own = np.concatenate([own, row_fingerprints(task.test)])
    notes = []
    for source in sources:
        packed = "" if source.model is None else source.model.card.task.get("fingerprints", "")
        if (known := _share(unpack(packed), own)) is not None:
            notes.append(
                f"{source.name} was trained on rows that the target nearly repeats: {known} that "
                "its card remembers."
            )
        data = source.data
        fits = data is not None and data.modality == task.modality
        if data is not None and fits and (known := _share(row_fingerprints(data), own)) is not None:
            notes.append(f"{source.name} brings rows that the target nearly repeats: {known}.")
    return tuple(notes)


def _share(rows: NDArray[np.uint64], own: NDArray[np.uint64]) -> str | None:
    """How many of these rows are among the target's; None where none is."""
    known = np.count_nonzero(np.isin(rows, own))
    return f"{known} of the {len(rows)} ({known / len(rows):.0%})" if known else None
