"""Folders of sentence-transformers give the features that this library gives, or are refused."""

import json
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import bequest as bq
from bequest.errors import ModelError, NotApplicable, UnsafeModel
from bequest.methods.fine_tune import FineTune
from bequest.methods.probe import Probe

sys.path.insert(0, str(Path(__file__).parent))
import hub_folders as hub

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import (
        CNN,
        Dropout,
        LayerNorm,
        Pooling,
    )

TEXTS = ["a good film", "", "bad", "The VERY bad film a few words", "good " * 40, "unheard", "the"]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
LENGTH = 12
OLD_KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def transformer(place, kind="bert", length=LENGTH, **settings):
    """The Transformer module of a tiny network."""
    from transformers import PreTrainedTokenizerFast

    config = settings.pop("config", {})
    folder = hub.write(place / "plain", hub.network(kind, "", labels=(), **config))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=hub.tokenizer(), **special)
    fast.save_pretrained(folder)
    return Transformer(str(folder), max_seq_length=length, **settings)


def written(place, *modules, **about):
    """The folder that sentence-transformers writes, and the model that it reads from there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = place / "made"
        SentenceTransformer(modules=[*modules], device="cpu", **about).save(str(folder))
    return folder


def theirs(folder, texts=TEXTS):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SentenceTransformer(str(folder), device="cpu").encode(texts)


def check_equal(folder, texts=TEXTS):
    wanted = theirs(folder, texts)
    features = bq.load(folder).features(texts)
    assert features.shape == wanted.shape
    np.testing.assert_allclose(features, wanted, atol=1e-5)


def change(path, **values):
    told = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**told, **values}))


def in_old_style(folder):
    """The same folder as versions 2 to 4 of the library wrote it."""
    path = folder / "modules.json"
    entries = json.loads(path.read_text())
    for entry in entries:
        name = entry["type"].rpartition(".")[2]
        entry["type"] = f"sentence_transformers.models.{name}"
        config = folder / entry["path"] / "config.json"
        if name == "Pooling":
            told = json.loads(config.read_text())
            modes = told.pop("pooling_mode")
            modes = [modes] if isinstance(modes, str) else modes
            told["word_embedding_dimension"] = told.pop("embedding_dimension")
            config.write_text(json.dumps({**told, **{k: m in modes for m, k in OLD_KEYS.items()}}))
        if name == "Normalize":
            shutil.rmtree(folder / entry["path"])  # which had no settings, and no folder on the Hub
    path.write_text(json.dumps(entries))
    length = {"max_seq_length": LENGTH, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(length))
    return folder


@pytest.mark.parametrize("modes", [*MODES, ("cls", "max", "mean"), tuple(MODES)], ids=str)
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_every_way_to_pool_gives_what_the_library_gives(tmp_path, modes, old):
    folder = written(tmp_path, transformer(tmp_path), Pooling(16, pooling_mode=modes), Normalize())
    check_equal(in_old_style(folder) if old else folder)


@pytest.mark.parametrize("modes", [*MODES, tuple(MODES)], ids=str)
@pytest.mark.parametrize("include", [True, False])
def test_the_default_prompt_stands_before_every_text(tmp_path, modes, include):
    pooling = Pooling(16, pooling_mode=modes, include_prompt=include)
    prompts = {"query": "the very ", "other": "few "}
    about = {"prompts": prompts, "default_prompt_name": "query"}
    folder = written(tmp_path, transformer(tmp_path), pooling, **about)
    check_equal(folder)
    change(folder / "config_sentence_transformers.json", default_prompt_name=None)
    check_equal(folder)


def test_a_prompt_of_unknown_words_is_counted_as_the_library_counts_it(tmp_path):
    pooling = Pooling(16, pooling_mode="mean", include_prompt=False)
    about = {"prompts": {"it": "the unheard"}, "default_prompt_name": "it"}
    check_equal(written(tmp_path, transformer(tmp_path), pooling, **about))


@pytest.mark.parametrize(
    "activation",
    [torch.nn.Tanh(), torch.nn.Identity(), torch.nn.GELU(), torch.nn.PReLU(), torch.nn.ReLU6()],
    ids=lambda made: type(made).__name__,
)
@pytest.mark.parametrize("bias", [True, False])
def test_dense_layers_are_honoured_with_their_activation(tmp_path, activation, bias):
    torch.manual_seed(0)
    dense = Dense(16, 5, activation_function=activation, bias=bias)
    check_equal(written(tmp_path, transformer(tmp_path), Pooling(16), dense, Normalize()))


def test_layers_of_all_kinds_follow_each_other(tmp_path):
    torch.manual_seed(0)
    chain = [
        transformer(tmp_path),
        Dense(16, 8, module_input_name="token_embeddings"),
        Normalize(module_input_name="token_embeddings"),
        Pooling(8, pooling_mode=("mean", "max")),
        Dropout(0.3),
        LayerNorm(16),
        Dense(16, 16, use_residual=True),
        Dense(16, 6, use_residual=True, activation_function=torch.nn.Sigmoid()),
    ]
    check_equal(written(tmp_path, *chain))
    check_equal(in_old_style(tmp_path / "made"))


def test_the_first_features_are_kept_where_the_folder_says_so(tmp_path):
    folder = written(tmp_path, transformer(tmp_path), Pooling(16), truncate_dim=5)
    assert bq.load(folder).features(TEXTS).shape == (7, 5)
    check_equal(folder)


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "modernbert", "gpt2", "llama"])
@pytest.mark.parametrize("mode", ["mean", "lasttoken"])
def test_every_kind_of_network_gives_what_the_library_gives_alone(tmp_path, kind, mode):
    folder = written(tmp_path, transformer(tmp_path, kind), Pooling(16, pooling_mode=mode))
    model = bq.load(folder)
    for text in TEXTS:
        np.testing.assert_allclose(model.features([text]), theirs(folder, [text]), atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_on_either_side_does_not_change_features(tmp_path, side):
    folder = written(tmp_path, transformer(tmp_path, "gpt2"), Pooling(16, pooling_mode="lasttoken"))
    change(folder / "tokenizer_config.json", padding_side=side)
    model = bq.load(folder)
    alone = np.concatenate([model.features([text]) for text in TEXTS])
    np.testing.assert_allclose(model.features(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(
        alone, np.concatenate([theirs(folder, [text]) for text in TEXTS]), atol=1e-5
    )


@pytest.mark.parametrize("length", [2, 5, 23, None])
def test_texts_are_cut_where_the_folder_says(tmp_path, length):
    folder = written(tmp_path, transformer(tmp_path, length=length), Pooling(16))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    check_equal(folder, [" ".join(hub.WORDS[4:] * 6), "good film", "good" + " " * 9000 + "film"])
    assert bq.load(folder).encoder.length == (length or 24)  # the network has 24 places


def test_a_longer_text_than_512_tokens_is_read_where_the_folder_says_so(tmp_path):
    made = transformer(tmp_path, length=700, config={"max_position_embeddings": 800})
    check_equal(written(tmp_path, made, Pooling(16)), [" ".join(hub.WORDS[4:] * 100)])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_text_is_cut_at_the_side_that_the_tokenizer_names(tmp_path, side):
    folder = written(tmp_path, transformer(tmp_path), Pooling(16))
    change(folder / "tokenizer_config.json", truncation_side=side)
    check_equal(folder, [" ".join(hub.WORDS[4:] * 600)])


@pytest.mark.parametrize("lower", [True, False])
def test_lower_case_is_made_where_the_folder_says_so(tmp_path, lower):
    folder = written(tmp_path, transformer(tmp_path), Pooling(16))
    told = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**told, "normalizer": None}))
    change(folder / "sentence_bert_config.json", do_lower_case=lower)
    check_equal(folder)
    big, small = bq.load(folder).features(["GOOD Film", "good film"])
    assert np.allclose(big, small) == lower


def test_the_transformer_may_lie_in_a_folder_of_its_own(tmp_path):
    folder = written(tmp_path, transformer(tmp_path), Pooling(16))
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in [*folder.glob("*.safetensors"), *folder.glob("tokenizer*.json")]:
        path.rename(inner / path.name)
    for name in ("config.json", "sentence_bert_config.json"):
        (folder / name).rename(inner / name)
    entries = json.loads((folder / "modules.json").read_text())
    entries[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(entries))
    check_equal(folder)


def test_the_head_of_a_classifier_is_no_part_of_its_embedding(tmp_path):
    folder = written(tmp_path, transformer(tmp_path), Pooling(16))
    net = hub.network("bert")
    tensors = {name: t.clone().contiguous() for name, t in net.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    change(folder / "config.json", architectures=["BertForSequenceClassification"])
    check_equal(folder)


def test_such_a_folder_is_a_source_and_survives_tuning_and_the_disk(tmp_path):
    torch.manual_seed(0)
    about = {"prompts": {"it": "the very "}, "default_prompt_name": "it"}
    pooling = Pooling(16, pooling_mode=("mean", "cls"), include_prompt=False)
    chain = [transformer(tmp_path), pooling, Dense(32, 6), Normalize()]
    model = bq.load(written(tmp_path, *chain, **about))
    with pytest.raises(NotApplicable, match="no head"):
        model.predict(TEXTS)
    task = bq.Task.from_text(TEXTS * 3, ["yes", "no", "no", "yes", "no", "yes", "no"] * 3)
    for method in (FineTune(steps=3, probe_first=True), Probe()):
        tuned = method.fit([bq.Source(model)], task, rng=np.random.default_rng(0))
        tuned.save(tmp_path / method.name)
        again = bq.load(tmp_path / method.name)
        np.testing.assert_allclose(
            again.predict_proba(TEXTS), tuned.predict_proba(TEXTS), rtol=0, atol=1e-9
        )


# -- Bad input


def broken(folder, **change_of):
    entries = json.loads((folder / "modules.json").read_text())
    entries[1] |= change_of
    (folder / "modules.json").write_text(json.dumps(entries))


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path, transformer(tmp_path), Pooling(16), Dense(16, 4))


def refused(folder, error, said):
    with pytest.raises(error, match=said) as caught:
        bq.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "name",
    [
        "evil.Pooling",
        "custom_st.Transformer",
        "sentence_transformers.models.Evil",
        "sentence_transformers.models.evil.Pooling",
        "sentence_transformers.models.Pooling.__init__",
        "sentence_transformers.util.import_from_string",
        "os.system",
        "",
        None,
        ["sentence_transformers.models.Pooling"],
    ],
    ids=str,
)
def test_a_class_of_its_own_is_refused_by_name_and_not_imported(folder, name, monkeypatch):
    for module in ("evil", "custom_st"):
        (folder / f"{module}.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(folder))
    broken(folder, type=name)
    before = set(sys.modules)
    refused(folder, UnsafeModel, "not sentence-transformers' own")
    assert not {"evil", "custom_st"} & (set(sys.modules) - before)


@pytest.mark.parametrize("name", ["LSTM", "WordEmbeddings", "Router"])
def test_a_module_that_is_not_read_is_refused_by_name(folder, name):
    broken(folder, type=f"sentence_transformers.models.{name}")
    refused(folder, ModelError, name)


def test_a_real_module_that_is_not_read_is_refused_by_name(tmp_path):
    chain = [transformer(tmp_path), CNN(16, 8, [1, 3]), Pooling(24)]
    refused(written(tmp_path, *chain), ModelError, "module CNN")


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc", "C:\\x", "C:x", "..\\x", "a\\..\\..\\x", "a\0b", 3, None, "..",
     "\\\\a\\b"],
    ids=str,
)  # fmt: skip
def test_a_module_outside_of_the_folder_is_refused(folder, path):
    shutil.copytree(folder / "1_Pooling", folder.parent / "x")
    broken(folder, path=path)
    refused(folder, UnsafeModel, "outside of the folder")


@pytest.mark.parametrize("path", ["a" * 5000, "\ud800"], ids=["too long", "no Unicode"])
def test_a_module_at_a_path_that_no_system_takes_is_refused(folder, path):
    broken(folder, path=path)
    refused(folder, UnsafeModel, "outside of the folder")


def test_a_link_that_leads_to_itself_is_refused(folder):
    shutil.rmtree(folder / "1_Pooling")
    (folder / "1_Pooling").symlink_to("1_Pooling")
    refused(folder, UnsafeModel, "outside of the folder")


@pytest.mark.parametrize("what", ["modules.json", "1_Pooling", "1_Pooling/config.json",
                                  "2_Dense/model.safetensors"])  # fmt: skip
def test_a_link_that_leads_out_of_the_folder_is_refused(folder, what):
    away = folder.parent / "away"
    (folder / what).rename(away)
    (folder / what).symlink_to(away)
    refused(folder, UnsafeModel, "outside of the folder|out of the folder")


def test_the_links_of_the_hubs_own_cache_are_read(folder):
    snapshot, blobs = folder.parent / "it" / "snapshots" / "abc", folder.parent / "it" / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(p for p in folder.rglob("*") if p.is_file()):
        shutil.copy(path, blobs / str(number))
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    np.testing.assert_array_equal(
        bq.load(snapshot).features(TEXTS), bq.load(folder).features(TEXTS)
    )


def test_a_module_whose_folder_is_missing_is_told_so(folder):
    shutil.rmtree(folder / "1_Pooling")
    refused(folder, ModelError, r"1_Pooling \(Pooling\) is listed in modules.json, and there is no")
    (folder / "1_Pooling").touch()
    refused(folder, ModelError, r"1_Pooling \(Pooling\) is listed in modules.json, and there is no")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"embedding_dimension": 17}, "reads 17 features, what comes before it gives 16"),
        ({"word_embedding_dimension": 17}, "contradicts itself"),
        ({"embedding_dimension": "16"}, "a number from 1 on"),
        ({"embedding_dimension": -1}, "a number from 1 on"),
        ({"pooling_mode": []}, "no way to pool"),
        ({"pooling_mode": None}, "no way to pool"),
        ({"pooling_mode": ["mean", "evil"]}, "known are cls"),
        ({"pooling_mode": {"mean": 1}}, "no way to pool"),
        ({"pooling_mode": ["mean"] * 10**4}, "known are cls"),
        ({"pooling_mode": [["mean"]]}, "known are cls"),
        ({"pooling_mode_cls_token": True}, "contradicts itself"),
        ({"pooling_mode_cls_token": False}, "contradicts itself"),
        ({"pooling_mode_evil": True}, "pooling_mode_evil"),
        ({"pooling_mode_cls_token": "false"}, "true or false"),
        ({"include_prompt": "no"}, "true or false"),
    ],
    ids=str,
)
def test_pooling_that_contradicts_itself_is_one_line(folder, values, said):
    change(folder / "1_Pooling" / "config.json", **values)
    refused(folder, ModelError, said)


@pytest.mark.parametrize("both", [{}, {"word_embedding_dimension": 16}])
def test_both_forms_of_a_setting_may_agree(folder, both):
    change(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=True, **both)
    assert bq.load(folder).features(TEXTS).shape == (7, 4)


def test_old_settings_without_any_mode_are_refused(folder):
    values = {"word_embedding_dimension": 16, **dict.fromkeys(OLD_KEYS.values(), False)}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(values))
    refused(folder, ModelError, "no way to pool")


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"activation_function": "os.system"}, UnsafeModel, "never imported"),
        ({"activation_function": "torch.hub.load"}, UnsafeModel, "never imported"),
        ({"activation_function": "torch.nn.Linear"}, UnsafeModel, "never imported"),
        ({"activation_function": None}, UnsafeModel, "never imported"),
        ({"in_features": 15}, ModelError, "reads 15 features"),
        ({"out_features": 2**30}, ModelError, "do not fit"),
        ({"out_features": 2**40}, ModelError, "a number from 1 on"),
        ({"bias": False}, ModelError, "do not fit"),
        ({"module_input_name": "evil"}, ModelError, "reads or writes"),
    ],
    ids=str,
)
def test_a_dense_layer_that_is_unsafe_or_wrong_is_one_line(folder, values, error, said):
    change(folder / "2_Dense" / "config.json", **values)
    refused(folder, error, said)


def test_weights_of_a_layer_as_a_pickle_are_refused(folder):
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    refused(folder, UnsafeModel, "as a pickle")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_seq_length": -1}, "max_seq_length"),
        ({"max_seq_length": "many"}, "max_seq_length"),
        ({"max_seq_length": True}, "max_seq_length"),
        ({"transformer_task": "fill-mask"}, "fill-mask"),
        ({"modality_config": {"image": {}}}, "plain texts"),
        ({"module_output_name": "sentence_embedding"}, "sentence_embedding"),
        ({"tokenizer_name_or_path": "elsewhere/it"}, "tokenizer_name_or_path"),
        ({"config_args": {"hidden_act": "relu"}}, "config_args.hidden_act"),
        ({"tokenizer_args": {"use_fast": False}}, "tokenizer_args.use_fast"),
        ({"model_args": 3}, "names and values"),
        ({"do_lower_case": 1}, "true or false"),
    ],
    ids=str,
)
def test_a_setting_of_the_transformer_that_is_not_read_is_refused(folder, values, said):
    change(folder / "sentence_bert_config.json", **values)
    refused(folder, ModelError, said)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"default_prompt_name": "gone"}, "default prompt 'gone'"),
        ({"default_prompt_name": ["query"]}, "default prompt"),
        ({"default_prompt_name": "it", "prompts": {"it": 3}}, "default prompt"),
        ({"default_prompt_name": "it", "prompts": ["it"]}, "default prompt"),
        ({"model_type": "SparseEncoder"}, "SparseEncoder"),
        ({"truncate_dim": 0}, "truncate_dim"),
    ],
    ids=str,
)
def test_what_the_folder_says_of_itself_must_be_sound(folder, values, said):
    change(folder / "config_sentence_transformers.json", **values)
    refused(folder, ModelError, said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "no list"),
        ("[]", "no list"),
        ("[3]", "without a name"),
        ("not json", "not JSON"),
        ("[" * 10**5, "not JSON"),
        (" " * (2**20 + 1), "larger than"),
    ],
    ids=lambda text: text[:9],
)
def test_a_list_of_modules_that_is_none_is_refused(folder, content, said):
    (folder / "modules.json").write_text(content)
    refused(folder, ModelError, said)


@pytest.mark.parametrize(
    ("keep", "said"),
    [([1, 2], "StaticEmbedding comes first"), ([0], "no Pooling"), ([0, 2, 1], "reads"),
     ([0, 0, 1], "without a name of its own")],
)  # fmt: skip
def test_modules_in_another_order_or_too_few_are_refused(folder, keep, said):
    entries = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([entries[place] for place in keep]))
    refused(folder, ModelError, said)


@pytest.mark.parametrize(
    ("name", "said"),
    [("tokenizer.json", "no tokenizer.json"), ("config.json", "no config.json"),
     ("model.safetensors", "no weights")],
)  # fmt: skip
def test_a_file_that_is_missing_is_one_line(folder, name, said):
    (folder / name).unlink()
    refused(folder, ModelError, said)


def test_the_folder_says_how_features_are_made_and_nobody_else(folder):
    with pytest.raises(ModelError, match="load it without pooling="):
        bq.load(folder, pooling="mean")


def test_code_that_the_config_names_is_refused(folder):
    change(folder / "config.json", auto_map={"AutoModel": "evil.Model"})
    refused(folder, UnsafeModel, "code of its own")


# -- A real one


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    place = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(bq.pretrained()["all-minilm-l6-v2"].path()) as archive:
        archive.extractall(place)
    return next(path.parent for path in place.rglob("modules.json"))


@pytest.mark.slow
def test_minilm_of_the_catalogue_is_saved_as_its_own_library_wrote_it(minilm, tmp_path):
    bq.load("all-minilm-l6-v2").save(tmp_path / "copy")
    for path in (path for path in minilm.rglob("*") if path.is_file()):
        assert (tmp_path / "copy" / path.relative_to(minilm)).read_bytes() == path.read_bytes()
    check_equal(tmp_path / "copy")


@pytest.mark.slow
def test_minilm_gives_what_the_library_gives(minilm):
    rng = np.random.default_rng(0)
    words = ["the", "quick", "über", "Straße", "東京", "don't", "http://x.y/z?a=b", "12,345", "😀"]
    lengths = [1, 600, *rng.integers(1, 601, 97)]
    texts = ["", *(" ".join(rng.choice(words, length)) for length in lengths)]
    features = bq.load(minilm).features(texts)
    np.testing.assert_allclose(features, theirs(minilm, texts), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_a_list_of_modules_that_is_no_file_is_not_passed_over(folder):
    (folder / "modules.json").unlink()
    (folder / "modules.json").mkdir()
    refused(folder, ModelError, "modules.json is not a plain file")


def test_a_mark_that_an_editor_puts_before_the_text_is_passed_over(folder):
    for name in ("modules.json", "config.json", "1_Pooling/config.json"):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert np.isfinite(bq.load(folder).features(TEXTS[:2])).all()


def test_a_config_without_a_number_is_refused(folder):
    change(folder / "config.json", layer_norm_eps=float("nan"))
    refused(folder, ModelError, "config.json says layer_norm_eps = NaN")


def static(place, kind="sentence-transformers", **about):
    """The folder of a static embedding, as that library or model2vec writes it."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = hub.tokenizer()
    table = torch.randn(len(hub.WORDS), 6, generator=torch.Generator().manual_seed(0))
    about = {"modules": [], **about}
    folder = written(place, StaticEmbedding(tokenizer, table), *about.pop("modules"), **about)
    if kind == "model2vec":
        tensors = {"embeddings": table.half()[:9]}
        tensors["mapping"] = torch.tensor([*range(9), 8, 0, 3])
        tensors["weights"] = torch.rand(12, generator=torch.Generator().manual_seed(1))
        (file,) = folder.rglob("model.safetensors")
        save_file(tensors, file)
    return folder


