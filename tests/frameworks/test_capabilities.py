"""What a model can do is asked of a protocol; a model is a frozen value."""

import copy
import dataclasses
import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import bequest as bq
from bequest.core import (
    Card,
    GivesFeatures,
    HasParameters,
    InputSpec,
    Model,
    Predicts,
    Trains,
    features_of,
    output_of,
    parameters_of,
)
from bequest.errors import NotApplicable
from bequest.frameworks.combined.entities import EntityFeatures
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.frameworks.combined.stacked import Stacked
from bequest.frameworks.torch.adapter import AdaptedWeight, Adapter
from bequest.frameworks.torch.model import ForeignNetwork, TorchFeatures, TorchModel

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = ["a", "b", "c"] * 4
CAPABILITIES = (Predicts, GivesFeatures, HasParameters, Trains)


class Foreign(ForeignNetwork):
    """A network whose head has no outputs yet."""

    structure: ClassVar = {"foreign": "tiny"}

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 1)
        self.head.weight, self.head.bias = nn.Parameter(torch.empty(0, 5)), None

    def forward(self, x):
        return self.head(self.body(x))

    def write(self, model, folder):
        raise AssertionError("not asked for")


def network():
    torch.manual_seed(0)
    return bq.wrap(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), classes=list("abc"))


def estimator():
    return bq.wrap(LogisticRegression().fit(X, Y))


def adapter():
    tensors = {
        "0.weight.lora_A": torch.ones(1, 4), "0.weight.lora_B": torch.ones(6, 1),
        "2.weight": torch.ones(2, 6), "2.bias": torch.ones(2),
    }  # fmt: skip
    return Adapter(
        network(), tensors=tensors, weights=[AdaptedWeight("0.weight", (6, 4))], rank=1, alpha=1.0,
        classes=("a", "b"), card=Card(),
    )  # fmt: skip


MODELS = {
    "network": (network, CAPABILITIES),
    "headless network": (
        lambda: TorchFeatures(Foreign(), spec=InputSpec("vector", (4,)), card=Card()),
        (GivesFeatures, HasParameters, Trains),
    ),
    "estimator": (estimator, (Predicts, GivesFeatures, HasParameters)),
    "function": (
        lambda: bq.wrap(lambda rows: np.eye(2)[(rows[:, 0] > 0).astype(int)], classes=["a", "b"]),
        (Predicts,),
    ),
    "stacked": (
        lambda: Stacked(network(), estimator(), views=("features",), card=Card()),
        (Predicts, GivesFeatures, HasParameters),
    ),
    "relabelled": (
        lambda: Relabelled(
            network(), classes=("a", "b"), columns=[0, 1], weights=[1.0, 1.0], card=Card()
        ),
        (Predicts, GivesFeatures, HasParameters),
    ),
    "adapter": (adapter, (Predicts, GivesFeatures, HasParameters)),
    "entities": (
        lambda: EntityFeatures(
            ["rome"], np.ones((1, 2)), [], np.zeros((0, 2)), scoring="complex", card=Card()
        ),
        (GivesFeatures, HasParameters),
    ),
}


@pytest.fixture(params=MODELS)
def case(request):
    make, capabilities = MODELS[request.param]
    return make(), capabilities


def test_a_model_has_the_capabilities_of_its_kind(case):
    model, capabilities = case
    for capability in CAPABILITIES:
        assert isinstance(model, capability) == (capability in capabilities)


def test_what_a_kind_cannot_do_is_a_reason(case):
    model, capabilities = case
    asked = {
        Predicts: (lambda: output_of(model, X), "features only"),
        GivesFeatures: (lambda: features_of(model, X), "no features"),
        HasParameters: (lambda: parameters_of(model), "does not show its parameters"),
    }
    for capability, (ask, reason) in asked.items():
        if capability not in capabilities:
            with pytest.raises(NotApplicable, match=reason):
                ask()
    if Predicts not in capabilities:
        for ask in (model.predict, model.predict_proba):
            with pytest.raises(NotApplicable, match="has no head: it gives features only"):
                ask(X)


def test_a_model_is_frozen_and_counts_as_itself_alone(case):
    model, _ = case
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.card = Card()
    assert model != copy.copy(model)
    assert len({model, copy.copy(model)}) == 2


def test_another_card_changes_nothing_else(case):
    model, _ = case
    other = model.with_card(Card(name="other"))
    assert type(other) is type(model)
    assert other.name == "other"
    assert model.name != "other"
    for field in dataclasses.fields(model):
        if field.name != "card":
            before, after = getattr(model, field.name), getattr(other, field.name)
            assert before is after or np.array_equal(before, after)


def test_its_parts_are_what_computes_its_answers():
    model, fitted = network(), estimator()
    assert model.parts() == (model.module,)
    assert fitted.parts() == (fitted.estimator,)
    stacked = Stacked(model, fitted, views=("features",), card=Card())
    assert stacked.parts() == (model.module, fitted.estimator)
    relabelled = Relabelled(model, classes=("a",), columns=[0], weights=[1.0], card=Card())
    assert relabelled.parts() == (model.module,)
    assert adapter().with_card(Card()).parts() != (model.module,)
    places = MODELS["entities"][0]()
    assert places.parts() == (places,)


@pytest.mark.parametrize("make", [network, MODELS["headless network"][0]])
def test_a_trained_copy_is_a_model_that_predicts(make):
    model = make()
    module = copy.deepcopy(model.module)
    layer = module.get_submodule(model.head)
    layer.weight = nn.Parameter(torch.zeros(2, layer.in_features))
    layer.bias = nn.Parameter(torch.zeros(2))
    made = model.retrained(module, classes=("x", "y"), target_scale=(0.0, 1.0))
    assert isinstance(made, TorchModel)
    assert made.predict_proba(X).tolist() == [[0.5, 0.5]] * 12


def test_the_outputs_of_a_network_of_ours_are_counted_anew_in_its_config():
    source = bq.train(bq.Task.from_arrays(np.eye(4), [0, 1, 0, 1]), net="mlp")
    module = copy.deepcopy(source.module)
    module.head = nn.Linear(module.head.in_features, 5)
    made = source.retrained(module, classes=(1, 2, 3, 4, 5), target_scale=(0.0, 1.0))
    assert made.structure["config"] == {**source.structure["config"], "outputs": 5}
    assert source.structure["config"]["outputs"] == 2


def test_a_model_class_of_somebody_else_predicts_by_having_an_output():
    class Theirs(Model):
        spec, classes, card, structure = InputSpec("vector"), ("no", "yes"), Card(), {}

        def output(self, X):
            return np.tile([0.2, 0.8], (len(X), 1))

        def save(self, folder):
            raise NotImplementedError

    model = Theirs()
    assert isinstance(model, Predicts)
    assert not isinstance(model, GivesFeatures)
    assert model.predict(X[:2]).tolist() == ["yes", "yes"]


def test_a_model_travels_to_another_process_with_what_it_has_computed():
    model = adapter()
    expected = model.predict_proba(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), expected)
