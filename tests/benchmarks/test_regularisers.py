"""The rule of the trial that decides which regularisers stay."""

import numpy as np
import pytest
from benchmarks.regularisers import FAMILIES, STRENGTHS, interval, judged


def runs(**gains):
    """Three seeds of every task; a method's gain over plain is a mean and a spread by family."""
    rng = np.random.default_rng(0)
    found = []
    for family, tasks in FAMILIES.items():
        for task in tasks:
            for seed in range(3):
                base = rng.uniform(0.5, 0.9)
                score = {m: base + 1e-4 * rng.normal() for m in STRENGTHS}
                score["plain"] = base
                for (method, where), gain in gains.get("of", {}).items():
                    if where == family:
                        score[method] += gain
                metric = "r2" if family == "wine" else "accuracy"
                found.append({"task": task, "seed": seed, "metric": metric, "score": score})
    return found


def test_a_method_that_is_no_better_anywhere_is_left_out():
    assert judged(runs(of={("bss", "heart"): -0.05}))["earned"] == []


def test_one_family_above_the_bar_is_enough():
    said = judged(runs(of={("bss", "heart"): 0.02, ("bss", "images"): -0.05}))
    assert said["families_won"]["bss"] == ["heart"]
    assert said["earned"] == ["bss"]


def test_what_l2_sp_does_as_well_is_no_reason():
    said = judged(runs(of={("bss", "heart"): 0.02, ("l2-sp", "heart"): 0.03}))
    assert said["families"]["heart"]["bar"] == "l2-sp"
    assert said["earned"] == []


@pytest.mark.parametrize(
    ("gain", "form"),
    [(0.01, "delta"), (-0.01, "delta, no attention")],
    ids=["adds", "adds nothing"],
)
def test_delta_keeps_its_attention_only_where_that_adds_something(gain, form):
    both = {("delta, no attention", f): 0.05 for f in FAMILIES} | {
        ("delta", f): 0.05 + gain for f in FAMILIES
    }
    assert judged(runs(of=both))["earned"] == [form]


def test_the_interval_is_students_on_the_runs():
    said = interval([1.0, 2.0, 3.0], 0.95)
    assert said["mean"] == pytest.approx(2.0)
    assert said["high"] - 2.0 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)
    assert interval([1.0], 0.95)["low"] == -np.inf