@pytest.mark.parametrize("kind", ["sentence-transformers", "model2vec"])
def test_a_static_embedding_gives_that_librarys_features(tmp_path, kind):
    folder = static(tmp_path, kind, modules=[Normalize()])
    if kind == "model2vec":  # half precision there, single precision here
        np.testing.assert_allclose(bq.load(folder).features(TEXTS), theirs(folder), atol=2e-3)
    else:
        check_equal(folder, [*TEXTS, "good " * 300])
    assert not bq.load(folder).features([""]).any()


def test_a_static_embedding_with_a_prompt_a_cut_and_a_dense_layer(tmp_path):
    about = {"prompts": {"q": "a good "}, "default_prompt_name": "q", "truncate_dim": 3}
    folder = static(tmp_path, modules=[Dense(6, 4), Normalize()], **about)
    for length in (None, 3):
        (file,) = folder.rglob("tokenizer.json")
        told = json.loads(file.read_text())
        cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        file.write_text(json.dumps({**told, "truncation": cut if length else None}))
        check_equal(folder)


def test_a_static_embedding_is_kept_probed_tuned_and_saved(tmp_path):
    folder = static(tmp_path, modules=[Normalize()])
    model = bq.load(folder)
    model.save(tmp_path / "copy")
    np.testing.assert_array_equal(theirs(tmp_path / "copy"), theirs(folder))
    again = bq.load(tmp_path / "copy")
    np.testing.assert_array_equal(again.features(TEXTS), model.features(TEXTS))
    task = bq.Task.from_text(
        ["a good film", "bad film", "very good", "the bad"] * 5, [1, 0, 1, 0] * 5
    )
    for method in (FineTune(steps=3), Probe()):
        tuned = method.fit([bq.Source(model)], task, rng=np.random.default_rng(0))
        tuned.save(tmp_path / "tuned")
        same = bq.load(tmp_path / "tuned")
        np.testing.assert_allclose(same.predict_proba(TEXTS), tuned.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"other": torch.ones(12, 6)}, "one table is wanted"),
        ({"embedding.weight": torch.ones(12)}, "one table is wanted"),
        ({"embeddings": torch.ones(12, 6), "mapping": torch.ones(12)}, "one row for each token"),
        ({"embeddings": torch.ones(2, 6), "mapping": torch.tensor([2] * 12)}, "that the table has"),
        ({"embeddings": torch.ones(2, 6), "mapping": torch.tensor([-1] * 12)}, "that the table"),
        ({"embeddings": torch.ones(12, 6), "weights": torch.ones(3)}, "one weight for each token"),
        ({"embedding.weight": torch.ones(11, 6)}, "tokens up to 11, the table has 11 rows"),
        ({"embedding.weight": torch.ones(0, 6)}, "one table is wanted"),
    ],
)
def test_a_table_that_is_no_static_embedding_is_refused(tmp_path, tensors, said):
    folder = static(tmp_path)
    (file,) = folder.rglob("model.safetensors")
    save_file(tensors, file)
    refused(folder, ModelError, said)


