"""A folder of the Hugging Face Hub becomes a model, and comes back as one that both can read."""

import json
import logging
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import bequest as bq
from bequest.cli import run
from bequest.core import Predicts, Trains
from bequest.errors import ModelError, NotApplicable, UnsafeModel
from bequest.methods.fine_tune import FineTune
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.testing.unchanged import state_of

sys.path.insert(0, str(Path(__file__).parent))
import hub_folders as hub

TEXTS = ["a good film", "bad", "The VERY bad film , a few words", "unheard"]
IMAGES = np.random.default_rng(0).random((5, 3, 20, 20), dtype=np.float32)
TASK = bq.Task.from_text(TEXTS * 5, ["yes", "no", "new", "no"] * 5, name="target")
TEXT_KINDS = list(hub.TEXTS)
IMAGE_KINDS = list(hub.IMAGES)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def text_folder(place, kind="bert", head="SEQUENCE_CLASSIFICATION", **rest):
    return hub.write(place / kind, hub.network(kind, head), **rest)


def image_folder(place, kind="vit", head="IMAGE_CLASSIFICATION"):
    return hub.write(place / kind, hub.network(kind, head), files=("preprocessor_config.json",))


def change(folder, name="config.json", **values):
    path = folder / name
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **values}))
    return folder


def probabilities_by_transformers(net, texts):
    tokenizer = hub.tokenizer()
    rows = []
    for text in texts:
        with torch.no_grad():
            logits = net(input_ids=torch.tensor([tokenizer.encode(text).ids])).logits
        rows.append(logits.softmax(-1)[0].numpy())
    return np.array(rows)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_a_classifier_of_texts_gives_what_transformers_gives(tmp_path, kind):
    net = hub.network(kind)
    model = bq.load(hub.write(tmp_path / kind, net))
    assert (model.classes, model.name) == (("no", "yes", "maybe"), kind)
    np.testing.assert_allclose(
        model.predict_proba(TEXTS), probabilities_by_transformers(net, TEXTS), atol=1e-6
    )
    assert model.features(TEXTS).shape == (4, 16)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_classifier_of_images_gives_what_transformers_gives(tmp_path, kind):
    net = hub.network(kind, "IMAGE_CLASSIFICATION")
    model = bq.load(hub.write(tmp_path / kind, net, files=("preprocessor_config.json",)))
    pixels = torch.from_numpy(IMAGES[:, :, 2:18, 2:18])  # of the size that it wants: not resized
    mean, scale = (
        torch.tensor(hub.PREPROCESSOR[name])[:, None, None] for name in ("image_mean", "image_std")
    )
    with torch.no_grad():
        wanted = net(pixel_values=(pixels - mean) / scale).logits.softmax(-1)
    np.testing.assert_allclose(model.predict_proba(pixels), wanted, atol=1e-6)
    assert model.features(IMAGES).shape == (5, 16)
    grey = model.predict_proba(IMAGES[:, :1])
    np.testing.assert_allclose(grey, model.predict_proba(IMAGES[:, [0, 0, 0]]), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "head"), [("bert", ""), ("bert", "MASKED_LM"), ("gpt2", "CAUSAL_LM"), ("llama", "")]
)
def test_a_body_gives_the_mean_of_its_last_hidden_state(tmp_path, kind, head, caplog):
    net = hub.network(kind, head)
    with caplog.at_level(logging.WARNING):
        model = bq.load(hub.write(tmp_path / kind, net))
    left_out = [record.getMessage() for record in caplog.records]
    assert len(left_out) == bool(head)  # one line for the head that is left out
    encoded = [hub.tokenizer().encode(text).ids for text in TEXTS]
    with torch.no_grad():
        hidden = [net.base_model(torch.tensor([ids])).last_hidden_state[0] for ids in encoded]
    wanted = torch.stack([rows.mean(0) for rows in hidden])
    np.testing.assert_allclose(model.features(TEXTS), wanted, atol=1e-5)
    with pytest.raises(NotApplicable, match="no head"):
        model.predict(TEXTS)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_body_of_images_gives_features(tmp_path, kind):
    model = bq.load(image_folder(tmp_path, kind, head=""))
    assert model.features(IMAGES).shape == (5, 16)


