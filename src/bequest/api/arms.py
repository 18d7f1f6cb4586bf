"""The arms of the race: which sources, which method, which settings.

Choosing among more sources than the race takes is part of what the race judges: it is done again
on the training rows of each fold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from bequest.core import ArmResult, Baseline, Model, Source, Task, TransferMethod
from bequest.core.wording import pluralise
from bequest.errors import DataError, NotApplicable
from bequest.evaluation import Arm
from bequest.hub.records.compatibility import compatible
from bequest.methods import BASELINES, METHODS
from bequest.selection import quick_order

__all__ = [
    "Methods",
    "check_methods",
    "checked_arms",
    "named_methods",
    "replayed",
    "scratch_arms",
    "transfer_arms",
]

Methods = Literal["auto"] | Sequence[str | TransferMethod]
Chosen = type[TransferMethod] | TransferMethod
RACING_SOURCES = 3  # more are thinned out by their scores, inside each fold


def transfer_arms(
    sources: Sequence[Source], task: Task, methods: Methods, most: int | None = None
) -> tuple[tuple[Arm, ...], tuple[ArmResult, ...], tuple[str, ...]]:
    """Arms in turn over the sources and methods, those that do not apply, and what is news of it.

    That one of all methods does not suit a source is no news; that one does not which somebody
    named is.

    Parameters
    ----------
    sources : sequence of Source
        Their models, opened, read the task's inputs; all under different names.
    task : Task
    methods : "auto" or sequence of names and methods
        A name stands for all of its settings worth racing, a method for itself.
    most : int, optional
        Arms of a source that train no network, at most: as many as from scratch has.
    """
    many = tuple(source for source in sources if source.model is not None)
    ranked = partial(_in_order, many) if len(many) > RACING_SOURCES else None
    queues: list[list[Arm]] = []
    with_data: list[Arm] = []  # what reads the source's rows comes first where not all have a place
    refused: list[ArmResult] = []
    notes: list[str] = []
    for place in range(max(len(sources), 1)):
        for method in _methods(methods):
            if ranked is not None and method.takes.sources == 1 and not method.takes.data:
                if place < RACING_SOURCES:
                    settings = _settings(method, (), task)
                    queues.append([_ranked_arm(ranked, many, place, one) for one in settings])
                continue
            given, left_out = _given(method, sources, place)
            notes += [f"{method.name}: {left_out}"] if left_out else []
            if given:
                queue, reason = _direct_arms(method, given, task, methods != "auto")
                if method.takes.data:
                    with_data += queue
                else:
                    queues.append(queue)
                refused += reason
    arms, left = _first((*with_data, *_in_turn(queues)), most)
    refused += [
        ArmResult(
            arm.source,
            arm.method,
            arm.settings,
            math.nan,
            reason=f"left out: an average from scratch holds {most}, and no other holds more.",
        )
        for arm in left
    ]
    if methods == "auto":
        return arms, tuple(refused), tuple(notes)
    named = (f"{one.method} from {one.source}: {one.reason}" for one in refused)
    return arms, (), (*notes, *named)


def scratch_arms(task: Task) -> tuple[Arm, ...]:
    """Every setting of every baseline worth racing, the most promising first."""
    queues = [
        [
            Arm("", name, one.settings(), partial(_train, one), None, one.trains_network)
            for one in BASELINES[name].arms(task)
        ]
        for name in BASELINES
    ]
    return _in_turn(queues)


def replayed(
    transfer: tuple[Arm, ...], scratch: tuple[Arm, ...], results: Sequence[ArmResult]
) -> tuple[tuple[Arm, ...], tuple[Arm, ...], list[int]]:
    """Those arms that were judged before, and the folds of each, transfer first.

    Raises
    ------
    DataError
        An arm that was judged is not among the arms: its source or its method is missing now.
    """
    chosen: list[tuple[Arm, ...]] = []
    folds: list[int] = []
    for side, from_scratch in ((transfer, False), (scratch, True)):
        own = {_key(arm): arm for arm in side}
        wanted = [one for one in results if one.used and (one.method in BASELINES) is from_scratch]
        missing = [result for result in wanted if _key(result) not in own]
        if missing:
            raise DataError(
                f"the arm {missing[0].method} {dict(missing[0].settings)} from "
                f"{missing[0].source or 'scratch'} cannot be run again: give the sources and "
                "methods that it was run with."
            )
        if not wanted:
            raise DataError("these arms hold none that ran on both sides: nothing to run again.")
        chosen.append(tuple(own[_key(result)] for result in wanted))
        folds += [len(result.folds) for result in wanted]
    return chosen[0], chosen[1], folds


def checked_arms(arms: object) -> tuple[ArmResult, ...]:
    """The arms of an outcome; `DataError` where they are something else, or none ran."""
    if not isinstance(arms, list | tuple) or not all(isinstance(arm, ArmResult) for arm in arms):
        raise DataError("arms are those of an outcome: transfer(..., arms=outcome.arms).")
    if not any(arm.method not in BASELINES and arm.used for arm in arms):
        raise DataError("none of these arms ran on the side of transfer: nothing to run again.")
    return tuple(arms)


def named_methods(results: Sequence[ArmResult]) -> list[TransferMethod]:
    """The methods of transfer that arms name, with their settings."""
    found: dict[str, TransferMethod] = {}
    for result in results:
        if result.method not in BASELINES and result.used:
            settings = {
                n: tuple(v) if isinstance(v, list) else v for n, v in result.settings.items()
            }
            found[_key(result)[len(result.source) :]] = METHODS[result.method](**settings)
    return list(found.values())


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


def _methods(methods: Methods) -> list[Chosen]:
    if isinstance(methods, str):
        if methods != "auto":
            METHODS[methods]  # a name that nothing has is told as such
            raise DataError(f"methods is 'auto' or a list: give [{methods!r}].")
        return [METHODS[name] for name in METHODS if METHODS[name].automatic]
    if not isinstance(methods, list | tuple):
        raise DataError(
            f"methods is 'auto' or a list of names and methods, not a {type(methods).__name__}."
        )
    if not methods or any(m in BASELINES or isinstance(m, Baseline) for m in methods):
        raise DataError(
            "give at least one method of transfer; from scratch races against it in any case."
        )
    chosen = [METHODS[m] if isinstance(m, str) else m for m in methods]
    for method in chosen:
        kind = method if isinstance(method, type) else type(method)
        if not issubclass(kind, TransferMethod):
            raise DataError(
                f"a method is a name ({', '.join(METHODS)}) or a TransferMethod, not {method!r}."
            )
    return chosen


def _settings(method: Chosen, sources: Sequence[Source], task: Task) -> tuple[TransferMethod, ...]:
    return method.arms(sources, task) if isinstance(method, type) else (method,)


def _given(method: Chosen, sources: Sequence[Source], place: int) -> tuple[tuple[Source, ...], str]:
    """The sources of a method's arms in this turn: one after the other, or several at once.

    Several become one model: only those whose licences allow it are combined, and what was left out
    is said. An average is of one source's arms, so it never combines two.
    """
    if method.takes.sources == 1:
        return tuple(sources[place : place + 1]), ""
    if place > 0:
        return (), ""
    found = compatible([source.card.licence for source in sources])
    return tuple(sources[one] for one in found.kept[: method.takes.sources]), found.reason


def _direct_arms(
    method: Chosen, sources: tuple[Source, ...], task: Task, named: bool
) -> tuple[list[Arm], list[ArmResult]]:
    """The arms, or why there are none: where nobody named it, a method may want other things."""
    name = " + ".join(source.name for source in sources)
    missing = method.takes.refuses(sources, task)
    if missing is not None:
        return [], [
            ArmResult(name, method.name, {}, math.nan, reason=str(missing))
        ] if named else []
    settings = _settings(method, sources, task)
    reasons = [one.applies(sources, task) for one in settings]
    arms = [
        Arm(
            name,
            one.name,
            one.settings(),
            partial(_transfer, one, sources),
            None,
            one.trains_network,
        )
        for one, reason in zip(settings, reasons, strict=True)
        if reason is None
    ]
    if arms:
        return arms, []
    why = next((r.reason for r in reasons if r), "" if not named else "no setting fits.")
    return [], [ArmResult(name, method.name, {}, math.nan, reason=why)] if why else []


def _train(baseline: Baseline, task: Task, rng: np.random.Generator) -> Model:
    return baseline.fit(task, rng=rng)


def _transfer(
    method: TransferMethod, sources: Sequence[Source], task: Task, rng: np.random.Generator
) -> Model:
    return method.fit(sources, task, rng=rng)


def _ranked_arm(
    order: partial[list[int]], sources: tuple[Source, ...], place: int, method: TransferMethod
) -> Arm:
    fit = partial(_transfer_ranked, method, sources, place)
    name = f"number {place + 1} by score"
    return Arm(name, method.name, method.settings(), fit, order, method.trains_network)


def _transfer_ranked(
    method: TransferMethod,
    sources: tuple[Source, ...],
    place: int,
    task: Task,
    rng: np.random.Generator,
    order: Sequence[int],
) -> Model:
    if place >= len(order):
        raise NotApplicable(
            f"only {pluralise(len(order), 'source')} could be scored on these rows."
        )
    return method.fit([sources[order[place]]], task, rng=rng)


def _in_order(sources: tuple[Source, ...], task: Task) -> list[int]:
    """Places of the sources in the order of their scores on these rows."""
    models = [source.model for source in sources if source.model is not None]
    places = {source.name: place for place, source in enumerate(sources)}
    order = quick_order(models, task, rng=np.random.default_rng(0))
    return [places[models[one].name] for one in order]


def _key(arm: Arm | ArmResult) -> str:
    """What tells arms apart, as plain values."""
    return f"{arm.source} {arm.method} {json.dumps(arm.settings, sort_keys=True, default=str)}"


def _in_turn(queues: Sequence[Sequence[Arm]]) -> tuple[Arm, ...]:
    """The first of each queue, then the second of each: no source or method waits for another."""
    longest = max((len(queue) for queue in queues), default=0)
    return tuple(queue[turn] for turn in range(longest) for queue in queues if turn < len(queue))


def _first(arms: Sequence[Arm], most: int | None) -> tuple[tuple[Arm, ...], tuple[Arm, ...]]:
    """Of each source the first arms without a network, and all with one; and the others."""
    count: dict[str, int] = {}
    kept: list[Arm] = []
    left: list[Arm] = []
    for arm in arms:
        count[arm.source] = count.get(arm.source, 0) + (not arm.trains_network)
        fits = arm.trains_network or most is None or count[arm.source] <= most
        (kept if fits else left).append(arm)
    return tuple(kept), tuple(left)
