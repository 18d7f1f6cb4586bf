"""A source that never answers: the budget holds, it leaves with that reason, a model comes.

Each hangs for longer than a slow machine could take for all the rest.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest
from torch import nn

import bequest as bq
from bequest.core import Source, TransferMethod
from bequest.methods.reuse import Reuse

FOREVER = 60.0
X = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
SIGN = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
TASK = bq.Task.from_arrays(X, SIGN, name="signs")


def knows(x):
    return np.where(x[:, 0] * x[:, 1] > 0, "same", "other")


def hangs(x):
    time.sleep(FOREVER)
    return knows(x)


class Hanging(nn.Module):
    """A network whose passes hang from a certain one on."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 4), nn.Linear(4, 2)
        self.passes, self.last = 0, 10**9

    def forward(self, x):
        self.passes += 1
        if self.passes > self.last:
            time.sleep(FOREVER)
        return self.head(self.body(x).relu())


def hanging_network(after):
    net = Hanging()
    model = bq.wrap(net, classes=["other", "same"], example=X[:2], name="slow")
    net.passes, net.last = 0, after
    return net, model


def function(rule, name):
    return bq.wrap(rule, classes=["other", "same"], name=name)


def in_time(sources, budget=4.0, **options):
    start = time.monotonic()
    result = bq.transfer(TASK, sources, budget=budget, **options)
    assert time.monotonic() - start < FOREVER / 2
    assert set(result.model.predict(X[:5])) <= {"same", "other"}
    return result


@pytest.mark.parametrize("executor", ["local", "processes"])
def test_a_source_that_never_answers_leaves_and_keeps_its_hooks_and_mode(executor):
    net, model = hanging_network(after=0)
    net.train()
    result = in_time([model, function(knows, "knows")], executor=executor)
    [said] = [note for note in result.outcome.notes if "did not answer" in note]
    assert said.startswith("slow is left out: it did not answer for the 40 rows within ")
    assert net.training
    assert not any(part._forward_pre_hooks for part in net.modules())
    assert "slow" not in {arm.source for arm in result.arms}


def test_a_network_that_hangs_at_a_later_batch_leaves_too():
    net, model = hanging_network(after=1)
    result = in_time([model], methods=["probe"])
    assert result.outcome.selected == "from-scratch"
    assert not net.head._forward_pre_hooks


def test_a_source_that_waits_behind_one_that_hangs_is_asked_all_the_same():
    result = in_time(
        [function(hangs, "slow"), function(knows, "knows")], budget=10.0, methods=["reuse"]
    )
    assert result.outcome.source == "knows"


def test_an_opener_that_hangs_keeps_no_other_source_closed():
    sources = [Source(lambda: hangs(X), name="slow"), Source(lambda: function(knows, "knows"))]
    result = in_time(sources, methods=["reuse"])
    assert "opening it did not end within" in " ".join(result.outcome.notes)
    reasons = [entry.reason for entry in result.ranking.entries if entry.source != "slow"]
    assert len(reasons) == 1
    assert "open" not in reasons[0]


def test_a_ranking_that_hangs_is_left_out(monkeypatch):
    transfer = sys.modules["bequest.api.transfer"]  # its verb has the same name
    real = transfer.ranked

    def slow(sources, *rest):
        if sources:
            time.sleep(FOREVER)
        return real(sources, *rest)

    monkeypatch.setattr(transfer, "ranked", slow)
    result = in_time([function(knows, "knows")], methods=["reuse"])
    assert "No ranking: ranking the sources did not end within" in " ".join(result.outcome.notes)
    assert "did not end" in result.ranking.entries[0].reason


@final
@dataclass(frozen=True)
class HangsAtLast(TransferMethod):
    """Reuse, which hangs where it is fitted on this many rows and more."""

    name: ClassVar[str] = "hangs"
    citation: ClassVar[str] = ""
    rows: int = len(X)

    def fit(self, sources, task, *, rng):
        if len(task) >= self.rows:
            time.sleep(FOREVER)
        return Reuse().fit(sources, task, rng=rng)

    @classmethod
    def arms(cls, sources, task):
        return (cls(),)


def test_a_last_fit_that_hangs_leaves_the_average():
    methods = [HangsAtLast(), Reuse(), Reuse(correct_prior=False)]
    result = in_time([function(knows, "knows")], methods=methods, budget=5.0)
    if result.verdict.probability is not None:  # a slow machine may have had no time to compare
        assert "hangs is not in the average: fitting it on all rows did not end within" in " ".join(
            result.outcome.notes
        )


def test_a_side_whose_last_fits_all_hang_leaves_the_other_side_and_no_verdict():
    result = in_time([function(knows, "knows")], methods=[HangsAtLast()], budget=5.0)
    assert result.outcome.selected == "from-scratch"
    assert result.verdict.kind == "undecided"
    assert "No verdict" in " ".join(result.outcome.notes)


@pytest.mark.parametrize("executor", ["local", "processes"])
def test_a_method_that_hangs_on_every_fold_leaves_the_race(executor):
    result = in_time([function(knows, "knows")], methods=[HangsAtLast(rows=0)], executor=executor)
    assert result.outcome.selected == "from-scratch"
    assert "No verdict" in " ".join(result.outcome.notes)


def test_held_out_rows_on_which_a_source_hangs_are_not_compared():
    def hangs_elsewhere(x):
        return hangs(x) if len(x) == 30 else knows(x)

    rows = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    test = bq.Task.from_arrays(rows, knows(rows))
    source = function(hangs_elsewhere, "slow")
    result = in_time([source], methods=["reuse"], test=test, budget=5.0)
    assert result.outcome.test is None


def test_ctrl_c_is_not_kept_from_the_person_by_a_source_that_hangs():
    net, model = hanging_network(after=0)
    net.train()
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:  # a shell starts what runs in the background with this signal ignored
        with pytest.raises(KeyboardInterrupt):
            bq.transfer(TASK, [model], budget=50.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < FOREVER / 2
    assert net.training
    assert not any(part._forward_pre_hooks for part in net.modules())


def test_on_another_clock_nothing_is_abandoned():
    def slow(x):
        time.sleep(1.2)  # longer than the second that every call gets
        return knows(x)

    result = bq.transfer(
        TASK, [function(slow, "slow")], methods=["reuse"], budget=0.5, clock=lambda: 0.0
    )
    assert not [note for note in result.outcome.notes if "did not answer" in note]
    assert "slow" in {arm.source for arm in result.arms}
