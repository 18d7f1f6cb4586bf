"""The race in stages: rows once, jobs as small data, the same on every executor, run again."""

import os
import pickle
import signal
import time
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.api import arms, verbs
from bequest.core import (
    METRICS,
    Card,
    Done,
    Executor,
    InputSpec,
    MeanMetric,
    Model,
    RankedSource,
)
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.evaluation import Arm, judge, race
from bequest.executors.local import LocalExecutor
from bequest.executors.processes import ProcessExecutor
from bequest.methods.fine_tune import FineTune
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack
from bequest.selection import Ranking
from bequest.testing.unchanged import state_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(260, 4)).astype(np.float32)
Y = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")


def task(rows=20, test=200, name="few"):
    held = (X[rows : rows + test], Y[rows : rows + test]) if test else None
    return bq.Task.from_arrays(X[:rows], Y[:rows], test=held, name=name)


def by_sign(x):
    return np.where(np.asarray(x)[:, 0] > 0, "up", "down")


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
        self.values.append(cloudpickle.dumps(value))
        return str(len(self.values) - 1)

    def run(self, jobs, *, timeout, until):
        for place, job in enumerate(jobs):
            content = cloudpickle.dumps(job)
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
    assert net.rows <= 220 + 24  # and those by which the cost of what is handed over is measured


def test_sources_are_ranked_as_often_with_copied_jobs_as_with_local_ones(monkeypatch):
    calls = []

    def rank(models, task, **_):
        calls.append(len(task))
        return Ranking(tuple(RankedSource(model.name, 1.0, 0.0, 2.0) for model in models))

    def order(models, task, **_):
        calls.append(len(task))
        return list(range(len(models)))

    monkeypatch.setattr(arms, "quick_order", order)
    monkeypatch.setattr(verbs, "rank_models", rank)

    def rankings(executor):
        calls.clear()
        known = [bq.Task.from_arrays(X[100:160], Y[100:160], name=f"s{n}") for n in range(4)]
        sources = [bq.train(one, net="linear", seed=n) for n, one in enumerate(known)]
        methods = [Reuse(), Stack(inputs=False)]
        bq.transfer(task(60, 0), sources, methods=methods, budget=None, executor=executor)
        return sorted(calls)

    local = rankings(LocalExecutor())
    assert local == rankings(Copies())
    # of all rows twice, for people and for the last fits; of each fold's training rows once in the
    # race, of two repeats of ten folds, and once for each of two arms in the learning curve's ten
    assert [rows for rows in local if rows > 48] == [54] * (20 + 20) + [60] * 2


def test_a_job_is_small_whatever_the_task():
    many = RNG.normal(size=(20_000, 784)).astype(np.float32)
    wide = bq.Task.from_arrays(many, many[:, 0] > 0, name="wide")
    source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")

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


@pytest.mark.parametrize("budget", [360.0, 660.0], ids=["a part", "one repeat"])
def test_the_arms_that_ran_run_again_and_give_the_same(budget):
    ticks = iter(range(10**9))
    source = bq.wrap(Counting(), classes=["down", "up"], example=X[:2], name="net")
    first = bq.transfer(
        task(40), [source], methods=["probe", "stack"], budget=budget, clock=lambda: next(ticks)
    )
    assert "time did not suffice" in " ".join(first.outcome.notes)  # the clock decided something
    again = bq.transfer(task(40), [source], arms=first.outcome.arms, budget=None)
    assert replace(again.verdict, labels=first.verdict.labels) == first.verdict
    ran = [(a.source, a.method, a.settings, a.folds) for a in first.arms if a.used]
    assert [(a.source, a.method, a.settings, a.folds) for a in again.arms] == ran
    assert again.outcome.selected == first.outcome.selected
    np.testing.assert_array_equal(again.model.output(X), first.model.output(X))
    stored = bq.Outcome.from_json(first.outcome.to_json()).arms
    assert bq.transfer(task(40), [source], arms=stored, budget=None).verdict == again.verdict


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
        if not said and "comparing" in what:
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


