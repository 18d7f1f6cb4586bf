"""Sources that fit a task by their shapes and are likely to be misread: notes for a person."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from bequest.core import Label, Source, Task
from bequest.frameworks.encoders.pixels import Pixels
from bequest.methods.provenance import match_label

__all__ = ["misfits"]

BRIGHTEST = 2.0  # of pixels from 0 to 1, with room for what is resized with overshoot
LOOKED_AT = 16  # images
SHOWN = 5  # classes
CLOSE = 0.7  # likeness of two names, as difflib measures it


def misfits(sources: Sequence[Source], task: Task) -> tuple[str, ...]:
    """A sentence for each source whose classes, or whose pixels, are not the task's.

    Examples
    --------
    >>> import bequest as bq
    >>> task = Task.from_arrays([[0.0], [1.0]], ["benign", "malignant"])
    >>> source = bq.wrap(lambda X: X[:, 0] > 0, classes=[False, True], name="clinic")
    >>> misfits([Source(source)], task)[0][:67]
    "None of clinic's classes (False, True) is one of the task's (benign"
    """
    found = (note for source in sources for note in (_classes(source, task), _pixels(source, task)))
    return tuple(note for note in found if note)


def _classes(source: Source, task: Task) -> str:
    """Of a source with as many classes as the task, some of which the task does not know."""
    model = source.model
    if model is None or task.kind != "classification":
        return ""
    known = model.classes
    strange = [label for label in known if match_label(label, task.classes) is None]
    if not strange or len(known) != len(task.classes):
        return ""
    names = {label: _near(label, task.classes) for label in strange}
    every = len(strange) == len(known)
    first = strange[0]
    means = names[first] or task.classes[known.index(first)]
    mine = _listed(task.classes)
    if every:
        said = f"None of {source.name}'s classes ({_listed(known)}) is one of the task's ({mine})."
    else:
        said = f"{source.name} has the class {_listed(strange)}, none of the task's ({mine})."
    way = f"bequest.wrap(model, labels={{{first!r}: {means!r}, ...}})"
    return f"{said} Where they mean the same, say which is which: {way}."


def _near(label: Label, classes: Sequence[Label]) -> Label | None:
    names = {str(other).casefold(): other for other in classes}
    near = difflib.get_close_matches(str(label).casefold(), list(names), n=1, cutoff=CLOSE)
    return names[near[0]] if near else None


def _listed(labels: Sequence[Label]) -> str:
    more = ", ..." if len(labels) > SHOWN else ""
    return ", ".join(map(str, labels[:SHOWN])) + more


def _pixels(source: Source, task: Task) -> str:
    """Of a network of photos, where the task's pixels are levels from 0 to 255."""
    if task.modality != "image" or not isinstance(getattr(source.model, "encoder", None), Pixels):
        return ""
    few = task.inputs[np.arange(min(LOOKED_AT, len(task)))]
    brightest = float(np.max(np.asarray(few)))
    if brightest <= BRIGHTEST:
        return ""
    return (
        f"{source.name} reads pixels from 0 to 1, the task's go up to {brightest:g}: divide them "
        "by 255 where they are levels of photos."
    )
