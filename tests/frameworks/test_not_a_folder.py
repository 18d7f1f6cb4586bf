"""Single files, folders of timm, heads that no task asks for: each is one line with a way on."""

import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import bequest as bq
from bequest.cli import run
from bequest.errors import BequestError, ModelError, UnsafeModel

SCRIPTED = "a TorchScript archive"


def write(path):
    state = {"weight": torch.ones(2, 3)}
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix in (".pth", ".bin", ".pt", ".ckpt"):
        torch.save(state, path)
    elif path.suffix == ".jit":
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path)
    elif path.suffix == ".gguf":
        path.write_bytes(b"GGUF" + bytes(80))
    elif path.name.endswith(".index.json"):
        path.write_text(json.dumps({"weight_map": {}}))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("model.safetensors", ModelError, "holds tensors"),
        ("model.safetensors.index.json", ModelError, "lists tensors"),
        ("weights.pth", UnsafeModel, "is a pickle"),
        ("pytorch_model.bin", UnsafeModel, "is a pickle"),
        ("last.ckpt", UnsafeModel, "is a pickle"),
        ("net.jit", UnsafeModel, SCRIPTED),
        ("llama.gguf", ModelError, "is a GGUF file"),
    ],
)
def test_a_single_file_is_refused_with_what_is_missing_and_two_ways_on(
    tmp_path, monkeypatch, capsys, name, error, said
):
    path = write(tmp_path / name)
    with pytest.raises(error, match=said) as refused:
        bq.load(path)
    assert "\n" not in str(refused.value)
    for part in ("A source needs a network too", "bequest.wrap(network)", "bequest map"):
        assert part in str(refused.value)
    rows = "".join(f"{n},{'ab'[n % 2]}\n" for n in range(20))
    (tmp_path / "data.csv").write_text("x,y\n" + rows)
    monkeypatch.chdir(tmp_path)
    assert run(["transfer", "data.csv", "--target", "y", "--source", name, "--out", "new"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "bequest.wrap(network)" in err
    with pytest.raises(error, match=r"bequest\.wrap"):
        bq.rank([path], bq.Task.from_arrays(np.zeros((4, 1)), ["a", "b"] * 2))


def test_a_file_that_is_nothing_of_the_kind_is_told_so(tmp_path):
    (tmp_path / "notes.txt").write_text("these are notes")
    with pytest.raises(ModelError, match="is a file, and no model folder"):
        bq.load(tmp_path / "notes.txt")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ModelError, match="is a file, and no model folder"):
        bq.load(tmp_path / "empty.txt")


TIMM = {
    "architecture": "resnet18",
    "num_classes": 5,
    "pretrained_cfg": {
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        "input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic",
    },
}  # fmt: skip


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_timm_is_refused_with_the_lines_that_load_it(tmp_path, weights):
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    write(tmp_path / weights)
    with pytest.raises(ModelError) as refused:
        bq.load(tmp_path)
    said = str(refused.value)
    assert f"timm.create_model('resnet18', checkpoint_path='{tmp_path / weights}'" in said
    assert "num_classes=5" in said
    given = said.partition("bequest.wrap(network.eval(), ")[2].removesuffix(").")
    settings = eval(f"dict({given})", {})
    assert settings == {
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": 256, "crop": 224,
    }  # fmt: skip
    bq.wrap(nn.Conv2d(3, 2, 3), **settings)


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "a'\n\x1b[2J", "pretrained_cfg": None},
        {"architecture": "x", "pretrained_cfg": {"mean": "import os", "crop_pct": 0}},
        {"architecture": "x", "pretrained_cfg": {"input_size": [3], "crop_pct": -1}},
        {"architecture": "x", "pretrained_cfg": {"input_size": {}, "std": [[]]}},
    ],
)
def test_a_timm_config_says_nothing_of_its_own_to_a_terminal(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is a folder of timm") as refused:
        bq.load(tmp_path)
    assert str(refused.value).isprintable()
    assert "import" not in str(refused.value)


@pytest.fixture(scope="module")
def tokens():
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = {name: number for number, name in enumerate(["[UNK]", "[PAD]", "a", "b"])}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def small_bert(name):
    import transformers

    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    return getattr(transformers, name)(config).eval()


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("BertForTokenClassification", "labels the tokens of texts"),
        ("BertForQuestionAnswering", "marks answers in texts"),
    ],
)
def test_a_folder_with_another_head_gives_the_features_of_its_body_and_says_so(
    tmp_path, tokens, caplog, name, does
):
    network = small_bert(name)
    network.save_pretrained(tmp_path / "model")
    tokens.save(str(tmp_path / "model" / "tokenizer.json"))
    with caplog.at_level(logging.WARNING):
        model = bq.load(tmp_path / "model")
    assert f"is a {name}, which {does}: that is not transferred" in caplog.text
    body = network.base_model(torch.tensor([[2, 3]])).last_hidden_state.mean(1).detach()
    np.testing.assert_allclose(model.features(["a b"]), body, atol=1e-6)


