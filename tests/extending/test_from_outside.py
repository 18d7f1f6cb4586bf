"""A score, a method that needs the source's data, and an executor: each registered from outside."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import ClassVar, final

import numpy as np
import pytest

import bequest as bq
from bequest.core import Done, Executor, Takes, TransferMethod
from bequest.errors import BadPlugin, DuplicateName
from bequest.executors import EXECUTORS
from bequest.methods import METHODS
from bequest.methods.provenance import with_provenance
from bequest.selection import SCORES, Score
from bequest.testing import METHOD_CHECKS, MethodCase
from bequest.training.estimators import linear_estimator, vector_model

X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
Y = np.where(X[:, 0] > 0, "up", "down")
MANY = bq.Task.from_arrays(X[:200], Y[:200], name="many")
FEW = bq.Task.from_arrays(X[200:240], Y[200:240], name="few")


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """What a test adds to a registry is gone after it."""
    for registry in (SCORES, METHODS, EXECUTORS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@final
@dataclass(frozen=True)
class Joined(TransferMethod):
    """A linear model of the source's rows and the target's."""

    name: ClassVar[str] = "joined"
    citation: ClassVar[str] = "@misc{joined}"
    takes: ClassVar[Takes] = Takes(model=False, data=True)
    strength: float = 1.0

    def fit(self, sources, task, *, rng):
        self.check(sources, task)
        [source] = sources
        rows = np.concatenate([task.inputs, source.data.inputs])
        labels = np.concatenate([task.labels, source.data.labels])
        estimator = linear_estimator(task, self.strength).fit(rows, labels)
        return with_provenance(vector_model(estimator, task.inputs, task), self, sources, task)

    @classmethod
    def arms(cls, sources, task):
        return (cls(), cls(strength=0.1))


def test_a_method_that_trains_on_the_sources_data_races():
    METHODS.add(Joined.name, Joined)
    known = bq.train(MANY, net="linear", name="model of many")
    result = bq.transfer(FEW, [MANY, known], methods=["joined", "reuse"], budget=None)
    joined = [arm for arm in result.arms if arm.method == "joined"]
    assert [arm.source for arm in joined] == ["many", "many"]
    assert all(len(arm.folds) >= 5 for arm in joined)
    notes = " ".join(result.outcome.notes)
    assert "joined from model of many: it needs the source's data" in notes
    assert "reuse from many: it needs a model, and many brings data only." in notes
    assert result.ranking[-1].reason == "it brings data only, and no model to score."


def test_a_source_may_bring_both():
    METHODS.add(Joined.name, Joined)
    both = bq.Source(bq.train(MANY, net="linear"), MANY, name="both")
    result = bq.transfer(FEW, [both], methods=["joined", "reuse"], budget=None)
    assert {arm.method for arm in result.arms if arm.source == "both"} == {"joined", "reuse"}


def test_the_shipped_checks_hold_for_a_method_from_outside():
    stranger = bq.Task.from_arrays(np.eye(4), ["a", "b", "a", "b"])
    case = MethodCase(Joined(), (bq.Source(data=MANY),), FEW, stranger)
    for check in METHOD_CHECKS:
        if check.__name__ != "check_it_refuses_with_a_reason":  # it reads no model's inputs
            check(case)


def test_a_method_of_several_sources_gets_them_all():
    seen = []

    @final
    @dataclass(frozen=True)
    class Counted(TransferMethod):
        name: ClassVar[str] = "counted"
        citation: ClassVar[str] = "@misc{counted}"
        takes: ClassVar[Takes] = Takes(sources=None)

        def fit(self, sources, task, *, rng):
            seen.append([source.name for source in sources])
            return with_provenance(sources[0].model, self, sources, task)

        @classmethod
        def arms(cls, sources, task):
            return (cls(),)

    models = [bq.train(MANY, net="linear", name=name) for name in ("one", "two", "three")]
    result = bq.transfer(FEW, models, methods=[Counted()], budget=None)
    assert seen
    assert all(names == ["one", "two", "three"] for names in seen)
    assert result.arms[0].source == "one + two + three"


def test_a_score_joins_the_ranking():
    spread = Score("spread", "features", ("classification",), lambda f, y: f.std(), "@misc{spread}")
    SCORES.add("spread", spread)
    entry = bq.rank([bq.train(MANY, net="mlp")], FEW)[0]
    assert "spread" in entry.scores
    with pytest.raises(DuplicateName, match="'spread' is registered already"):
        SCORES.add("spread", spread)


@final
class Threads(Executor):
    """Two threads."""

    def __init__(self):
        self.values = {}

    def share(self, value):
        self.values[str(len(self.values))] = value
        return str(len(self.values) - 1)

    def run(self, jobs, *, timeout, until):
        with ThreadPoolExecutor(2) as pool:
            yield from map(Done, count(), pool.map(lambda job: job(self.values.get), jobs))

    def close(self):
        self.values.clear()


def test_an_executor_runs_the_race():
    EXECUTORS.add("threads", Threads)
    source = bq.train(MANY, net="linear")
    ways = ("threads", "local")
    results = [
        bq.transfer(FEW, [source], methods=["reuse"], budget=None, executor=way) for way in ways
    ]
    assert results[0].verdict == results[1].verdict
    assert [a.folds for a in results[0].arms] == [a.folds for a in results[1].arms]


def test_a_plug_in_that_lacks_a_method_is_one_line():
    class Half(TransferMethod):
        name: ClassVar[str] = "half"

        @classmethod
        def arms(cls, sources, task):
            return (cls(),)

    class NoRun(Executor):
        def share(self, value):
            return ""

    with pytest.raises(BadPlugin, match="the method 'half' lacks fit"):
        METHODS.add("half", Half)
    with pytest.raises(BadPlugin, match="the executor 'no-run' lacks close, run"):
        EXECUTORS.add("no-run", NoRun)
