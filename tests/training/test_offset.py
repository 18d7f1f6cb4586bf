import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from bequest.core import Card, InputSpec, Source, Task
from bequest.frameworks.combined.function_model import FunctionModel
from bequest.frameworks.combined.stacked import Stacked
from bequest.frameworks.encoders.encoder import Scaler
from bequest.methods.stack import Stack
from bequest.training.offset import fit_offset


@pytest.fixture
def task():
    X = np.random.default_rng(0).normal(size=(40, 2))
    return Task.from_arrays(X, np.where(X[:, 0] > 0, "up", "down"))


def source(chance):
    """A source that gives the first class this chance, whatever it is asked."""

    def told(x):
        return np.tile([chance, 1 - chance], (len(x), 1))

    return FunctionModel(
        told, spec=InputSpec("vector", (2,)), classes=("down", "up"), card=Card(name="told")
    )


def test_what_is_predicted_is_what_was_fitted_however_sure_the_correction_is(task):
    below = source(0.3)
    prior = np.log(below.output(task.inputs))
    head = fit_offset(np.asarray(task.inputs), prior, task, strength=1e6)
    layer = head.module.head
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    logits = head.encoder.encode(task.inputs).astype(np.float64) @ weight.T + bias
    assert log_softmax(logits, axis=1).min() < 5 * np.log(1e-6)
    as_it_is = Scaler((0.0, 0.0), (1.0, 1.0))
    model = Stacked(
        below, head, views=("inputs",), encoder=as_it_is, offset=True, spec=None, card=Card()
    )
    expected = softmax(prior + logits, axis=1)
    np.testing.assert_allclose(model.output(task.inputs), expected, rtol=1e-3)


def test_a_sure_correction_overrules_a_sure_source(task):
    wrong = source(1e-9)  # sure that everything goes up
    model = Stack(offset=True, strength=1e6).fit(
        [Source(wrong)], task, rng=np.random.default_rng(0)
    )
    assert (model.predict(task.inputs) == task.labels).all()
    assert model.predict_proba(np.array([[-3.0, 0.0]]))[0, 0] > 1 - 1e-9
