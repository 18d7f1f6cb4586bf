"""The last fits: the arms of an average on all rows, and the model that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self, final

import numpy as np

from bequest.core import Card, Model, Task, due_in
from bequest.errors import BequestError, NotApplicable, OutOfTime
from bequest.evaluation import Arm, Candidate, RaceResult, Until
from bequest.executors.local import alone
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.methods.from_scratch import constant

__all__ = ["ROOM", "Fits", "LastFits"]

ROOM = 1.5  # what a fit on all rows costs, in fits of a fold: more rows, and some room


@final
@dataclass(frozen=True)
class Fits:
    """A model of all rows.

    Parameters
    ----------
    model : Model
        The average; the member itself where there is only one.
    best : Model
        The member with the best metric on rows that it did not train on.
    notes : tuple of str
        Members that could not be fitted.
    """

    model: Model
    best: Model
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        members: Sequence[Model],
        task: Task,
        *,
        best: int = 0,
        temperature: float = 1.0,
        notes: tuple[str, ...] = (),
    ) -> Self:
        """The average of fitted models; none of them is asked again."""
        if len(members) == 1 and temperature == 1.0:
            return cls(members[0], members[0], notes)
        card = members[0].card if len(members) == 1 else _card(members, task)
        model = Ensemble(tuple(members), card=card, spec=task.spec, temperature=temperature)
        return cls(model, members[best], notes)

    @classmethod
    def in_time(cls, arms: Sequence[Arm], task: Task, seed: int, until: Until) -> Self:
        """The average of as many arms as can be fitted, one at least.

        Those that train a network come last. All but the first are given up where they do not fit
        the time. Where none can be fitted, the model gives the same for every row.
        """
        members: list[Model] = []
        reasons: list[str] = []
        for arm in sorted(arms, key=lambda arm: arm.trains_network):
            if members and until.left <= 0:
                break
            try:
                seconds = until.left if members else math.inf
                members.append(_fitted(arm, task, seed, None, seconds, until.clock))
            except BequestError as reason:
                reasons.append(f"{arm.method}: {reason}")
        if not members:
            return cls.constant(task, reasons)
        return cls.of(members, task)

    @classmethod
    def constant(cls, task: Task, reasons: Sequence[str]) -> Self:
        """The class frequencies, or the mean, for every row: it can be fitted on any labels."""
        model = constant(task)
        why = " ".join(dict.fromkeys(reasons))
        note = f"Nothing could be trained, and the model gives the same for every row. {why}"
        return cls(model, model, (note.rstrip(),))


@final
@dataclass(frozen=True, eq=False)
class LastFits:
    """Fits averages on all rows, and keeps time for what comes after.

    Parameters
    ----------
    arms : tuple of Arm
        All of the race, as in its result.
    found : RaceResult
    task : Task
    seed : int
    until : Until
        When all of it is given up.
    """

    arms: tuple[Arm, ...]
    found: RaceResult
    task: Task
    seed: int
    until: Until
    _choices: dict[int, Any] = field(default_factory=dict)  # arms that choose alike choose once

    def both(
        self, moved: Candidate, plain: Candidate, *, first: Literal["transfer", "from-scratch"]
    ) -> tuple[Fits | NotApplicable, Fits | NotApplicable]:
        """The averages of both sides, or why one cannot be had: first the one to be handed over."""
        sides = {"transfer": moved, "from-scratch": plain}
        fits: dict[str, Fits | NotApplicable] = {}
        for side in sorted(sides, key=lambda side: side != first):
            waiting = [other for name, other in sides.items() if name != side and name not in fits]
            try:
                fits[side] = self.averaged(sides[side], *waiting)
            except NotApplicable as reason:
                fits[side] = reason
        return fits["transfer"], fits["from-scratch"]

    def averaged(self, chosen: Candidate, *waiting: Candidate) -> Fits:
        """The arms of a candidate fitted on all rows, and averaged; others wait for their turn.

        Raises
        ------
        NotApplicable
            None of them can be fitted on all rows.
        """
        members: dict[int, Model] = {}
        notes: list[str] = []
        for turn, place in enumerate(chosen.members):
            after = (*chosen.members[turn + 1 :], *(a for one in waiting for a in one.members))
            try:
                members[place] = self._fitted(place, after, needed=not members and not notes)
            except BequestError as reason:
                notes.append(f"{self.arms[place].method} is not in the average: {reason}")
        if not members:
            raise NotApplicable(" ".join(notes))
        return Fits.of(
            list(members.values()),
            self.task,
            best=int(np.argmax([self.found.arms[place].score for place in members])),
            temperature=chosen.temperature,
            notes=tuple(notes),
        )

    def any(self) -> Fits:
        """The best arm that can be fitted in time, whichever side it is of; else a constant."""
        scores = np.array([arm.score for arm in self.found.arms])
        reasons = []
        for place in np.argsort(np.where(np.isfinite(scores), -scores, np.inf), kind="stable"):
            if self.until.left <= 0:
                break
            try:
                model = self._fitted(int(place), range(len(self.arms)))
            except BequestError as reason:
                reasons.append(f"{self.arms[place].method}: {reason}")
            else:
                return Fits(model, model)
        return Fits.constant(self.task, reasons)

    def _fitted(self, place: int, after: Sequence[int], *, needed: bool = False) -> Model:
        """An arm's model, in the time that the others do not need, and in half of it at least."""
        arm, left = self.arms[place], self.until.left
        if left <= 0 and not needed:
            raise OutOfTime("fitting it")
        kept = ROOM * sum(self.found.seconds.get(other, 0.0) for other in after)
        seconds = max(left - kept, left / 2)
        if arm.choose is not None and id(arm.choose) not in self._choices:
            choose = partial(arm.choose, self.task)
            self._choices[id(arm.choose)] = alone(choose, seconds, "choosing its source")
        choice = self._choices.get(id(arm.choose))
        return _fitted(arm, self.task, self.seed, choice, seconds, self.until.clock)


def _fitted(
    arm: Arm,
    task: Task,
    seed: int,
    choice: Any,
    seconds: float,
    clock: Callable[[], float],
) -> Model:
    """An arm's model of all rows, or `OutOfTime`."""
    with due_in(seconds, clock):
        fit = partial(arm.fitted, task, np.random.default_rng(seed), choice)
        return alone(fit, seconds, "fitting it on all rows")


def _card(members: Sequence[Model], task: Task) -> Card:
    """The card of an average: its parents are its members'."""
    cards = [member.card for member in members]
    parents = dict.fromkeys(parent for card in cards for parent in card.parents)
    licences = {card.licence for card in cards}
    said = [{"method": card.method, "settings": dict(card.settings)} for card in cards]
    moved: list[Mapping[str, Any]] = []
    for card in cards:
        moved += [entry for entry in card.transferred if entry not in moved]
    return Card(
        name=f"{task.name} (ensemble)",
        task=task.describe(),
        parents=tuple(parents),
        transferred=tuple(moved),
        method="ensemble",
        settings={"members": said},
        licence=licences.pop() if len(licences) == 1 else "",
    )