@pytest.mark.parametrize("name", ["BertForTokenClassification", "BertForMaskedLM"])
def test_a_network_in_memory_with_another_head_is_refused_and_its_body_is_not(tokens, name):
    from transformers import PreTrainedTokenizerFast

    processor = PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="[PAD]", unk_token="[UNK]"
    )
    network = small_bert(name)
    with pytest.raises(ModelError, match=r"give bequest.wrap\(network.base_model, processor"):
        bq.wrap(network, processor=processor)
    assert bq.wrap(network.base_model, processor=processor).features(["a b"]).shape == (1, 8)


def test_a_detector_is_refused_by_name_with_what_can_be_done(tmp_path):
    config = {"model_type": "yolos", "architectures": ["YolosForObjectDetection"]}
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError) as refused:
        bq.load(tmp_path)
    assert "is a YolosForObjectDetection, which finds objects in images" in str(refused.value)
    assert "bequest.wrap a module" in str(refused.value)


def test_show_describes_a_folder_of_any_library(tmp_path, tokens, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small_bert("BertForTokenClassification").save_pretrained(tmp_path / "theirs")
    tokens.save(str(tmp_path / "theirs" / "tokenizer.json"))
    ours = bq.wrap(nn.Linear(3, 2), classes=["ill", "well"], example=np.zeros((2, 3)), name="ward")
    ours.save(tmp_path / "ours")
    capsys.readouterr()
    assert run(["show", "ours"]) == 0
    out = capsys.readouterr().out
    for line in ("ward", "torch", "classification", "ill, well", "vectors of shape (3,)", "kB"):
        assert line in out
    assert run(["show", "theirs", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "Hugging Face, BertForTokenClassification"
    assert (facts["gives"], facts["classes"], facts["inputs"]["modality"]) == (
        "features",
        [],
        "text",
    )
    assert facts["bytes"] == sum(path.stat().st_size for path in (tmp_path / "theirs").iterdir())


def test_show_describes_a_network_of_a_persons_own_class_by_its_card(tmp_path, capsys):
    model = bq.wrap(Own(3), classes=["a", "b"], config={"width": 3}, name="my own")
    model.save(tmp_path / "own")
    assert run(["show", str(tmp_path / "own")]) == 0
    out = capsys.readouterr().out
    assert "my own" in out
    assert "modules=[Own]" in out


@pytest.mark.parametrize("name", ["config.json", "card.json", "model.safetensors"])
def test_show_refuses_a_damaged_folder_in_one_line(tmp_path, capsys, name):
    bq.wrap(Own(3), classes=["a", "b"], config={"width": 3}).save(tmp_path / "own")
    (tmp_path / "own" / name).write_text("{}")
    assert run(["show", str(tmp_path / "own")]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "own" in err


class Own(nn.Linear):
    def __init__(self, width):
        super().__init__(width, 2)


def test_the_current_folder_is_called_by_its_name(tmp_path, monkeypatch):
    from bequest.api.sources import as_sources

    folder = tmp_path / "ward"
    (folder / "inside").mkdir(parents=True)
    for place, given in ((folder, "."), (folder / "inside", "..")):
        monkeypatch.chdir(place)
        assert [source.name for source in as_sources([given])] == ["ward"]
        with pytest.raises(ModelError, match=r"ward is no model folder: it has no config\.json"):
            bq.load(given)


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_path_is_never_the_current_folder(empty, tmp_path, monkeypatch):
    bq.train(bq.Task.from_arrays([[0.0], [1.0]] * 5, ["a", "b"] * 5), net="linear").save(tmp_path)
    monkeypatch.chdir(tmp_path)
    model = bq.load(".")
    task = bq.Task.from_arrays([[0.0], [1.0]], ["a", "b"])
    for use in (
        lambda: bq.load(empty),
        lambda: bq.rank([empty], task),
        lambda: bq.Hub(empty),
        lambda: bq.load_result(empty),
        lambda: model.save(empty),
        lambda: bq.Task.from_table(empty, "y"),
        lambda: bq.Task.from_text(empty, target="y"),
        lambda: bq.Task.from_images(empty),
        lambda: bq.Hub("hub").publish(empty, "a", licence="MIT"),
        lambda: bq.map_parameters(empty, nn.Linear(1, 1)),
    ):
        with pytest.raises(BequestError, match="this one is empty"):
            use()
