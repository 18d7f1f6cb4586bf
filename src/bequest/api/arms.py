"""The arms of the race: which source, which method, which settings.

Choosing among more sources than the race takes is part of what the race judges: it is done again
on the training rows of each fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, final

import numpy as np

from bequest.core import Model, Task, TransferMethod
from bequest.core.wording import counted
from bequest.errors import DataError, NotApplicable
from bequest.evaluation import Arm
from bequest.methods import METHODS
from bequest.methods.from_scratch import FromScratch
from bequest.selection import rank

__all__ = ["Methods", "check_methods", "scratch_arms", "transfer_arms"]

Methods = Literal["auto"] | Sequence[str | TransferMethod]
RACING_SOURCES = 3  # more are thinned out by their scores, inside each fold


def transfer_arms(
    sources: Sequence[Model], task: Task, methods: Methods
) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Arms in turn over the sources and methods, and a line for each pair that does not apply.

    Parameters
    ----------
    sources : sequence of Model
        Those that read the task's inputs, under different names.
    task : Task
    methods : "auto" or sequence of names and methods
        A name stands for all of its settings worth racing, a method for itself.
    """
    wanted = _methods(methods)
    few = len(sources) <= RACING_SOURCES
    chooser = _Chooser(tuple(sources))
    queues: list[list[Arm]] = []
    refused: list[str] = []
    for place, source in enumerate(sources if few else sources[:RACING_SOURCES]):
        for method in wanted:
            settings = method.arms(source, task) if isinstance(method, type) else (method,)
            reasons = {s: s.applies(source, task) for s in settings}
            fitting = [s for s, reason in reasons.items() if reason is None]
            if few:
                queues.append([_arm(source, setting) for setting in fitting])
                if not fitting:
                    why = next((r.reason for r in reasons.values() if r), "no setting fits.")
                    refused.append(f"{method.name} from {source.name}: {why}")
            else:
                anywhere = method.arms(None, task) if isinstance(method, type) else (method,)
                queues.append([_ranked_arm(chooser, place, setting) for setting in anywhere])
    return _in_turn(queues), tuple(refused)


def scratch_arms(task: Task) -> tuple[Arm, ...]:
    """Every setting of from scratch worth racing, the most promising first."""
    return tuple(
        Arm("", setting.name, setting.settings(), partial(_fit, setting, None))
        for setting in FromScratch.arms(None, task)
    )


def check_methods(methods: Methods) -> None:
    """Raise `DataError`, or `UnknownName`, unless these are methods of transfer.

    Examples
    --------
    >>> check_methods("probe")
    Traceback (most recent call last):
        ...
    bequest.errors.DataError: methods is 'auto' or a list: give ['probe'].
    """
    _methods(methods)


def _methods(methods: Methods) -> list[type[TransferMethod] | TransferMethod]:
    if isinstance(methods, str):
        if methods != "auto":
            METHODS[methods]  # a name that nothing has is told as such
            raise DataError(f"methods is 'auto' or a list: give [{methods!r}].")
        known = [METHODS[name] for name in METHODS if name != FromScratch.name]
        return [method for method in known if method.automatic]
    if not isinstance(methods, list | tuple):
        raise DataError(
            f"methods is 'auto' or a list of names and methods, not a {type(methods).__name__}."
        )
    chosen = [METHODS[m] if isinstance(m, str) else m for m in methods]
    for method in chosen:
        kind = method if isinstance(method, type) else type(method)
        if not issubclass(kind, TransferMethod):
            raise DataError(
                f"a method is a name ({', '.join(METHODS)}) or a TransferMethod, not {method!r}."
            )
    if not chosen or any(m.name == FromScratch.name for m in chosen):
        raise DataError(
            "give at least one method of transfer; from scratch races against it in any case."
        )
    return chosen


def _fit(
    method: TransferMethod, source: Model | None, task: Task, rng: np.random.Generator
) -> Model:
    return method.fit(source, task, rng=rng)


def _arm(source: Model, method: TransferMethod) -> Arm:
    return Arm(source.name, method.name, method.settings(), partial(_fit, method, source))


def _ranked_arm(chooser: _Chooser, place: int, method: TransferMethod) -> Arm:
    def fit(task: Task, rng: np.random.Generator) -> Model:
        return method.fit(chooser.at(place, task), task, rng=rng)

    return Arm(f"number {place + 1} by score", method.name, method.settings(), fit)


@final
@dataclass(frozen=True, eq=False)
class _Chooser:
    """Sources in the order of their scores on the rows of a task; each set of rows once."""

    sources: tuple[Model, ...]
    _known: dict[str, list[str]] = field(default_factory=dict)

    def at(self, place: int, task: Task) -> Model:
        key = task.fingerprint
        if key not in self._known:
            ranking = rank(self.sources, task, n_boot=0, rng=np.random.default_rng(0))
            self._known[key] = [entry.source for entry in ranking if not entry.reason]
        names = self._known[key]
        if place >= len(names):
            raise NotApplicable(
                f"only {counted(len(names), 'source')} could be scored on these rows."
            )
        return next(source for source in self.sources if source.name == names[place])


def _in_turn(queues: Sequence[Sequence[Arm]]) -> tuple[Arm, ...]:
    """The first of each queue, then the second of each: no source or method waits for another."""
    longest = max((len(queue) for queue in queues), default=0)
    return tuple(queue[turn] for turn in range(longest) for queue in queues if turn < len(queue))
