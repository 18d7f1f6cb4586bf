"""What a card or an outcome says of a task: no row of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from bequest.core.records import Count, Record

__all__ = ["RowFingerprints", "TaskSummary"]


@final
@dataclass(frozen=True)
class RowFingerprints(Record):
    """Fingerprints of the rows that a model was trained on.

    Parameters
    ----------
    rows : int
        How many there were.
    fingerprints : str
        The smallest of them, packed as text.
    repeated_rows : float, optional
        Share of the rows that are repeated, 0 to 1.
    """

    rows: Count = 0
    fingerprints: str = ""
    repeated_rows: float | None = None


@final
@dataclass(frozen=True)
class TaskSummary(Record):
    """What a card or an outcome says of a task.

    Parameters
    ----------
    name : str
    fingerprint : str
        Content address of its rows; where a sketch stands, of the sketch.
    modality, kind : str
        As of the task, such as ``"table"`` and ``"classification"``.
    metric : str
        scikit-learn's name.
    rows : int
        With a label; 0 where nobody has said.
    classes : tuple
        Labels; empty for regression.
    class_shares : tuple of float
        Share of each class, 0 to 1.
    fingerprints : str
        Of the rows that a model was trained on, packed as text; see `RowFingerprints`.
    repeated_rows : float, optional
        Share of those rows that are repeated, 0 to 1.
    earlier_rows : tuple of RowFingerprints
        Of the tasks that the model's sources were trained on.
    entities, relations : int
        Of a knowledge graph.
    sketch : mapping
        A `bequest.hub.TaskSketch` as plain values; empty where there is none.

    Examples
    --------
    >>> TaskSummary(name="ward 7", rows=40).to_dict()
    {'name': 'ward 7', 'rows': 40}
    """

    omit_defaults: ClassVar[bool] = True

    name: str = ""
    fingerprint: str = ""
    modality: str = ""
    kind: str = ""
    metric: str = ""
    rows: Count = 0
    classes: tuple[str | int | float | bool, ...] = ()
    class_shares: tuple[float, ...] = ()
    fingerprints: str = ""
    repeated_rows: float | None = None
    earlier_rows: tuple[RowFingerprints, ...] = ()
    entities: Count = 0
    relations: Count = 0
    sketch: Mapping[str, Any] = field(default_factory=dict)