def test_the_first_token_counts_where_the_folder_says_so(tmp_path):
    net = hub.network("bert", "")
    folder = hub.write(tmp_path / "bert", net)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    ids = torch.tensor([hub.tokenizer().encode(TEXTS[0]).ids])
    with torch.no_grad():
        wanted = net(ids).last_hidden_state[:, 0]
    np.testing.assert_allclose(bq.load(folder).features(TEXTS[:1]), wanted, atol=1e-5)


def test_shards_are_one_model(tmp_path):
    net = hub.network("bert")
    one, three = hub.write(tmp_path / "one", net), hub.write(tmp_path / "three", net, shards=3)
    np.testing.assert_array_equal(bq.load(one).output(TEXTS), bq.load(three).output(TEXTS))


def test_a_regressor_gives_values(tmp_path):
    net = hub.network("bert", labels=("stars",))
    model = bq.load(hub.write(tmp_path / "bert", net))
    assert model.classes == ()
    assert model.predict(TEXTS).shape == (4,)


def test_classes_that_nobody_named_are_numbers(tmp_path):
    net = hub.network("bert", labels=("LABEL_0", "LABEL_1"))
    assert bq.load(hub.write(tmp_path / "bert", net)).classes == (0, 1)


def test_the_licence_of_the_model_card_is_known(tmp_path):
    folder = text_folder(tmp_path)
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# It\n")
    assert bq.load(folder).card.licence == "mit"


def test_texts_of_any_length_are_read(tmp_path):
    model = bq.load(text_folder(tmp_path))
    texts = ["", " ", "good " * 200_000, "x" * 10**6, "\0", "😀"]
    assert np.isfinite(model.predict_proba(texts)).all()
    np.testing.assert_allclose(
        model.predict_proba(["good " * 22, "good " * 500])[0],
        model.predict_proba(["good " * 500])[0],
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", ["bert", "gpt2", "bart"])
def test_a_tuned_classifier_survives_the_disk_and_transformers_reads_it(tmp_path, kind):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging as chatter

    source = bq.load(text_folder(tmp_path, kind))
    tuned = FineTune(steps=5).fit([bq.Source(source)], TASK, rng=np.random.default_rng(0))
    tuned.save(tmp_path / "tuned")
    again = bq.load(tmp_path / "tuned")
    assert (again.classes, again.card) == (("new", "no", "yes"), tuned.card)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), tuned.predict_proba(TEXTS))

    chatter.set_verbosity_error()
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
    assert theirs.config.id2label == {0: "new", 1: "no", 2: "yes"}
    if kind == "gpt2":  # its head has no bias there, ours was tuned with one
        theirs.score.bias = again.module.network.score.bias
    given = AutoTokenizer.from_pretrained(tmp_path / "tuned")(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        logits = theirs(given["input_ids"], attention_mask=given["attention_mask"]).logits
    np.testing.assert_allclose(logits.softmax(-1), tuned.predict_proba(TEXTS[:1]), atol=1e-6)


def test_a_tuned_body_survives_the_disk_and_transformers_reads_its_body(tmp_path):
    from transformers import AutoModel
    from transformers.utils import logging as chatter

    source = bq.load(text_folder(tmp_path, head=""))
    tuned = FineTune(steps=5).fit([bq.Source(source)], TASK, rng=np.random.default_rng(0))
    tuned.save(tmp_path / "tuned")
    again = bq.load(tmp_path / "tuned")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), tuned.predict_proba(TEXTS))

    chatter.set_verbosity_error()
    theirs = AutoModel.from_pretrained(tmp_path / "tuned").state_dict()
    for name, tensor in tuned.module.network.state_dict().items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_tuned_network_of_images_survives_the_disk(tmp_path, kind):
    task = bq.Task.from_arrays(np.tile(IMAGES, (4, 1, 1, 1)), [*"abcde"] * 4)
    for head in ("IMAGE_CLASSIFICATION", ""):
        source = bq.load(image_folder(tmp_path / head, kind, head=head))
        tuned = FineTune(steps=3, probe_first=True).fit(
            [bq.Source(source)], task, rng=np.random.default_rng(0)
        )
        tuned.save(tmp_path / f"tuned{head}")
        again = bq.load(tmp_path / f"tuned{head}")
        np.testing.assert_array_equal(again.predict_proba(IMAGES), tuned.predict_proba(IMAGES))


