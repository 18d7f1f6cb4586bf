import json

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.core import Card, InputSpec, Task
from bequest.errors import ModelError, NotApplicable, UnsafeModel
from bequest.frameworks.torch.model import TorchModel


class Own(nn.Module):
    """A network of a class that bequest does not know."""

    def __init__(self, width=6):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.ReLU())
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        return self.out(self.body(x))


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)


def test_a_wrapped_module_predicts_as_torch_does(X):
    module = Own()
    model = bq.wrap(module, classes=["a", "b", "c"], example=X)
    with torch.no_grad():
        expected = torch.softmax(module(torch.as_tensor(X)), 1).numpy()
        features = module.body(torch.as_tensor(X)).numpy()
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    np.testing.assert_allclose(model.features(X), features, atol=1e-6)
    np.testing.assert_allclose(model.features(X, layer="body.0").clip(0), features, atol=1e-6)
    assert model.head == "out"
    assert model.spec == InputSpec("vector", (4,))


def test_one_logit_for_two_classes_is_a_sigmoid():
    model = bq.wrap(nn.Linear(2, 1), classes=[0, 1])
    X = np.array([[1.0, 2.0]])
    logit = model.module(torch.as_tensor(X, dtype=torch.float32)).item()
    np.testing.assert_allclose(model.predict_proba(X)[0, 1], 1 / (1 + np.exp(-logit)), atol=1e-6)


def test_predicting_leaves_the_training_mode_and_the_weights_alone(X):
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    bq.wrap(module, classes=[1, 2, 3]).predict(X)
    assert module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_foreign_class_is_saved_as_a_graph_that_trains_on(X, tmp_path):
    model = bq.wrap(Own(), classes=["a", "b", "c"], example=X, name="own")
    model.save(tmp_path / "own")
    again = bq.load(tmp_path / "own")
    assert type(again.module).__name__ != "Own"
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-6)
    assert set(again.parameters()) == set(model.parameters())
    np.testing.assert_allclose(again.features(X), model.features(X), atol=1e-6)


def test_a_graph_can_be_fine_tuned_to_other_classes_and_saved_again(X, tmp_path):
    from bequest.methods.fine_tune import FineTune

    bq.wrap(Own(), classes=["a", "b", "c"], example=X, name="own").save(tmp_path / "own")
    source = bq.load(tmp_path / "own")
    task = Task.from_arrays(X, ["b", "x"] * 5, name="other")
    model = FineTune(steps=5).fit([bq.Source(source)], task, rng=np.random.default_rng(0))
    model.save(tmp_path / "tuned")
    again = bq.load(tmp_path / "tuned")
    assert again.classes == ("b", "x")
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-6)


def test_a_class_by_import_path_loads_only_where_it_is_handed_over(X, tmp_path):
    model = bq.wrap(Own(width=5), classes=["a", "b", "c"], config={"width": 5})
    model.save(tmp_path / "own")
    with pytest.raises(ModelError, match=r"modules=\[Own\]"):
        bq.load(tmp_path / "own")
    again = bq.load(tmp_path / "own", modules=[Own])
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-6)


def test_what_the_network_cannot_read_is_a_reason_not_a_crash(X):
    model = bq.wrap(Own(), classes=["a", "b", "c"], name="own")
    with pytest.raises(NotApplicable, match="own cannot read inputs of shape"):
        model.predict(np.ones((2, 9)))
    with pytest.raises(ModelError, match="gives 3 numbers a row, the model names 2 classes"):
        bq.wrap(Own(), classes=["a", "b"]).predict(X)


def test_weights_that_are_not_finite_are_told(X):
    module = Own()
    module.out.bias.data[0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        bq.wrap(module, classes=["a", "b", "c"], name="sick").predict(X)


@pytest.fixture
def folder(tmp_path):
    task = Task.from_arrays(np.eye(6), [0, 1] * 3, name="corners")
    bq.train(task, net="mlp").save(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_has_what_the_docs_say(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "config.json", "card.json", "README.md"}
    assert not list(folder.parent.glob(".*"))


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_a_missing_or_altered_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=f"{name} was altered"):
        bq.load(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"lacks its file {name}"):
        bq.load(folder)


def test_an_altered_config_is_told(folder):
    config = json.loads((folder / "config.json").read_text())
    config["classes"] = [1, 0]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json was altered"):
        bq.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 99}', '{"format": 1}', "[" * 100_000])
def test_a_config_that_is_none_is_one_line(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        bq.load(folder)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_refused_with_the_way_out(tmp_path):
    torch.save(Own().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UnsafeModel, match=r"bequest\.wrap"):
        bq.load(tmp_path / "weights.pt")


def test_a_folder_that_is_no_model_is_never_overwritten(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    task = Task.from_arrays(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ModelError, match="left as it is"):
        bq.train(task, net="linear").save(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"


def test_the_ctor_takes_a_plain_linear_layer_as_a_regression():
    model = TorchModel(
        nn.Linear(1, 1), spec=InputSpec("vector", (1,)), classes=(), card=Card(), head="",
        target_scale=(10.0, 2.0),
    )  # fmt: skip
    X = np.zeros((3, 1))
    bias = model.module.bias.item()
    np.testing.assert_allclose(model.predict(X), [bias * 2 + 10] * 3, rtol=1e-6)


def test_a_folder_with_somebody_elses_config_is_never_overwritten(tmp_path, folder):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "bert"}')
    (folder / "thesis.txt").write_text("mine")
    model = bq.train(Task.from_arrays(np.eye(4), [0, 1, 0, 1]), net="linear")
    for place in (tmp_path / "hf", folder):
        with pytest.raises(ModelError, match="left as it is"):
            model.save(place)
    (folder / "thesis.txt").unlink()
    model.save(folder)
    assert bq.load(folder).card.task.rows == 4


def test_forgotten_classes_are_told(X):
    with pytest.raises(ModelError, match="gives 3 numbers a row and no classes are named"):
        bq.wrap(Own(), example=X, name="own").predict(X)


def test_classes_of_numpy_are_plain_values_on_disk(X, tmp_path):
    bq.wrap(Own(), classes=np.array([3, 5, 7]), example=X).save(tmp_path / "own")
    assert bq.load(tmp_path / "own").classes == (3, 5, 7)


def test_a_layer_that_runs_twice_gives_one_row_a_sample(X):
    class Twice(Own):
        def forward(self, x):
            return self.out(self.body(x)) + self.out(-self.body(x))

    assert bq.wrap(Twice(), classes=[1, 2, 3], example=X).features(X).shape == (10, 6)
