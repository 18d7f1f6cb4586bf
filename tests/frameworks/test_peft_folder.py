"""Adapters of peft: `bq.load(folder, base=...)`, against peft's own forward."""

import json
import logging
import shutil
import warnings

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

import bequest as bq
from bequest.errors import ModelError, UnsafeModel

TEXTS = ["a b c", "c", "b a a c b"]
NUMBERS = torch.tensor([[2, 3, 4, 0, 0], [4, 0, 0, 0, 0], [3, 2, 2, 4, 3]])
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
SIZES = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}


def network(kind="BertModel", seed=0, **config):
    torch.manual_seed(seed)
    settings = transformers.BertConfig(**{**SIZES, "intermediate_size": 12, **config})
    return getattr(transformers, kind)(settings).eval()


def folder_of(made, place):
    made.save_pretrained(place)
    names = {name: number for number, name in enumerate(["[PAD]", "[UNK]", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(place / "tokenizer.json"))
    return place


def adapted(made, place, **settings):
    """An adapter on a network, every tensor of it away from zero, in a folder; peft's network."""
    given = {"r": 3, "lora_alpha": 7, "target_modules": ["query", "value", "dense"], **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        wrapped = peft.get_peft_model(made, peft.LoraConfig(**given)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.copy_(torch.randn_like(weight) * 0.3)
    wrapped.save_pretrained(place)
    config = json.loads((place / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "org/base"
    (place / "adapter_config.json").write_text(json.dumps(config))
    return wrapped


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"use_rslora": True}, {"rank_pattern": {"value": 2}},
        {"alpha_pattern": {"attention.self.query": 20}}, {"target_modules": ["value"]},
    ],
)  # fmt: skip
def test_features_are_those_of_peft(tmp_path, settings):
    base = folder_of(network(), tmp_path / "base")
    wrapped = adapted(network(), tmp_path / "adapter", **settings)
    with torch.no_grad():
        hidden = wrapped(input_ids=NUMBERS, attention_mask=MASK).last_hidden_state
    expected = (hidden * MASK[..., None]).sum(1) / MASK.sum(1, keepdim=True)
    model = bq.load(tmp_path / "adapter", base=base)
    np.testing.assert_allclose(model.features(TEXTS), expected, atol=1e-5)
    plain = bq.load(base)
    assert np.abs(plain.features(TEXTS) - model.features(TEXTS)).max() > 0.01
    assert model.card.parents == ("base",)
    model.save(tmp_path / "merged")  # a whole model, which needs neither peft nor a base
    np.testing.assert_allclose(bq.load(tmp_path / "merged").features(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    "stored", ["BertForSequenceClassification", "BertModel", "BertForMaskedLM"]
)
def test_a_classifier_that_was_trained_with_it_comes_along(tmp_path, stored):
    whole = network("BertForSequenceClassification", num_labels=3)
    if stored == "BertForMaskedLM":
        base_network = network("BertForMaskedLM")
        base_network.bert.load_state_dict(whole.bert.state_dict(), strict=False)
    else:
        base_network = whole if stored == whole.__class__.__name__ else whole.bert
    base = folder_of(base_network, tmp_path / "base")
    wrapped = adapted(whole, tmp_path / "adapter", task_type="SEQ_CLS")
    if stored == "BertForMaskedLM":  # which has no pooler: there is no such classifier of it
        with pytest.raises(ModelError, match=r"it has no bert\.pooler"):
            bq.load(tmp_path / "adapter", base=base)
        return
    with torch.no_grad():
        expected = wrapped(input_ids=NUMBERS, attention_mask=MASK).logits.softmax(1)
    model = bq.load(tmp_path / "adapter", base=base)
    np.testing.assert_allclose(model.predict_proba(TEXTS), expected, atol=1e-5)
    assert model.classes == (0, 1, 2)
    model.save(tmp_path / "merged")
    again = bq.load(tmp_path / "merged")
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-5)


def test_a_transposed_layer_is_changed_the_right_way_round(tmp_path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=30, n_embd=8, n_layer=1, n_head=2, n_inner=8, pad_token_id=0
    )
    made = transformers.GPT2Model(config).eval()
    base = folder_of(made, tmp_path / "base")
    wrapped = adapted(
        made, tmp_path / "adapter", target_modules=["c_proj", "c_attn"], fan_in_fan_out=True
    )
    with torch.no_grad():
        hidden = wrapped(input_ids=NUMBERS, attention_mask=MASK).last_hidden_state
    expected = (hidden * MASK[..., None]).sum(1) / MASK.sum(1, keepdim=True)
    found = bq.load(tmp_path / "adapter", base=base).features(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture
def pair(tmp_path):
    base = folder_of(network(), tmp_path / "base")
    adapted(network(), tmp_path / "adapter")
    return base, tmp_path / "adapter"


def test_without_a_base_it_says_which_one_it_wants(pair):
    with pytest.raises(ModelError, match=r"is an adapter of org/base .*not fetched.*base=\.\.\."):
        bq.load(pair[1])


def test_the_base_is_left_as_it_was(pair):
    base = bq.load(pair[0])
    before = base.features(TEXTS)
    bq.load(pair[1], base=base)
    assert np.array_equal(bq.load(pair[0]).features(TEXTS), before)
    assert np.array_equal(base.features(TEXTS), before)


def test_another_name_is_warned_of_and_the_same_is_not(pair, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        bq.load(pair[1], base=pair[0])
        assert "was made on" not in caplog.text
        other = shutil.copytree(pair[0], tmp_path / "other")
        bq.load(pair[1], base=other)
    assert "was made on org/base and is put on other" in caplog.text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hidden_size": 16}, "adapter changes"),
        ({"num_hidden_layers": 1}, "no encoder.layer.1"),
    ],
)
def test_another_base_is_refused_by_name(pair, tmp_path, config, said):
    other = folder_of(network(**config), tmp_path / "other")
    with pytest.raises(ModelError, match=said) as refused:
        bq.load(pair[1], base=other)
    assert "is an adapter of org/base; the base given, 'other', is another" in str(refused.value)


def test_a_base_that_is_no_network_of_transformers_is_refused(pair):
    with pytest.raises(ModelError, match="is no network of transformers"):
        bq.load(pair[1], base=bq.wrap(torch.nn.Linear(2, 2), classes=["a", "b"]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, "kind 'IA3': LORA is read"),
        ({"peft_type": None}, "LORA is read"),
        ({"use_dora": True}, "uses use_dora, which is not read"),
        ({"bias": "all"}, "uses bias, which is not read"),
        ({"lora_alpha": "8"}, "lora_alpha is '8', no number"),
        ({"lora_alpha": True}, "lora_alpha is True"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "is no plain name"),
    ],
)
def test_what_is_not_read_is_refused_by_name(pair, changes, said):
    path = pair[1] / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelError) as refused:
        bq.load(pair[1], base=pair[0])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("encoder.x", "which is no tensor of a LoRA adapter"),
        ("base_model.model.a.lora_embedding_A", "which is not read"),
        ("base_model.model.a.lora_A.weight", "one factor only of a"),
        ("base_model.model.embeddings.word_embeddings.weight", "replaces embeddings.word"),
    ],
)
def test_other_tensors_are_refused_by_name(pair, name, said):
    path = pair[1] / "adapter_model.safetensors"
    save_file({**load_file(path), name: torch.zeros(2, 2)}, path)
    with pytest.raises(ModelError, match=said):
        bq.load(pair[1], base=pair[0])