def test_a_value_keeps_its_unit_on_the_disk(tmp_path):
    task = bq.Task.from_text(TEXTS * 3, [1000.5, 2000, 3000, 4000] * 3)
    source = bq.load(text_folder(tmp_path))
    tuned = FineTune(steps=3).fit([bq.Source(source)], task, rng=np.random.default_rng(0))
    tuned.save(tmp_path / "tuned")
    np.testing.assert_array_equal(bq.load(tmp_path / "tuned").predict(TEXTS), tuned.predict(TEXTS))
    assert 500 < tuned.predict(TEXTS).mean() < 5000


def test_probe_and_reuse_of_such_a_model_survive_the_disk(tmp_path):
    source = bq.load(text_folder(tmp_path))
    known = bq.Task.from_text(TEXTS, ["yes", "no", "no", "yes"])
    for place, (method, task) in enumerate([(Probe(), TASK), (Reuse(), known)]):
        model = method.fit([bq.Source(source)], task, rng=np.random.default_rng(0))
        model.save(tmp_path / str(place))
        again = bq.load(tmp_path / str(place)).predict_proba(TEXTS)
        np.testing.assert_allclose(again, model.predict_proba(TEXTS), atol=1e-9)


def test_a_race_with_a_body_and_a_classifier_as_sources(tmp_path):
    sources = [bq.load(text_folder(tmp_path)), bq.load(text_folder(tmp_path / "b", "gpt2", ""))]
    assert {entry.reason for entry in bq.rank(sources, TASK)} == {""}
    result = bq.transfer(TASK, sources, methods=["probe", "reuse", FineTune(steps=3)], budget=None)
    assert any("no head" in note for note in result.outcome.notes)
    result.model.save(tmp_path / "handed over")
    again = bq.load(tmp_path / "handed over")
    assert again.predict(TEXTS).tolist() == result.model.predict(TEXTS).tolist()


def test_a_hub_keeps_such_a_model(tmp_path):
    model = bq.load(text_folder(tmp_path))
    store = bq.Hub(tmp_path / "hub")
    store.publish(model, "films/bert", licence="MIT")
    store.publish(tmp_path / "bert", "films/folder", licence="MIT")
    np.testing.assert_array_equal(store.pull("films/folder").output(TEXTS), model.output(TEXTS))
    np.testing.assert_array_equal(store.pull("films/bert").output(TEXTS), model.output(TEXTS))


def test_a_changed_file_of_a_saved_folder_is_noticed(tmp_path):
    bq.load(text_folder(tmp_path)).save(tmp_path / "ours")
    with (tmp_path / "ours" / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ModelError, match="altered"):
        bq.load(tmp_path / "ours")


def test_nothing_but_one_line_reaches_the_terminal(tmp_path):
    folder = text_folder(tmp_path, head="MASKED_LM")
    code = f"import bequest as bq; bq.load({str(folder)!r}).features(['good'])"
    python = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(python, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1)
    assert done.stderr.startswith("bert: left out, no part of BertModel: cls.predictions")


