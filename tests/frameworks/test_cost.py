"""What a model costs: measured without a cache, and what is shared counts once."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

import bequest as bq
from bequest.core import Card
from bequest.core.feature_cache import FeatureCache
from bequest.errors import DataError
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.frameworks.torch.cost import cost_of

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 250)
        self.head = nn.Linear(250, 1)
        self.register_buffer("mean", torch.zeros(249))
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return self.head(self.body(x))


@pytest.fixture
def model():
    return bq.wrap(Network().eval(), example=X, name="network")


def test_megabytes_are_those_of_parameters_and_buffers(model):
    numbers = 4 * 250 + 250 + 250 + 1 + 249
    assert cost_of(model, X).megabytes == numbers * 4 / 1e6


def test_what_members_share_counts_once(model):
    again = model.with_card(Card(name="again"))
    shared = Ensemble((model, again), card=Card())
    assert cost_of(shared, X).megabytes == cost_of(model, X).megabytes
    other = bq.wrap(Network().eval(), example=X)
    both = Ensemble((model, other), card=Card())
    assert cost_of(both, X).megabytes == pytest.approx(2 * cost_of(model, X).megabytes)


def test_tied_weights_count_once():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    tied[1].weight = tied[0].weight
    tied[1].bias = tied[0].bias
    assert cost_of(bq.wrap(tied, example=X), X).megabytes == (16 + 4 + 4 + 1) * 4 / 1e6


def test_an_estimator_counts_as_it_is_written_out():
    wide = np.random.default_rng(1).normal(size=(30, 5000))
    model = bq.wrap(LinearRegression().fit(wide, wide[:, 0]))
    assert 5000 * 8 / 1e6 < cost_of(model, wide).megabytes < 1.1 * 5000 * 8 / 1e6


def test_of_a_function_nobody_can_tell_the_size():
    assert np.isnan(cost_of(bq.wrap(lambda x: x[:, 0]), X).megabytes)


def test_a_cache_in_use_does_not_answer_for_the_model(model):
    with FeatureCache() as cache, cache.used():
        cache.add(model.module)
        model.output(X)
        model.module.rows = 0
        assert cost_of(model, X).milliseconds > 0
        assert model.module.rows >= len(X)


def test_no_rows_are_refused(model):
    with pytest.raises(DataError, match="no rows"):
        cost_of(model, X[:0])