class Normalised(nn.Module):
    """A wrapper that nobody has put into evaluation mode, around a network that was."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        parts = (nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2))
        self.net = nn.Sequential(*parts).eval()
        self.net[0].requires_grad_(False)
        self.interrupt = False

    def forward(self, x):
        if self.interrupt:
            raise KeyboardInterrupt
        return self.net((x - 0.1) / 2.0)


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_network_is_what_it_was_after_every_verb_and_after_ctrl_c(interrupt):
    module = Normalised()
    module.net[3].register_forward_hook(lambda *_: None)
    before = state_of(module)
    source = bq.wrap(module, classes=["down", "up"], example=X[:2], name="net")
    methods = [Probe(), Reuse(), FineTune(steps=2)]
    bq.rank([source], task(40, 0))
    assert state_of(module) == before
    module.interrupt = interrupt
    if interrupt:
        with pytest.raises(KeyboardInterrupt):
            source.output(X[:13])
        with pytest.raises(KeyboardInterrupt):
            bq.transfer(task(13, 0), [source], methods=methods, budget=None)
    else:
        bq.transfer(task(40), [source], methods=methods, budget=None)
    assert state_of(module) == before
    assert module.training
    assert not module.net.training


def test_a_task_in_time_trains_on_what_was_before():
    days = np.arange(60)
    later = bq.Task.from_arrays(X[:60], Y[:60], time=days, name="in time")
    seen = []

    def fit(task, rng):
        seen.append((task.time.min(), task.time.max()))
        return source

    source = bq.wrap(by_sign, classes=["down", "up"], name="sign")
    arms = [Arm(name, "spy", {}, fit) for name in ("a", "")]
    with LocalExecutor() as executor:
        found = race(arms[:1], arms[1:], later, budget=None, seed=0, executor=executor)
    assert found.transfer[0].score.shape == (1, 50)
    assert seen[::2] == [(0, 9), (0, 19), (0, 29), (0, 39), (0, 49)]
    assert found.groups.tolist() == np.repeat([1, 2, 3, 4, 5], 10).tolist()
    result = bq.transfer(later, [source], methods=[Reuse()], budget=None)
    assert len(result.outcome.folds["transfer"]) == 5
    assert "No learning curve: the rows have an order in time." in result.outcome.notes


def test_fewer_than_five_blocks_of_time_decide_nothing():
    days = np.arange(60)
    later = bq.Task.from_arrays(X[:60], X[:60, 0] > 0, time=days, name="in time")
    right, wrong = (
        Arm(source, "sign", {}, lambda task, rng, column=column: bq.wrap(
            lambda x: x[:, column] > 0, classes=[False, True]
        ))
        for source, column in (("right", 0), ("", 1))
    )  # fmt: skip
    for k, kind in ((4, "undecided"), (5, "helps")):
        with LocalExecutor() as executor:
            found = race([right], [wrong], later, budget=None, seed=0, executor=executor, k=k)
        assert judge(found, rng=np.random.default_rng(0))[0].kind == kind


def test_a_metric_that_weighs_users_equally_is_the_mean_over_users():
    users = np.repeat(np.arange(10), 4)
    given = bq.Task.from_arrays(
        X[:40], Y[:40], groups=users, metric="per_group_accuracy", name="users"
    )
    source = bq.wrap(by_sign, classes=["down", "up"], name="sign")
    result = bq.transfer(given, [source], methods=[Reuse(correct_prior=False)], budget=None)
    right = (by_sign(X[:40]) == Y[:40]).reshape(10, 4).mean()
    assert result.arms[0].score == pytest.approx(right)


def test_weights_of_rows_count_in_every_score():
    weights = np.where(Y[:40] == "up", 3.0, 1.0)
    given = bq.Task.from_arrays(X[:40], Y[:40], weights=weights, name="weighted")
    always = bq.wrap(lambda x: np.full(len(x), "up"), classes=["down", "up"], name="always up")
    result = bq.transfer(given, [always], methods=[Reuse(correct_prior=False)], budget=None)
    share = (weights * (Y[:40] == "up")).sum() / weights.sum()
    assert result.arms[0].score == pytest.approx(share, abs=0.02)


@pytest.mark.slow
def test_a_killed_worker_costs_its_arm_and_nothing_else():
    here = os.getpid()

    def dies(task, rng):
        assert os.getpid() != here
        os.kill(os.getpid(), signal.SIGKILL)

    def hangs(task, rng):
        assert os.getpid() != here
        time.sleep(600)

    def guess(task, rng):
        return bq.wrap(by_sign, classes=["down", "up"])

    fine, odd = Arm("a", "guess", {}, guess), Arm("a", "dies", {}, dies)
    plain = Arm("", "guess", {}, guess)
    with ProcessExecutor(workers=2) as executor:
        found = race([odd, fine], [plain], task(40), budget=None, seed=0, executor=executor)
    assert found.arms[0].reason == "its process died 2 times (SIGKILL(-9))."
    assert len(found.arms[1].folds) == 20
    odd = Arm("a", "hangs", {}, hangs)
    with ProcessExecutor(workers=2) as executor:
        found = race(
            [odd, fine],
            [plain],
            task(40),
            budget=12.0,
            seed=0,
            executor=executor,
            clock=lambda: 0.0,
        )
    assert found.arms[0].reason == "it was stopped after 3 s."
    assert len(found.arms[1].folds) == 20


def test_want_of_memory_is_an_arms_reason_to_leave():
    def greedy(task, rng):
        raise MemoryError

    def guess(task, rng):
        return bq.wrap(by_sign, classes=["down", "up"])

    fine, odd = Arm("a", "guess", {}, guess), Arm("a", "greedy", {}, greedy)
    plain = Arm("", "guess", {}, guess)
    with LocalExecutor() as executor:
        found = race([odd, fine], [plain], task(40), budget=None, seed=0, executor=executor)
    assert found.arms[0].reason == "it ran out of memory."
    assert found.transfer[0].members == (1,)


def test_networks_of_equal_weights_and_other_code_are_told_apart():
    class Shifted(nn.Module):
        def __init__(self, mean):
            super().__init__()
            torch.manual_seed(0)
            self.net, self.mean = nn.Linear(4, 2), mean  # a float, and no buffer

        def forward(self, x):
            return self.net(x - self.mean)

    alone, together = {}, {}
    models = [
        bq.wrap(Shifted(mean), classes=["down", "up"], example=X[:2], name=f"mean {mean}")
        for mean in (0.0, 5.0)
    ]
    for model in models:
        result = bq.transfer(task(40, 0), [model], methods=[Reuse()], budget=None)
        alone[model.name] = result.arms[0].folds
    result = bq.transfer(task(40, 0), models, methods=[Reuse()], budget=None)
    together = {arm.source: arm.folds for arm in result.arms if arm.source}
    assert all(alone[name][:5] == folds[:5] for name, folds in together.items())
    assert alone["mean 0.0"] != alone["mean 5.0"]


def test_held_out_rows_that_a_metric_cannot_judge_lose_nothing():
    one_class = (X[40:50][Y[40:50] == "up"], Y[40:50][Y[40:50] == "up"])
    given = bq.Task.from_arrays(X[:40], Y[:40], metric="roc_auc", test=one_class, name="few")
    source = bq.wrap(by_sign, classes=["down", "up"], name="sign")
    result = bq.transfer(given, [source], methods=[Reuse()], budget=None)
    assert result.outcome.test is None
    assert any("No comparison on the held-out rows" in note for note in result.outcome.notes)
    assert bq.train(given, net="linear").card.metrics == {}


def rare(count, metric, **options):
    labels = np.where(np.arange(40) < count, "up", "down")
    given = bq.Task.from_arrays(X[:40], labels, metric=metric, name="rare", **options)
    source = bq.wrap(by_sign, classes=["down", "up"], name="sign")
    return bq.transfer(given, [source], methods=[Reuse()], budget=None)


@pytest.mark.parametrize(
    "metric", ["roc_auc", "roc_auc_ovr", "average_precision", "f1", "matthews_corrcoef"]
)
def test_a_metric_that_needs_both_classes_has_as_many_folds_as_the_rarer_one_has_rows(metric):
    for count in (2, 3):
        outcome = rare(count, metric).outcome
        assert len(outcome.folds["transfer"]) == 3 * count
        assert outcome.verdict.probability is not None


@pytest.mark.parametrize("options", [{}, {"groups": np.arange(40) // 2}, {"time": np.arange(40)}])
def test_where_two_folds_are_too_many_for_a_metric_there_is_a_model_and_no_verdict(options):
    result = rare(1 if not options else 2, "roc_auc", **options)
    assert result.outcome.selected == "from-scratch"
    assert set(result.model.predict(X[:9])) <= {"up", "down"}
    [said] = [note for note in result.outcome.notes if "No verdict" in note]
    assert "roc_auc cannot judge 2 folds" in said
    assert "label more rows of that class" in said


def test_a_source_that_brings_the_targets_own_rows_leaves():
    data = task(40, 0, "same rows")
    source = bq.Source(bq.wrap(by_sign, classes=["down", "up"]), data, name="both")
    result = bq.transfer(task(40, 0), [source], methods=[Reuse()], budget=None)
    assert "both is left out: it was trained on rows of this task: 40 of 40." in (
        result.outcome.notes
    )
    assert result.outcome.selected == "from-scratch"


@pytest.mark.parametrize("arms", ["x", 3, (), ["arm"]])
def test_arms_that_are_none_are_one_line(arms):
    source = bq.wrap(by_sign, classes=["down", "up"], name="sign")
    for methods in ("auto", ["reuse"]):
        with pytest.raises(DataError, match=r"arms are those of an outcome|none of these arms ran"):
            bq.transfer(task(40, 0), [source], arms=arms, methods=methods)


def test_what_is_no_model_is_no_source():
    def fails():
        raise ZeroDivisionError("no disk")

    with pytest.raises(DataError, match=r"not a Linear: bequest\.wrap makes one"):
        bq.Source(nn.Linear(4, 2))
    with pytest.raises(ModelError, match="the source 'odd' cannot be opened: ZeroDivisionError"):
        bq.Source(fails, name="odd").model  # noqa: B018
    with pytest.raises(ModelError, match="opens as a Linear, not a Model"):
        bq.Source(lambda: nn.Linear(4, 2), name="odd").model  # noqa: B018


def test_a_model_of_ones_own_sees_each_row_once():
    rows = []

    class Threshold(Model):
        spec, classes, card = InputSpec("vector", (4,)), ("down", "up"), Card(name="threshold")

        @property
        def structure(self):
            return {}

        def output(self, X):
            rows.append(len(X))
            up = np.asarray(X)[:, 0] > 0
            return np.stack([~up, up], axis=1).astype(float)

        def save(self, folder):
            raise NotApplicable("it is not saved.")

    methods = [Reuse(), Stack(inputs=False)]
    bq.transfer(task(40, 100), [Threshold(), Threshold()], methods=methods, budget=None)
    assert sum(rows) == 2 * 40 + 100  # the held-out rows by the one that is handed over


def test_a_metric_that_fails_is_one_line_before_anything_runs(monkeypatch):
    def fails(y, prediction, reference, weights):
        raise ZeroDivisionError("no rows above the limit")

    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    METRICS.add("odd", MeanMetric("odd", "classification", "points", fails))
    given = bq.Task.from_arrays(X[:40], Y[:40], metric="odd", name="odd")
    source = bq.wrap(by_sign, classes=["down", "up"], name="sign")
    with pytest.raises(DataError, match="the metric odd fails: ZeroDivisionError"):
        bq.transfer(given, [source], methods=[Reuse()], budget=None)