def test_loading_leaves_the_settings_of_transformers_and_randomness_alone(tmp_path):
    from transformers.utils import logging as chatter

    folder = text_folder(tmp_path)
    before = chatter.get_verbosity(), chatter.is_progress_bar_enabled(), torch.get_rng_state()
    bq.load(folder)
    assert before[:2] == (chatter.get_verbosity(), chatter.is_progress_bar_enabled())
    assert torch.equal(before[2], torch.get_rng_state())


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, UnsafeModel, "code of its own"),
        ({"text_config": {"auto_map": {"A": "evil.Model"}}}, UnsafeModel, "code of its own"),
        ({"use_pretrained_backbone": True}, UnsafeModel, "weights from elsewhere"),
        ({"quantization_config": {"bits": 4}}, ModelError, "quantised"),
        ({"model_type": "never-heard-of"}, ModelError, "does not know"),
        ({"model_type": ["bert"]}, ModelError, "no model_type"),
        ({"id2label": {"0": "a", "1": "b"}}, ModelError, r"stores classifier.* \(3"),
        ({"id2label": {"0": "a", "1": "a", "2": "b"}}, ModelError, "alike"),
        ({"id2label": {"0": "a", "1": "b", "7": "c"}}, ModelError, "id2label"),
        ({"id2label": [1, 2, 3]}, ModelError, "says id2label"),
        ({"problem_type": "multi_label_classification"}, ModelError, "several labels"),
        ({"hidden_size": 32}, ModelError, "stores"),
        ({"hidden_size": -1}, ModelError, "hidden_size = -1"),
        ({"hidden_size": "many"}, ModelError, "no network"),
        ({"hidden_act": "evil"}, ModelError, "no network"),
        ({"num_hidden_layers": 10**9}, ModelError, "num_hidden_layers = 1000000000"),
        ({"num_hidden_layers": 3}, ModelError, "missing"),
        ({"vocab_size": 10**12}, ModelError, "describes"),
        ({"architectures": ["It"], "model_type": "wav2vec2"}, ModelError, "a It: classifiers and"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_config_that_is_unsafe_or_wrong_is_one_line(tmp_path, values, error, said):
    folder = change(text_folder(tmp_path), **values)
    with pytest.raises(error, match=said) as caught:
        bq.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_foreign_attention_kernel_is_not_asked_for(tmp_path):
    folder = change(text_folder(tmp_path), attn_implementation="kernels-community/evil")
    network = bq.load(folder).module.network
    assert "kernels" not in str(network.config._attn_implementation)


def damage(folder, how):
    weights = folder / "model.safetensors"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "NaN":
        tensors = load_file(weights)
        tensors["classifier.bias"] += float("nan")
        save_file(tensors, weights)
    elif how == "pickle only":
        weights.rename(folder / "pytorch_model.bin")
    elif how == "no weights":
        weights.unlink()
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif how == "binary tokenizer":
        (folder / "tokenizer.json").write_bytes(b"\xff\xfe\0")
    elif how == "other tokenizer":
        made = hub.tokenizer()
        made.add_tokens(["more"])
        text = json.loads(made.to_str())
        text["model"]["vocab"]["far"] = 10**6
        (folder / "tokenizer.json").write_text(json.dumps(text))
    elif how == "panics":  # its authors' code is in Rust, whose panics are no Exception
        told = json.loads(hub.tokenizer().to_str())
        told["post_processor"]["special_tokens"] = {}
        (folder / "tokenizer.json").write_text(json.dumps(told))
    elif how == "huge tokenizer":
        with (folder / "tokenizer.json").open("wb") as file:
            file.truncate(10**9)  # takes no room on the disk
    else:
        (folder / "tokenizer.json").write_text(how)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("truncated", ModelError, "truncated"),
        ("NaN", ModelError, "NaN"),
        ("pickle only", UnsafeModel, "bequest convert"),
        ("no weights", ModelError, "no weights"),
        ("no tokenizer", ModelError, "has no tokenizer.json"),
        ("binary tokenizer", ModelError, "not UTF-8"),
        ("other tokenizer", ModelError, "not of one model"),
        ("huge tokenizer", ModelError, "at most"),
        ("garbage", ModelError, "cannot be read"),
        ("{}", ModelError, "cannot be read"),
        ('{"model": {"type": "WordLevel"}}', ModelError, "cannot be read"),
        ("[" * 100_000, ModelError, "cannot be read"),
        ("panics", ModelError, "cannot be read"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_damaged_file_is_one_line(tmp_path, how, error, said):
    folder = text_folder(tmp_path)
    damage(folder, how)
    with pytest.raises(error, match=said) as caught:
        bq.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../../x.safetensors", "/etc/passwd", "a/b.safetensors", 3, "x.bin", ".x.safetensors"]
)
def test_an_index_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    folder = text_folder(tmp_path, shards=2)
    change(folder, "model.safetensors.index.json", weight_map={"bert.x": name})
    with pytest.raises(UnsafeModel, match="outside of the folder"):
        bq.load(folder)


@pytest.mark.parametrize("values", [{"weight_map": {}}, {"weight_map": [1]}])
def test_an_index_that_is_none_is_refused(tmp_path, values):
    folder = change(text_folder(tmp_path, shards=2), "model.safetensors.index.json", **values)
    with pytest.raises(ModelError, match="weight_map"):
        bq.load(folder)


def test_a_shard_that_holds_other_tensors_than_the_index_says_is_refused(tmp_path):
    folder = text_folder(tmp_path, shards=2)
    shard = next(folder.glob("model-00001*"))
    save_file({"bert.surprise": torch.ones(1)}, shard)
    with pytest.raises(ModelError, match="other tensors than the index says"):
        bq.load(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"size": {"height": 0, "width": 16}},
        {"size": {"height": 10**9, "width": 10**9}},
        {"size": "big"},
        {"size": 1e308},
        {"image_std": [0.0, 1.0, 1.0]},
        {"image_mean": [0.5, 0.5]},
        {"image_mean": None},
        {"image_std": [float("nan")] * 3},
    ],
    ids=str,
)
def test_an_impossible_preparation_of_images_is_one_line(tmp_path, values):
    folder = change(image_folder(tmp_path), "preprocessor_config.json", **values)
    with pytest.raises(ModelError, match="does not say how images are prepared") as caught:
        bq.load(folder)
    assert len(str(caught.value)) < 400


