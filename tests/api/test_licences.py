"""Sources whose licences allow no common model are never combined."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest

import bequest as bq
from bequest.core import Card, Takes, TransferMethod
from bequest.frameworks.combined.function_model import FunctionModel
from bequest.methods.reuse import Reuse

X = np.random.default_rng(0).normal(size=(40, 2))
TASK = bq.Task.from_arrays(X, X[:, 0] > 0, name="signs")


@final
@dataclass(frozen=True)
class Mean(TransferMethod):
    """The mean of what all sources say."""

    name: ClassVar[str] = "mean"
    citation: ClassVar[str] = ""
    takes: ClassVar[Takes] = Takes(sources=None)

    def fit(self, sources, task, *, rng):
        models = [source.model for source in sources]
        return FunctionModel(
            lambda rows: np.mean([model.output(rows) for model in models], axis=0),
            spec=task.spec,
            classes=task.classes,
            card=Card(method="mean", parents=tuple(source.name for source in sources)),
        )

    @classmethod
    def arms(cls, sources, task):
        return (cls(),)


def source(name, licence):
    card = Card(name=name, licence=licence)
    return bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name=name).with_card(card)


@pytest.mark.parametrize(
    ("licences", "kept", "said"),
    [
        (["Apache-2.0", "GPL-2.0-only", "MIT"], "0 + 2", "Left out 1 of 3 models"),
        (["GPL-2.0-only", "CC-BY-SA-4.0"], "0", "Left out 1 of 2 models, under CC-BY-SA-4.0"),
        (["MIT", "", "Apache-2.0"], "0 + 1 + 2", ""),
    ],
)
def test_a_method_of_several_sources_gets_those_that_may_be_combined(licences, kept, said):
    sources = [source(str(place), licence) for place, licence in enumerate(licences)]
    result = bq.transfer(TASK, sources, methods=[Mean()], budget=None)
    assert {arm.source for arm in result.arms if arm.source} == {kept}
    notes = [note for note in result.outcome.notes if note.startswith("mean: ")]
    assert said in " ".join(notes)
    assert bool(notes) is bool(said)


def test_an_average_of_transfer_is_of_one_source_and_of_its_licence():
    sources = [source("a", "GPL-2.0-only"), source("b", "CC-BY-SA-4.0")]
    methods = [Reuse(), Reuse(correct_prior=False)]
    result = bq.transfer(TASK, sources, methods=methods, budget=None)
    [parent] = result.model.card.parents
    assert result.model.card.method == "ensemble"
    assert result.model.card.licence == {s.name: s.card.licence for s in sources}[parent]
