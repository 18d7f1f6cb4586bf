"""Another thing than was asked for is one line, whichever door it comes to."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.errors import BequestError, DataError, NotApplicable, UnknownName

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


class Recurrent(nn.Module):
    """A network with a layer that gives a tuple."""

    def __init__(self):
        super().__init__()
        self.memory = nn.LSTM(3, 4, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.memory(x[:, None])[0][:, -1])


@pytest.fixture(scope="module")
def task():
    return bq.Task.from_arrays(X, X[:, 0] > 0, name="signs")


@pytest.fixture(scope="module")
def model(task):
    return bq.train(task, net="linear")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t, m: bq.load(3), "a model folder is named by a path, not by a int: 3"),
        (lambda t, m: bq.load(None), "a model folder is named by a path"),
        (lambda t, m: bq.load("a\0b"), "zero byte"),
        (lambda t, m: m.save(3), "a model folder is named by a path"),
        (lambda t, m: bq.Hub(3), "a hub is named by a path, not by a int: 3"),
        (lambda t, m: bq.Hub("nowhere").show(3), "a name in a hub is text, not a int"),
        (lambda t, m: bq.Hub("nowhere").list(3), "a prefix is text, not a int"),
        (lambda t, m: bq.Hub("nowhere").publish(3, "a", licence="MIT"), "named by a path"),
        (lambda t, m: bq.Hub("nowhere").publish(m, "a", licence=3), "not a int"),
        (lambda t, m: bq.Hub("nowhere").record(3), "only an Outcome is recorded, not a int"),
        (lambda t, m: bq.transfer("few.csv", [m]), "the task must be a Task, not a str"),
        (lambda t, m: bq.transfer(t, [m], test="x.csv"), "test must be a Task, not a str"),
        (lambda t, m: bq.transfer(t, [m], budget="5"), "a number of seconds above zero, not '5'"),
        (lambda t, m: bq.rank([m], "few.csv"), "the task must be a Task, not a str"),
        (lambda t, m: bq.train("few.csv"), "the task must be a Task, not a str"),
        (lambda t, m: bq.transfer(t, [m], methods=[3]), "a method is a name (.*) or a .*, not 3"),
        (lambda t, m: bq.transfer(t, [m], methods=3), "a list of names and methods, not a int"),
        (lambda t, m: bq.transfer(t, [m], methods="fine-tune"), r"give \['fine-tune'\]"),
        (lambda t, m: bq.Task.from_images(3), "a folder of images is named by a path"),
        (lambda t, m: bq.Task.from_images(".", size="x"), r"pixels, or \(height, width\), not 'x'"),
        (lambda t, m: bq.Task.from_images(".", size=(1, 2, 3)), r"pixels, or \(height, width\)"),
        (lambda t, m: bq.Task.from_images(".", size=(8.5, 8)), "a size is one pixel at least"),
        (lambda t, m: bq.wrap(3), "cannot wrap a int"),
        (lambda t, m: bq.wrap(nn.Linear, classes=[0, 1]), "Linear is a class, nothing is trained"),
        (lambda t, m: bq.wrap(nn.Linear(3, 2), classes=3), "classes is a list of labels"),
        (lambda t, m: bq.wrap(nn.Linear(3, 2), config=3), "keyword arguments, not a int"),
        (lambda t, m: bq.wrap(nn.Linear(3, 2), example="abc"), "the inputs are not numbers"),
    ],
)
def test_another_thing_than_was_asked_for_is_one_line(call, says, task, model):
    with pytest.raises(BequestError, match=says) as told:
        call(task, model)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("methods", [["fine-tun"], "fine-tun"])
def test_a_method_that_nobody_has_is_told_before_anything_is_ranked(methods, task, model):
    def never(x):
        raise AssertionError("the source was asked")

    source = bq.wrap(never, classes=[False, True])
    with pytest.raises(UnknownName, match="Did you mean 'fine-tune'"):
        bq.transfer(task, [source], methods=methods, budget=60)


def test_an_executor_that_nobody_has_is_told_before_anything_is_ranked(task):
    def never(x):
        raise AssertionError("the source was asked")

    with pytest.raises(UnknownName, match="no executor named 'gpu'"):
        bq.transfer(task, [bq.wrap(never, classes=[False, True])], executor="gpu", budget=60)


def test_a_layer_that_gives_a_tuple_has_no_features():
    model = bq.wrap(Recurrent(), classes=[0, 1], name="recurrent")
    with pytest.raises(
        NotApplicable, match="layer 'memory' gives a tuple, not one array with a row a sample"
    ):
        model.features(X, layer="memory")
    assert model.features(X).shape == (20, 4)


def test_a_layer_that_gives_one_number_a_row_has_one_feature():
    model = bq.wrap(nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), example=X)
    with torch.no_grad():
        values = model.module(torch.as_tensor(X)).numpy()
    np.testing.assert_array_equal(model.features(X, layer="1"), values[:, None])


@pytest.mark.parametrize("make", [lambda m: m, lambda m: bq.wrap(nn.Linear(3, 2), classes=[0, 1])])
def test_a_frame_for_a_model_of_arrays_is_one_line(make, model):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(DataError, match=r"reads arrays, this is a table of 3 .*to_numpy"):
        make(model).predict(frame)