def test_a_network_of_images_without_its_preparation_is_refused(tmp_path):
    folder = image_folder(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"no preprocessor_config\.json"):
        bq.load(folder)


def test_a_network_in_memory_is_wrapped_with_its_tokenizer(tmp_path):
    from transformers import PreTrainedTokenizerFast

    net = hub.network("bert")
    fast = PreTrainedTokenizerFast(tokenizer_object=hub.tokenizer(), pad_token="[PAD]")
    model = bq.wrap(net, processor=fast, name="films")
    loaded = bq.load(hub.write(tmp_path / "bert", net))
    assert (model.classes, model.name) == (loaded.classes, "films")
    np.testing.assert_allclose(model.output(TEXTS), loaded.output(TEXTS), atol=1e-6)
    model.save(tmp_path / "films")
    np.testing.assert_array_equal(bq.load(tmp_path / "films").output(TEXTS), model.output(TEXTS))
    assert bq.wrap(net, processor=fast, classes=["x", "y", "z"]).classes == ("x", "y", "z")
    with pytest.raises(ModelError, match="3 outputs, 2 classes"):
        bq.wrap(net, processor=fast, classes=["x", "y"])
    with pytest.raises(ModelError, match="processor="):
        bq.wrap(net)


@pytest.mark.parametrize("headed", [True, False])
def test_a_network_in_memory_stays_as_it_was(tmp_path, headed):
    from transformers import PreTrainedTokenizerFast

    net = hub.network("bert")
    net = (net if headed else net.bert).train()
    net.encoder.layer[0].eval() if not headed else net.classifier.eval()
    next(net.parameters()).requires_grad_(False)
    fast = PreTrainedTokenizerFast(tokenizer_object=hub.tokenizer(), pad_token="[PAD]")
    before = state_of(net)
    model = bq.wrap(net, processor=fast, name="films", batch_size=2)
    model.features(TEXTS)
    assert isinstance(model, Trains)
    assert isinstance(model, Predicts) == headed
    model.save(tmp_path / "films")
    assert state_of(net) == before
    again = bq.load(tmp_path / "films")
    assert (type(again), again.batch_size) == (type(model), 2)
    assert not any(part.training for part in again.module.modules())
    np.testing.assert_allclose(again.features(TEXTS), model.features(TEXTS), atol=1e-6)


def test_a_class_that_is_not_transformers_own_works_and_is_not_saved(tmp_path):
    from transformers import PreTrainedTokenizerFast

    net = hub.network("bert")
    net.__class__ = type("OwnForSequenceClassification", (type(net),), {"__module__": "mine"})
    fast = PreTrainedTokenizerFast(tokenizer_object=hub.tokenizer())
    model = bq.wrap(net, processor=fast)
    assert model.predict(TEXTS).shape == (4,)
    with pytest.raises(ModelError, match="no class of transformers' own"):
        model.save(tmp_path / "model")


