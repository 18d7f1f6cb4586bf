"""Options that can be told wrong before anything is read."""

from __future__ import annotations

from typing import Literal

from bequest.api.arms import check_methods
from bequest.api.verbs import generator
from bequest.cli._early import check_budget
from bequest.executors import EXECUTORS

__all__ = ["check_options"]


def check_options(
    *,
    methods: Literal["auto"] | list[str] = "auto",
    executor: str = "local",
    budget: float = 1.0,
    seed: int = 0,
) -> None:
    """Raise where one of these is none, with what is known; those left out are sound."""
    generator(seed)
    check_methods(methods)
    EXECUTORS[executor]
    check_budget(budget)