def test_weights_that_are_a_pickle_or_missing_are_one_line(pair):
    (pair[1] / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors"):
        bq.load(pair[1], base=pair[0])
    torch.save({}, pair[1] / "adapter_model.bin")
    with pytest.raises(UnsafeModel, match="bequest convert"):
        bq.load(pair[1], base=pair[0])


def test_a_whole_model_takes_no_base(pair):
    with pytest.raises(ModelError, match="is a whole model, no adapter"):
        bq.load(pair[0], base=pair[0])


@pytest.fixture
def server(tmp_path, monkeypatch):
    import huggingface_hub
    from tests.frameworks.hub_server import on_this_machine

    with on_this_machine(tmp_path, monkeypatch) as made:
        yield made
        huggingface_hub.close_session()


def test_the_base_is_taken_from_the_cache_of_the_hub_and_never_fetched(server, tmp_path):
    base = folder_of(network(), tmp_path / "base")
    commit = server.add("org/base", base)
    adapted(network(), tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"is an adapter of org/base .* name on the Hub"):
        bq.load(tmp_path / "adapter")
    assert not server.asked
    bq.load("hf://org/base")
    asked = len(server.asked)
    found = bq.load(tmp_path / "adapter")
    assert len(server.asked) == asked
    assert found.card.parents == (f"hf://org/base@{commit}",)
    wanted = bq.load(tmp_path / "adapter", base=base).features(TEXTS)
    np.testing.assert_array_equal(found.features(TEXTS), wanted)
    [weights] = (tmp_path / "cache").rglob("snapshots/*/model.safetensors")
    weights.resolve().unlink()
    with pytest.raises(ModelError, match="is not in the cache as a whole"):
        bq.load(tmp_path / "adapter")
    assert len(server.asked) == asked


@pytest.mark.parametrize("name", ["../base", "/etc", "a/b/c", "", None, 3, "org/base@../x"])
def test_a_base_whose_name_is_none_of_the_hub_is_not_looked_for(tmp_path, monkeypatch, name):
    base = folder_of(network(), tmp_path / "base")
    adapted(network(), tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": name})
    )
    monkeypatch.chdir(tmp_path / "adapter")
    with pytest.raises(ModelError, match="predicts nothing without it"):
        bq.load(tmp_path / "adapter")
    bq.load(tmp_path / "adapter", base=base)


def test_a_hub_finds_the_base_by_its_name(tmp_path):
    base = bq.load(folder_of(network(), tmp_path / "base"))
    adapted(network(), tmp_path / "adapter")
    store = bq.Hub(tmp_path / "hub")
    with pytest.raises(ModelError, match="is an adapter of org/base"):
        store.publish(tmp_path / "adapter", "adapted", licence="MIT")
    other = bq.load(folder_of(network(seed=5), tmp_path / "other"))
    store.publish(other, "other", licence="MIT")
    store.publish(base, "org/base", licence="MIT")
    store.publish(tmp_path / "adapter", "adapted", licence="MIT")
    wanted = bq.load(tmp_path / "adapter", base=base).features(TEXTS)
    np.testing.assert_array_equal(store.pull("adapted").features(TEXTS), wanted)