def test_a_plain_module_takes_no_processor():
    with pytest.raises(ModelError, match="takes no processor"):
        bq.wrap(torch.nn.Linear(2, 2), processor=hub.tokenizer())


@pytest.mark.parametrize("pooling", ["mean", "first", "last", None])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_the_features_of_a_language_model_are_those_of_the_tokens_that_were_asked_for(
    tmp_path, kind, pooling
):
    net = hub.network(kind, "MASKED_LM" if kind == "bert" else "CAUSAL_LM")
    model = bq.load(hub.write(tmp_path / kind, net), pooling=pooling)
    take = {"first": lambda rows: rows[0], "last": lambda rows: rows[-1]}.get(
        pooling, lambda rows: rows.mean(0)
    )
    encoded = [hub.tokenizer().encode(text).ids for text in TEXTS]
    with torch.no_grad():
        hidden = [net.base_model(torch.tensor([ids])).last_hidden_state[0] for ids in encoded]
    wanted = torch.stack([take(rows) for rows in hidden])
    np.testing.assert_allclose(model.features(TEXTS), wanted, atol=1e-5)
    model.save(tmp_path / "copy")
    again = bq.load(tmp_path / "copy")
    np.testing.assert_array_equal(again.features(TEXTS), model.features(TEXTS))
    tuned = FineTune(steps=2).fit([bq.Source(model)], TASK, rng=np.random.default_rng(0))
    tuned.save(tmp_path / "tuned")
    np.testing.assert_array_equal(
        bq.load(tmp_path / "tuned").predict_proba(TEXTS), tuned.predict_proba(TEXTS)
    )


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "bloom", "qwen2"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("direction", ["left", "right"])
def test_padding_does_not_change_the_features_of_a_decoder(
    tmp_path, kind, pooling, direction, monkeypatch
):
    rest = {"word_embed_proj_dim": 16, "ffn_dim": 32} if kind == "opt" else {}
    rest |= {"num_key_value_heads": 1} if kind == "qwen2" else {}
    rest |= {"n_head": 2, "n_layer": 2} if kind == "bloom" else {}
    monkeypatch.setitem(hub.TEXTS, kind, {**hub.SIZE, **hub.TEXTS.get(kind, {}), **rest})
    folder = hub.write(tmp_path / kind, hub.network(kind, "CAUSAL_LM", labels=()))
    tokenizer = hub.tokenizer()
    tokenizer.enable_padding(direction=direction, length=20)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"padding_side": direction}))
    model = bq.load(folder, pooling=pooling)
    alone = np.concatenate([model.features([text]) for text in TEXTS])
    np.testing.assert_allclose(model.features(TEXTS), alone, atol=1e-5)


def test_a_pooling_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ModelError, match="pooling is mean, first, last or None, not 'max'"):
        bq.load(text_folder(tmp_path, head=""), pooling="max")
    with pytest.raises(ModelError, match="without a head: pooling= is for those"):
        bq.load(text_folder(tmp_path), pooling="mean")
    with pytest.raises(ModelError, match="without a head: pooling= is for those"):
        bq.load(image_folder(tmp_path, head=""), pooling="last")
    bq.load(text_folder(tmp_path / "b", head="")).save(tmp_path / "ours")
    with pytest.raises(ModelError, match="load it without pooling="):
        bq.load(tmp_path / "ours", pooling="last")


@pytest.mark.parametrize("pooling", ["mean", "first", "last", None])
def test_a_network_that_is_wrapped_is_pooled_as_one_that_is_loaded(tmp_path, pooling):
    from transformers import PreTrainedTokenizerFast

    net = hub.network("gpt2", "", labels=())
    tokens = PreTrainedTokenizerFast(tokenizer_object=hub.tokenizer(), model_max_length=24)
    model = bq.wrap(net, processor=tokens, pooling=pooling)
    loaded = bq.load(hub.write(tmp_path / "gpt2", net), pooling=pooling)
    np.testing.assert_array_equal(model.features(TEXTS), loaded.features(TEXTS))
    model.save(tmp_path / "saved")
    again = bq.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.features(TEXTS), model.features(TEXTS))
    headed = hub.network("gpt2")
    for trained, given in ((headed, tokens), (torch.nn.Linear(2, 2), None), (len, None)):
        with pytest.raises(ModelError, match=r"without a head: pooling= is|takes no pooling"):
            bq.wrap(trained, processor=given, pooling=pooling or "last")
    with pytest.raises(ModelError, match="pooling is mean, first, last or None, not 'max'"):
        bq.wrap(net, processor=tokens, pooling="max")


