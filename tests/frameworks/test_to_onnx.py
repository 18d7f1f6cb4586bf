"""`model.to_onnx(path)`: one file that gives what the model gives."""

import numpy as np
import onnx
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import bequest as bq
from bequest.core import Card
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.methods.probe import Probe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32) * 5 + 3


def photos(height, width, rows=3):
    return (RNG.integers(0, 256, (rows, 3, height, width)) / 255).astype(np.float32)


def exported(model, tmp_path):
    model.to_onnx(tmp_path / "it.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["it.onnx"]  # nothing half-made is left
    return bq.load(tmp_path / "it.onnx")


def test_a_trained_classifier_keeps_its_labels_its_scaler_and_its_features(tmp_path):
    model = bq.train(bq.Task.from_arrays(X, np.where(X[:, 0] > 3, "ill", "well")), net="mlp")
    again = exported(model, tmp_path)
    wild = np.vstack([X, [[1e6, -1e6, 0.0]]]).astype(np.float32)  # beyond the scaler's limit
    assert again.classes == ("ill", "well")
    for rows in (wild, wild[:1]):
        np.testing.assert_allclose(again.predict_proba(rows), model.predict_proba(rows), atol=1e-5)
        np.testing.assert_allclose(again.features(rows), model.features(rows), atol=1e-5)
    again.to_onnx(tmp_path / "copy.onnx")  # a model of a file writes that file
    assert (tmp_path / "copy.onnx").read_bytes() == (tmp_path / "it.onnx").read_bytes()


def test_a_trained_regressor_gives_values_in_the_tasks_unit(tmp_path):
    task = bq.Task.from_arrays(X, X[:, 0] * 100 + 7000, kind="regression")
    model = bq.train(task, net="mlp")
    again = exported(model, tmp_path)
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-5)


def test_a_network_of_one_logit_gives_both_probabilities_of_images(tmp_path):
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    network = nn.Sequential(*body, nn.Flatten(), nn.Linear(4, 1)).eval()
    model = bq.wrap(network, classes=["a", "b"], size=14, crop=12, mean=0.4, std=0.3)
    again = exported(model, tmp_path)
    sized = photos(12, 12)
    # standardised inside, and neither resized nor cut: the file says the size that it reads
    assert again.spec.shape == (3, 12, 12)
    same = bq.wrap(network, classes=["a", "b"], example=sized, mean=0.4, std=0.3)
    np.testing.assert_allclose(again.predict_proba(sized), same.predict_proba(sized), atol=1e-5)
    assert model.encoder.resize == 14  # the model itself keeps what it does


def test_a_network_with_outputs_that_have_no_names_gives_them(tmp_path):
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5)).eval()
    model = bq.wrap(network, example=X[:2])
    again = exported(model, tmp_path)
    with torch.no_grad():
        wanted = network(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(again.features(X, "outputs"), wanted, atol=1e-5)
    np.testing.assert_allclose(model.to_torch()(torch.from_numpy(X)).detach(), wanted, atol=1e-6)


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=30
    )


@pytest.mark.parametrize("kind", ["bert", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_texts_of_any_length_are_read_as_tokens(kind, tmp_path):
    import transformers as t

    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "vocab_size": 4}
    if kind == "bert":
        small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = t.BertConfig(**small, intermediate_size=8, vocab_size=4, num_labels=3)
        network = t.BertForSequenceClassification(config)
    else:
        config = t.GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=40, **ids)
        network = t.GPT2ForSequenceClassification(config)
    model = bq.wrap(network.eval(), processor=tokenizer())
    again = exported(model, tmp_path)
    assert again.classes == model.classes
    for texts in (["good bad good", "bad", "", "good " * 99], ["bad"]):
        found = again.predict_proba(model.encode(texts))
        np.testing.assert_allclose(found, model.predict_proba(texts), atol=1e-5)


def test_a_table_is_read_as_the_model_encodes_it(tmp_path):
    table = {"age": [30.0, 40.0, None, 60.0] * 10, "ward": ["a", "b", "b", None] * 10}
    model = bq.train(
        bq.Task.from_table({**table, "ill": [0, 1, 1, 0] * 10}, target="ill"), net="mlp"
    )
    again = exported(model, tmp_path)
    found = again.predict_proba(model.encode(table))
    np.testing.assert_allclose(found, model.predict_proba(table), atol=1e-5)


