"""The race in stages: rows once, jobs as small data, the same on every executor, run again."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.core import Done, Executor
from bequest.errors import DataError, ModelError
from bequest.executors.local import LocalExecutor
from bequest.methods.fine_tune import FineTune
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse

RNG = np.random.default_rng(0)
X = RNG.normal(size=(260, 4)).astype(np.float32)
Y = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")


def task(rows=20, test=200, name="few"):
    held = (X[rows : rows + test], Y[rows : rows + test]) if test else None
    return bq.Task.from_arrays(X[:rows], Y[:rows], test=held, name=name)


class Counting(nn.Module):
    """A network that counts the rows that pass through it."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(8, 2)
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return self.head(self.body(x))


class Copies(Executor):
    """Runs every job on copies of all that was shared, as other processes do."""

    def __init__(self):
        self.values, self.sizes = [], []

    def share(self, value):
        self.values.append(pickle.dumps(value))
        return str(len(self.values) - 1)

    def run(self, jobs, *, timeout=None):
        for place, job in enumerate(jobs):
            content = pickle.dumps(job)
            self.sizes.append(len(content))
            copy = pickle.loads(content)
            yield Done(place, copy(lambda key: pickle.loads(self.values[int(key)])))

    def close(self):
        pass


def test_a_frozen_source_sees_each_row_once():
    net = Counting()
    source = bq.wrap(net, classes=["down", "up"], example=X[:2], name="net")
    net.rows = 0
    result = bq.transfer(task(), [source], methods=["probe", "stack", "reuse"], budget=None)
    assert {arm.method for arm in result.arms} >= {"probe", "stack", "reuse"}
    assert result.outcome.test is not None
    assert net.rows <= 220


def test_sources_are_ranked_as_often_with_copied_jobs_as_with_local_ones(monkeypatch):
    from bequest.api import arms

    def rankings(executor):
        calls = []
        rank = arms.rank
        with monkeypatch.context() as patch:
            patch.setattr(arms, "rank", lambda *a, **k: calls.append(1) or rank(*a, **k))
            sources = [bq.train(task(60, 0, f"s{n}"), net="linear", seed=n) for n in range(4)]
            bq.transfer(
                task(60, 0), sources, methods=["reuse", "stack"], budget=None, executor=executor
            )
        return len(calls)

    assert rankings(LocalExecutor()) == rankings(Copies()) == 16


def test_a_job_is_small_whatever_the_task():
    many = RNG.normal(size=(20_000, 784)).astype(np.float32)
    wide = bq.Task.from_arrays(many, many[:, 0] > 0, name="wide")
    source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    from bequest.evaluation import Arm, race

    def guess(task, rng):
        return source

    executor = Copies()
    race([Arm("knows", "reuse", {}, guess)], [Arm("", "guess", {}, guess)], wide,
         budget=None, seed=0, executor=executor, repeats=1)  # fmt: skip
    assert max(executor.sizes) <= 20_000


def test_every_executor_gives_the_same_bits():
    source = bq.wrap(Counting(), classes=["down", "up"], example=X[:2], name="net")

    def scores(executor):
        methods = [Probe(), Reuse(), FineTune(steps=3)]
        result = bq.transfer(task(40), [source], methods=methods, budget=None, executor=executor)
        outcome = result.outcome
        arms = [(arm.source, arm.method, arm.folds) for arm in outcome.arms]
        return repr((outcome.verdict, arms, outcome.labels_saved, outcome.test))

    assert scores("local") == scores("processes") == scores(Copies())


def test_the_arms_that_ran_run_again_and_give_the_same():
    ticks = iter(range(10**9))
    source = bq.wrap(Counting(), classes=["down", "up"], example=X[:2], name="net")
    first = bq.transfer(
        task(40), [source], methods=["probe", "stack"], budget=1500.0, clock=lambda: next(ticks)
    )
    reasons = [arm.reason for arm in first.arms]
    assert any("time" in reason for reason in reasons)  # the clock decided something
    again = bq.transfer(task(40), [source], arms=first.outcome.arms, budget=None)
    assert again.verdict == first.verdict
    ran = [(a.source, a.method, a.settings, a.folds) for a in first.arms if a.folds]
    assert [(a.source, a.method, a.settings, a.folds) for a in again.arms] == ran
    assert again.outcome.handed_over == first.outcome.handed_over
    np.testing.assert_array_equal(again.model.output(X), first.model.output(X))
    stored = bq.Outcome.from_json(first.outcome.to_json()).arms
    assert bq.transfer(task(40), [source], arms=stored, budget=None).verdict == first.verdict


def test_arms_of_a_source_that_is_not_there_cannot_run_again():
    source = bq.wrap(Counting(), classes=["down", "up"], example=X[:2], name="net")
    first = bq.transfer(task(40), [source], methods=["reuse"], budget=None)
    other = bq.wrap(Counting(1), classes=["down", "up"], example=X[:2], name="other")
    with pytest.raises(DataError, match=r"the arm reuse .* from net cannot be run again"):
        bq.transfer(task(40), [other], arms=first.outcome.arms)
    with pytest.raises(DataError):
        bq.transfer(task(40), [source], arms=[])


def test_models_tasks_folders_and_hubs_in_one_list(tmp_path):
    model = bq.train(task(60, 0), net="linear", name="a model")
    bq.train(task(60, 0), net="linear", name="in a folder").save(tmp_path / "folder")
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(model, "in/hub", licence="MIT")
    from bequest.api.sources import as_sources

    given = [model, task(30, 0, "a task"), bq.Source(model, name="again"), tmp_path / "folder", hub]
    sources = as_sources(given)
    names = [source.name for source in sources]
    assert names == ["a model", "a task", "again", "in a folder", "in/hub@1"]
    assert not any("model" in vars(source) for source in sources)  # nothing is opened
    result = bq.transfer(task(40), given, methods=["reuse"], budget=None)
    assert len(result.ranking) == 5


def test_a_folder_that_is_not_there_or_damaged_is_one_line(tmp_path):
    with pytest.raises(ModelError, match="there is no model folder"):
        bq.transfer(task(), [tmp_path / "none"])
    bq.train(task(60, 0), net="linear").save(tmp_path / "folder")
    (tmp_path / "folder" / "model.skops").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="was altered since"):
        bq.transfer(task(), [str(tmp_path / "folder")])


def test_a_source_that_changes_while_it_is_used_is_reported():
    net = Counting()
    source = bq.wrap(net, classes=["down", "up"], example=X[:2], name="net")
    said = []

    def progress(what, share):
        if not said and "racing" in what:
            said.append(what)
            with torch.no_grad():
                net.head.weight.add_(1.0)

    result = bq.transfer(task(), [source], methods=["reuse"], budget=None, progress=progress)
    assert "net changed while it was used: its features are those of before." in (
        result.outcome.notes
    )


def test_a_source_that_gives_nan_leaves_the_race_with_that_reason():
    def nan(x):
        return np.full((len(x), 2), np.nan)

    source = bq.wrap(nan, classes=["down", "up"], name="nan")
    good = bq.wrap(Counting(), classes=["down", "up"], example=X[:2], name="net")
    result = bq.transfer(task(40), [source, good], methods=["reuse"], budget=None)
    reasons = {arm.source: arm.reason for arm in result.arms}
    assert "not finite" in reasons["nan"]
    assert result.outcome.source == "net"
