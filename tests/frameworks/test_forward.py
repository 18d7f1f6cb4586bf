"""Forward passes run in batches that only shapes decide, and whose memory is bounded."""

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.core import Card, InputSpec
from bequest.core.deadline import due_in
from bequest.errors import ModelError, NotApplicable, OutOfTime
from bequest.frameworks.torch import forward as passes
from bequest.frameworks.torch.model import TorchModel


class Seen(nn.Module):
    """Notes how many rows each pass has."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.network(x)


def rows(count, width=10):
    return np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)


def seen(network=None, **settings):
    network = network or nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 3))
    return bq.wrap(Seen(network), classes=["a", "b", "c"], **settings)


@pytest.mark.parametrize(
    ("count", "batches"),
    [
        (1, [1]), (8, [8]), (9, [4, 5]), (1028, [4, 1024]), (1029, [4, 513, 512]),
        (3000, [4, 999, 999, 998]),
    ],
)  # fmt: skip
def test_a_small_network_runs_a_thousand_rows_at_once(count, batches):
    model = seen()
    X = rows(count)
    found = model.predict_proba(X)
    assert model.module.batches == batches
    model.predict(X)
    assert model.module.batches == batches * 2  # the second time as the first
    with torch.no_grad():
        expected = model.module.network(torch.from_numpy(X)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_alive_at_once_decides_how_many_rows_follow(monkeypatch):
    # 10 numbers in, 100 before and 100 after the ReLU: 840 bytes a row
    monkeypatch.setattr(passes, "BOUND", 840 * 20)
    model = seen()
    model.predict(rows(44))
    assert model.module.batches == [4, 20, 20]
    monkeypatch.setattr(passes, "BOUND", 840 * 20 - 1)
    model.predict(rows(44))
    assert model.module.batches[3:] == [4, 14, 13, 13]


def test_a_skip_connection_counts_as_long_as_it_is_alive(monkeypatch):
    class Skip(nn.Module):
        def forward(self, x):
            first = x.repeat(1, 10)
            return (first * 2 * 2 * 2).sum(1, keepdim=True) + first[:, :3]

    # x of 10 numbers, first of 100, and two further ones while the second product is made
    monkeypatch.setattr(passes, "BOUND", (40 + 400 + 400 + 400) * 5)
    model = seen(Skip())
    model.predict(rows(14))
    assert model.module.batches == [4, 5, 5]


def test_a_row_that_does_not_fit_at_all_runs_alone(monkeypatch):
    monkeypatch.setattr(passes, "BOUND", 1)
    model = seen()
    model.predict(rows(10))
    assert model.module.batches == [4] + [1] * 6


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_batch_size_that_is_given_is_the_most_that_runs(size, tmp_path):
    model = seen(batch_size=size, example=rows(2))
    model.module.batches.clear()
    model.predict(rows(10))
    assert max(model.module.batches) <= size
    assert sum(model.module.batches) == 10
    plain = bq.wrap(model.module.network, classes=["a", "b", "c"], example=rows(2), batch_size=size)
    plain.save(tmp_path / "model")
    assert bq.load(tmp_path / "model").batch_size == size


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "many"])
def test_a_batch_size_that_is_none_is_refused(size):
    with pytest.raises(ModelError, match="batch_size is a whole number from 1 on"):
        seen(batch_size=size)


def test_only_a_module_takes_a_batch_size():
    with pytest.raises(ModelError, match="takes no batch_size"):
        bq.wrap(lambda X: X[:, 0], batch_size=4)


def test_inputs_are_encoded_batch_by_batch():
    class Halves:
        asked = ()

        def encode(self, inputs):
            Halves.asked += (len(inputs),)
            return np.asarray(inputs, dtype=np.float32) / 2

        def to_config(self):
            return {}

    model = TorchModel(
        nn.Linear(10, 1), spec=InputSpec("vector", (10,)), classes=(), card=Card(), head="",
        encoder=Halves(), batch_size=5,
    )  # fmt: skip
    model.predict(rows(12))
    assert Halves.asked == (4, 4, 4)


def test_longer_rows_than_those_measured_run_in_smaller_batches(monkeypatch):
    class Growing:
        """Later rows are four times as long: 16 times the memory is reckoned with."""

        def encode(self, inputs):
            long = 40 if inputs[0, 0] else 10
            return np.ones((len(inputs), long), dtype=np.float32)

        def to_config(self):
            return {}

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(1)

    monkeypatch.setattr(passes, "BOUND", 44 * 32)  # 10 numbers and their mean a row
    module = Seen(Mean())
    model = TorchModel(
        module, spec=InputSpec("vector"), classes=(), card=Card(), head="", encoder=Growing()
    )
    X = np.ones((36, 1), dtype=np.float32)
    X[:4] = 0
    model.predict(X)
    assert module.batches == [4] + [2] * 16


@pytest.mark.parametrize("count", range(1, 14))
def test_a_network_that_squeezes_its_output_gives_a_value_a_row(count):
    class Squeezed(nn.Linear):
        def forward(self, x):
            return super().forward(x).squeeze()

    model = bq.wrap(Squeezed(10, 1))
    assert model.predict(rows(count)).shape == (count,)


def test_rows_that_get_lost_are_told():
    class Pooled(nn.Module):
        def forward(self, x):
            return x.mean(0, keepdim=True)

    with pytest.raises(NotApplicable, match=r"shape \(1, 10\) for 5 samples"):
        bq.wrap(Pooled(), classes=list(range(10)), name="pooled").predict(rows(5))


def test_a_folder_whose_batch_size_is_no_number_is_refused(tmp_path):
    from tests.hub.hub_tiny import reseal

    bq.wrap(nn.Linear(10, 1), example=rows(2), batch_size=3).save(tmp_path / "model")
    reseal(tmp_path / "model", lambda config: config.update(batch_size="many"))
    with pytest.raises(ModelError, match="batch_size is a whole number"):
        bq.load(tmp_path / "model")


class Slow(nn.Linear):
    """Takes as many seconds a row as are set, by a clock of its own."""

    now, a_row, first = 0.0, 1.0, 0.0

    def forward(self, x):
        self.now += self.first + self.a_row * len(x)
        self.first = 0.0
        return super().forward(x)


def test_rows_that_do_not_fit_before_the_deadline_are_given_up_after_the_first_batches():
    module = Slow(10, 1)
    module.first = 40.0  # measured, and slow: nothing is predicted from it
    model = bq.wrap(module, name="slow", batch_size=10)
    late = pytest.raises(OutOfTime, match="running slow on 100 rows takes about")
    with late as given_up, due_in(130.0, clock=lambda: module.now):
        model.predict(rows(100))
    assert given_up.value.needed == pytest.approx(140)
    assert module.now == 40 + 20


def test_rows_that_fit_before_the_deadline_are_all_run():
    module = Slow(10, 1)
    module.first = 40.0
    with due_in(141.0, clock=lambda: module.now):
        assert len(bq.wrap(module, batch_size=10).predict(rows(100))) == 100
    assert module.now == 140


def test_no_batch_runs_when_the_deadline_has_passed():
    module = Slow(10, 1)
    model = bq.wrap(module, batch_size=10)
    with pytest.raises(OutOfTime), due_in(-1.0, clock=lambda: module.now):
        model.predict(rows(100))
    assert module.now == 0