class Undecided(nn.Module):
    """Its forward pass depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, samples):
        return self.head(samples) if samples.sum() > 0 else -self.head(samples)


class TwoRows(Undecided):
    def forward(self, samples):
        return self.head(samples.reshape(2, 3))


@pytest.mark.parametrize("network", [Undecided, TwoRows])
def test_what_the_exporter_does_not_manage_is_refused_and_leaves_nothing(network, tmp_path, capfd):
    model = bq.wrap(network().eval(), classes=["a", "b"], example=X[:2], name="ward")
    with pytest.raises(NotApplicable, match="exporter does not manage ward: ") as refused:
        model.to_onnx(tmp_path / "it.onnx")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    import bequest.frameworks.portable.to_onnx as module

    def other(answers, *given):
        program = real(answers, *given)
        layer = answers.whole.network[0]
        layer.bias = nn.Parameter(layer.bias + 1)  # the program holds the memory of the old one
        return program

    real = module._exported
    monkeypatch.setattr(module, "_exported", other)
    model = bq.wrap(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval(),
        classes=["a", "b"],
        example=X[:2],
    )
    with pytest.raises(NotApplicable, match="are off by"):
        model.to_onnx(tmp_path / "it.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            bq.wrap(LogisticRegression().fit([[0.0], [1.0]], ["a", "b"]), name="ward"),
            r"ward is a LogisticRegression .* skl2onnx\.to_onnx",
        ),
        (bq.wrap(lambda X: X[:, 0], name="slope"), "slope is no single torch network"),
        (bq.wrap(nn.Linear(2, 1)), "the shape of its input, which is not known"),
    ],
)
def test_what_is_no_single_network_is_refused_with_the_way_on(model, said, tmp_path):
    with pytest.raises(NotApplicable, match=said):
        model.to_onnx(tmp_path / "it.onnx")
    assert list(tmp_path.iterdir()) == []


def test_probes_on_one_network_are_one_file(tmp_path):
    network = bq.wrap(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval(), example=X[:2]
    )
    task = bq.Task.from_arrays(X, np.array(["a", "b", "c"])[np.arange(len(X)) % 3])
    rng = np.random.default_rng(0)
    probes = [
        Probe(scaling=scaling).fit([bq.Source(network)], task, rng=rng)
        for scaling in ("none", "l2")
    ]
    for model in (Ensemble(tuple(probes), card=Card(), temperature=0.7), probes[1]):
        model.to_onnx(tmp_path / "it.onnx")
        again = bq.load(tmp_path / "it.onnx")
        assert again.classes == ("a", "b", "c")
        np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-5)
        np.testing.assert_allclose(again.features(X), network.features(X), atol=1e-5)


def test_trees_are_refused_with_the_way_on(tmp_path):
    import lightgbm

    trees = lightgbm.LGBMClassifier(min_child_samples=2, verbosity=-1).fit(X, X[:, 0] > 3)
    with pytest.raises(NotApplicable, match=r"onnxmltools\.convert_lightgbm"):
        bq.wrap(trees).to_onnx(tmp_path / "it.onnx")


def test_only_an_onnx_file_is_replaced(tmp_path):
    model = bq.wrap(nn.Linear(3, 2).eval(), classes=["a", "b"], example=X[:2])
    (tmp_path / "notes.onnx").write_text("my notes")
    (tmp_path / "folder.onnx").mkdir()
    for name, said in (
        ("notes.onnx", "exists and is no ONNX file"),
        ("folder.onnx", "is a folder"),
        ("it.pb", "does not end in .onnx"),
    ):
        with pytest.raises((ModelError, bq.errors.DataError), match=said):
            model.to_onnx(tmp_path / name)
    assert (tmp_path / "notes.onnx").read_text() == "my notes"
    (tmp_path / "it.onnx").touch()
    for _ in range(2):  # in place of an empty one, and of the one before
        model.to_onnx(tmp_path / "it.onnx")
        assert bq.load(tmp_path / "it.onnx").classes == ("a", "b")


def test_labels_of_other_files_that_do_not_fit_are_passed_over(tmp_path):
    model = bq.wrap(nn.Linear(3, 2).eval(), classes=["a", "b"], example=X[:2])
    model.to_onnx(tmp_path / "it.onnx")
    whole = onnx.load(tmp_path / "it.onnx")
    for labels in ('["a"]', '["a", "a"]', '[["a"], "b"]', "{}", "nothing", "[" * 9999):
        whole.metadata_props[0].value = labels
        (tmp_path / "it.onnx").write_bytes(whole.SerializeToString())
        assert bq.load(tmp_path / "it.onnx").classes == (0, 1)