def weighted(tmp_path, start=1, depth=2, states=True):
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

    layers = WeightedLayerPooling(16, num_hidden_layers=depth, layer_start=start)
    torch.nn.init.normal_(layers.layer_weights, mean=1, generator=torch.Generator().manual_seed(0))
    body = transformer(tmp_path, config={"output_hidden_states": states})
    return written(tmp_path, body, layers, Pooling(16), Normalize())


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("states", [True, False])  # without, the library passes over the module
def test_the_weighted_layers_are_that_librarys(tmp_path, start, states):
    folder = weighted(tmp_path, start, states=states)
    check_equal(folder)
    model = bq.load(folder)
    task = bq.Task.from_text(["a good film", "bad film"] * 8, [1, 0] * 8)
    tuned = FineTune(steps=2).fit([bq.Source(model)], task, rng=np.random.default_rng(0))
    tuned.save(tmp_path / "tuned")
    same = bq.load(tmp_path / "tuned")
    np.testing.assert_array_equal(same.predict_proba(TEXTS), tuned.predict_proba(TEXTS))


def test_weighted_layers_that_the_network_does_not_have_are_refused(tmp_path):
    folder = weighted(tmp_path, depth=5)
    refused(folder, ModelError, "weighs the layers 1 to 5, the network's are 0 to 2")
    change(folder / "1_WeightedLayerPooling" / "config.json", num_hidden_layers=2, layer_start=-1)
    refused(folder, ModelError, "weighs the layers -1 to 2")
    change(folder / "1_WeightedLayerPooling" / "config.json", layer_start=0)
    refused(folder, ModelError, "stored|fit the network|has .* numbers")