def test_sources_of_the_command_line_are_pooled_as_asked(tmp_path, capsys):
    from bequest.cli._sources import SourceOptions, read_sources

    folder = hub.write(tmp_path / "gpt2", hub.network("gpt2", "CAUSAL_LM"))
    [plain] = read_sources(SourceOptions(source=(folder,)))
    [last] = read_sources(SourceOptions(source=(folder,), pooling="last"))
    wanted = bq.load(folder, pooling="last").features(TEXTS)
    np.testing.assert_array_equal(last.model.features(TEXTS), wanted)
    assert np.abs(plain.model.features(TEXTS) - wanted).max() > 1e-3
    lines = [
        "text,label",
        *(f"{text},{label}" for text, label in zip(TEXTS * 5, "abcd" * 5, strict=True)),
    ]
    (tmp_path / "few.csv").write_text("\n".join(lines).replace("film ,", "film"))
    data = ["rank", str(tmp_path / "few.csv"), "--text", "text", "--target", "label"]
    for source, pooling, code, said in (
        (["--source", str(folder)], "last", 0, "gpt2"),
        (["--source", str(folder)], "max", 2, "max"),
        (["--source", "all-minilm-l6-v2"], "last", 1, "without pooling="),
        (["--hub", str(tmp_path / "hub")], "last", 2, "--pooling goes with --source"),
    ):
        assert run([*data, *source, "--pooling", pooling]) == code
        told = capsys.readouterr()
        assert said in told.out + told.err


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("bert", {"hidden_size": 0}, "config.json says hidden_size = 0: it is 1 or more"),
        ("bert", {"vocab_size": -1}, "config.json says vocab_size = -1: it is 1 or more"),
        ("bert", {"num_hidden_layers": -1}, "says num_hidden_layers = -1: it is 1 or more"),
        ("bert", {"max_position_embeddings": -1}, "max_position_embeddings = -1: it is 0 or more"),
        ("bert", {"num_attention_heads": 3}, "16.* is not a multiple of .* attention heads .3"),
        ("bert", {"hidden_act": "evil"}, "hidden_act = 'evil' is no activation that transformers"),
        ("bert", {"hidden_size": "big"}, "hidden_size = 'big', where int is wanted"),
        ("bert", {"id2label": 5}, "config.json says id2label = 5"),
        ("bert", {"id2label": float("nan")}, "config.json says id2label = NaN"),
        ("gpt2", {"activation_function": "evil"}, "activation_function = 'evil' is no activation"),
        ("llama", {"rope_scaling": {"type": "evil"}}, "rope_scaling.type = 'evil' is none that"),
    ],
)
def test_an_impossible_config_is_refused_by_the_setting(tmp_path, kind, values, said):
    folder = text_folder(tmp_path, kind, **values)
    with pytest.raises(ModelError, match=said) as refused:
        bq.load(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("values", [{"hidden_sizes": []}, {"depths": [1, 0]}])
def test_an_impossible_config_of_an_image_network_is_refused_by_the_setting(tmp_path, values):
    folder = image_folder(tmp_path, "resnet")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    with pytest.raises(ModelError, match=f"says {next(iter(values))} = .*: it is 1 or more"):
        bq.load(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "names neither a format, as bequest.s model.save does, nor a model_type"),
        ("[]", r"holds no object of names and values, but \[\]"),
        ("null", "holds no object of names and values, but None"),
    ],
)
def test_a_config_that_says_nothing_is_told_so(tmp_path, text, said):
    folder = text_folder(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=said):
        bq.load(folder)
