"""The last fits: the arms of an average on all rows, and the model that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np

from bequest.core import ArmResult, Card, Model, Task, due_in
from bequest.errors import BequestError, NotApplicable
from bequest.evaluation import Arm, Candidate
from bequest.frameworks.ensemble import Ensemble

__all__ = ["Fits", "averaged"]


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
    def in_time(
        cls, arms: Sequence[Arm], task: Task, seed: int, seconds: float, clock: Callable[[], float]
    ) -> Self:
        """The average of as many arms as can be fitted in some seconds, one at least.

        Those that train a network come last, and are given up where they do not fit.

        Raises
        ------
        NotApplicable
            No arm fits the task; with the arms' own reasons.
        """
        until = clock() + seconds
        members: list[Model] = []
        reasons: list[str] = []
        for arm in sorted(arms, key=lambda arm: arm.trains_network):
            left = until - clock()
            if members and left <= 0:
                break
            try:
                with due_in(left if members else math.inf, clock):
                    members.append(arm.fitted(task, np.random.default_rng(seed)))
            except BequestError as reason:
                reasons.append(f"{arm.method}: {reason}")
        if not members:
            raise NotApplicable(f"nothing can be trained from scratch. {' '.join(reasons)}")
        return cls.of(members, task)


def averaged(
    arms: Sequence[Arm], chosen: Candidate, results: Sequence[ArmResult], task: Task, seed: int
) -> Fits:
    """The arms of a candidate fitted on all rows, and averaged.

    Raises
    ------
    NotApplicable
        None of them can be fitted on all rows.
    """
    members: dict[int, Model] = {}
    choices: dict[int, Any] = {}  # arms that choose alike choose once
    notes = []
    for place in chosen.members:
        arm = arms[place]
        try:
            if arm.choose is not None and id(arm.choose) not in choices:
                choices[id(arm.choose)] = arm.choose(task)
            choice = choices.get(id(arm.choose))
            members[place] = arm.fitted(task, np.random.default_rng(seed), choice)
        except BequestError as reason:
            notes.append(f"{arm.method} is not in the average: {reason}")
    if not members:
        raise NotApplicable(" ".join(notes))
    scores = [results[place].score for place in members]
    return Fits.of(
        list(members.values()),
        task,
        best=int(np.argmax(scores)),
        temperature=chosen.temperature,
        notes=tuple(notes),
    )


def _card(members: Sequence[Model], task: Task) -> Card:
    """The card of an average: its parents are its members'."""
    cards = [member.card for member in members]
    parents = dict.fromkeys(parent for card in cards for parent in card.parents)
    licences = {card.licence for card in cards}
    said = [{"method": card.method, "settings": dict(card.settings)} for card in cards]
    moved: list[Mapping[str, Any]] = []
    for card in cards:
        moved += [entry for entry in card.moved if entry not in moved]
    return Card(
        name=f"{task.name} (ensemble)",
        task=task.describe(),
        parents=tuple(parents),
        moved=tuple(moved),
        method="ensemble",
        settings={"members": said},
        licence=licences.pop() if len(licences) == 1 else "",
    )
