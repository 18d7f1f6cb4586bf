"""What every transfer method must keep to.

N samples, C classes.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from bequest.core import (
    Baseline,
    Model,
    Predicts,
    Source,
    Task,
    TransferMethod,
    features_of,
    output_of,
)
from bequest.errors import NotApplicable
from bequest.frameworks.files.folder import load
from bequest.testing.unchanged import state_of

__all__ = ["METHOD_CHECKS", "MethodCase"]


@final
@dataclass(frozen=True)
class MethodCase:
    """A method with a source and a task that it applies to.

    Parameters
    ----------
    method : TransferMethod or Baseline
    sources : tuple of Source
        Empty for a baseline.
    task : Task
    stranger : Task
        A task of other inputs, which the source cannot read.
    """

    method: TransferMethod | Baseline
    sources: tuple[Source, ...]
    task: Task
    stranger: Task

    def fit(self, seed: int = 0, task: Task | None = None) -> Model:
        """The method's model of the task, or of another one."""
        target, rng = task or self.task, np.random.default_rng(seed)
        if isinstance(self.method, Baseline):
            return self.method.fit(target, rng=rng)
        return self.method.fit(self.sources, target, rng=rng)

    def applies(self, task: Task) -> NotApplicable | None:
        """What the method says of a task."""
        if isinstance(self.method, Baseline):
            return self.method.applies(task)
        return self.method.applies(self.sources, task)

    @property
    def models(self) -> list[Model]:
        """The sources' models."""
        return [source.model for source in self.sources if source.model is not None]


def check_it_applies(case: MethodCase) -> None:
    """`applies` says None for its own case."""
    assert case.applies(case.task) is None


def check_it_refuses_with_a_reason(case: MethodCase) -> None:
    """Inputs that a source cannot read: a `NotApplicable` value, and the same when fitted."""
    if not case.models:
        return
    refused = case.applies(case.stranger)
    assert isinstance(refused, NotApplicable)
    assert refused.reason.strip()
    try:
        case.fit(task=case.stranger)
    except NotApplicable:
        return
    raise AssertionError(f"{case.method.name} fitted what it said it does not apply to")


def check_the_model_fits_the_task(case: MethodCase) -> None:
    """The task's classes, and finite output of the right shape, probabilities summing to one."""
    model = case.fit()
    output = output_of(model, case.task.inputs)
    assert model.classes == case.task.classes
    assert np.isfinite(output).all()
    if not case.task.classes:
        assert output.shape == (len(case.task),)
        return
    assert output.shape == (len(case.task), len(case.task.classes))
    np.testing.assert_allclose(output.sum(axis=1), 1.0, atol=1e-6)
    assert set(model.predict(case.task.inputs).tolist()) <= set(case.task.classes)


def check_the_source_is_left_alone(case: MethodCase) -> None:
    """Every source gives the same output before and after, and its network is as it was."""

    def states() -> list[Any]:
        parts = [part for model in case.models for part in model.parts()]
        return [state_of(part) for part in parts if isinstance(part, torch.nn.Module)]

    def answers() -> list[Any]:
        shown = ((output_of if isinstance(m, Predicts) else features_of, m) for m in case.models)
        return [ask(model, case.task.inputs).tolist() for ask, model in shown]

    before, given = states(), answers()
    assert states() == before
    case.fit()
    assert states() == before
    assert answers() == given


def check_same_seed_same_numbers(case: MethodCase) -> None:
    """Two fits with one seed agree to the last bit."""
    first, second = (output_of(case.fit(7), case.task.inputs) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def check_global_randomness_is_left_alone(case: MethodCase) -> None:
    """The global states of numpy, torch and random are the same after a fit."""

    def state() -> str:
        numbers: Any = np.random.get_state(legacy=True)  # noqa: NPY002
        return repr(
            (numbers[1].tolist(), numbers[2:], random.getstate(), torch.get_rng_state().tolist())
        )

    before = state()
    case.fit()
    assert state() == before


def check_the_card_says_how(case: MethodCase) -> None:
    """Method, settings, task and parent stand in the card, as plain values."""
    card = case.fit().card
    assert card.method == case.method.name
    assert card.task.fingerprint == case.task.fingerprint
    assert card.parents == tuple(source.name for source in case.sources)
    assert json.loads(json.dumps(card.to_dict()))["settings"] == json.loads(
        json.dumps(case.method.settings())
    )


def check_it_survives_the_disk(case: MethodCase) -> None:
    """Saved and loaded it predicts the same."""
    model = case.fit()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        model.save(folder)
        again = load(folder)
        np.testing.assert_allclose(
            output_of(again, case.task.inputs), output_of(model, case.task.inputs), atol=1e-6
        )
        assert again.classes == model.classes
        assert again.card == model.card


def check_its_arms_apply(case: MethodCase) -> None:
    """All arms differ, and where there are any, one at least applies."""
    method: Any = case.method
    given = (case.task,) if isinstance(method, Baseline) else (case.sources, case.task)
    arms = type(method).arms(*given)
    assert len({str(arm.settings()) for arm in arms}) == len(arms)
    assert not arms or any(arm.applies(*given) is None for arm in arms)


def check_it_names_its_citation(case: MethodCase) -> None:
    """A name, and a citation in BibTeX."""
    assert case.method.name
    assert case.method.citation.startswith("@")


METHOD_CHECKS: tuple[Callable[[MethodCase], None], ...] = (
    check_it_applies,
    check_it_refuses_with_a_reason,
    check_the_model_fits_the_task,
    check_the_source_is_left_alone,
    check_same_seed_same_numbers,
    check_global_randomness_is_left_alone,
    check_the_card_says_how,
    check_it_survives_the_disk,
    check_its_arms_apply,
    check_it_names_its_citation,
)
