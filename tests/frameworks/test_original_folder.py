"""A folder that came from elsewhere keeps every file, and its own library still opens it."""

import json
import logging
import os
import pickle
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.errors import BequestError, Damaged, ModelError, UnsafeModel
from bequest.frameworks.files.original_folder import MOST_FILES, ArchivedFile, stored_at
from bequest.methods.probe import Probe

sys.path.insert(0, str(Path(__file__).parent))
import hub_folders as hub

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sentence_transformers import SentenceTransformer

TEXTS = ["a good film", "bad", "The VERY bad film a few words", ""]
README = "---\nlicense: mit\n---\n# Theirs\n"


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/evil",))


def made(place):
    """A folder as people upload them, with files that nothing here reads."""
    folder = hub.write(place / "made", hub.network("bert", "", labels=()))
    (folder / "1_Pooling").mkdir()
    pooling = {"embedding_dimension": 16, "pooling_mode": "max"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=7))
    own = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{own}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{own}.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"})
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    (folder / "README.md").write_text(README)
    (folder / ".gitattributes").write_text("*.bin filter=lfs")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"\x08\x07\x12")
    (folder / "empty").write_bytes(b"")
    (folder / "Ünïcode name.txt").write_text("x")
    return folder


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path)


def contents(place):
    """Bytes by path, without ours."""
    paths = [path for path in place.rglob("*") if path.is_file()]
    found = {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in found.items() if not name.startswith("bequest/")}


def check_kept(folder, copy):
    assert contents(copy) == contents(folder)
    assert sorted(path.name for path in (copy / "bequest").iterdir()) == [
        "README.md", "card.json", "config.json",
    ]  # fmt: skip
    np.testing.assert_array_equal(bq.load(copy).features(TEXTS), bq.load(folder).features(TEXTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SentenceTransformer(str(copy), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(theirs, bq.load(folder).features(TEXTS), atol=1e-5)


def saved(folder, place):
    bq.load(folder).save(place)


def saved_twice(folder, place):
    bq.load(folder).save(place.with_name("first"))
    bq.load(place.with_name("first")).save(place)


def published(folder, place):
    store = bq.Hub(place.with_name("hub"))
    store.publish(folder, "films/x", licence="MIT")
    store.fetch("films/x", place)


def published_from_memory(folder, place):
    store = bq.Hub(place.with_name("hub"))
    store.publish(bq.load(folder), "films/x", licence="MIT")
    store.fetch("films/x", place)


def published_again(folder, place):
    published(folder, place.with_name("one"))
    store = bq.Hub(place.with_name("hub"))
    store.publish(place.with_name("one"), "films/y", licence="MIT")
    store.fetch("films/y", place)


def pulled(folder, place):
    store = bq.Hub(place.with_name("hub"))
    store.publish(folder, "films/x", licence="MIT")
    store.pull("films/x").save(place)


def bundled(folder, place):
    store, other = bq.Hub(place.with_name("hub")), bq.Hub(place.with_name("other"))
    store.publish(folder, "films/x", licence="MIT")
    store.bundle("films/x", place.with_name("bundle.zip"))
    other.unbundle(place.with_name("bundle.zip"))
    other.fetch("films/x", place)


def through_a_bucket(folder, place):
    place.with_name("bucket").mkdir()
    store = bq.Hub(f"file://{place.with_name('bucket')}", cache=place.with_name("cache"))
    store.publish(folder, "films/x", licence="MIT")
    store.pull("films/x").save(place)


WAYS = [
    saved,
    saved_twice,
    published,
    published_from_memory,
    published_again,
    pulled,
    bundled,
    through_a_bucket,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_file_is_kept_byte_for_byte(folder, tmp_path, way, caplog):
    with caplog.at_level(logging.WARNING):
        way(folder, tmp_path / "copy")
    check_kept(folder, tmp_path / "copy")
    assert "without the files" not in caplog.text
    assert not Path("/tmp/evil").exists()


def test_a_plain_folder_of_transformers_is_kept_too(tmp_path):
    from transformers import AutoModelForSequenceClassification

    net = hub.network("bert")
    folder = hub.write(tmp_path / "bert", net, shards=2)
    store = bq.Hub(tmp_path / "hub")
    store.publish(folder, "films/bert", licence="MIT")
    store.fetch("films/bert", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "copy")
    for name, tensor in net.state_dict().items():
        assert torch.equal(theirs.state_dict()[name], tensor)
    model = store.pull("films/bert")
    np.testing.assert_array_equal(model.output(TEXTS), bq.load(folder).output(TEXTS))
    assert model.card.name == "films/bert"


def test_the_transformer_may_lie_in_a_folder_of_its_own(folder, tmp_path):
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                 "sentence_bert_config.json"):  # fmt: skip
        (folder / name).rename(inner / name)
    entries = json.loads((folder / "modules.json").read_text())
    entries[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(entries))
    published(folder, tmp_path / "copy")
    check_kept(folder, tmp_path / "copy")
    source = next(iter(bq.rank([tmp_path / "copy"], bq.Task.from_text(TEXTS * 5, [*"abab"] * 5))))
    assert (source.source, source.reason) == ("films/x", "")


def test_the_card_lies_beside_theirs(folder, tmp_path):
    store = bq.Hub(tmp_path / "hub")
    entry = store.publish(folder, "films/x", licence="MIT", parents=["other"])
    store.fetch("films/x", tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text() == README
    assert "films/x" in (tmp_path / "copy" / "bequest" / "README.md").read_text()
    card = bq.load(tmp_path / "copy").card
    assert (card.name, card.licence, card.parents) == ("films/x", "MIT", ("other",))
    assert card == entry.card


def test_a_model_that_was_trained_since_is_not_written_as_the_files(folder, tmp_path, caplog):
    model = bq.load(folder)
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    features = model.features(TEXTS)
    with caplog.at_level(logging.WARNING):
        model.save(tmp_path / "copy")
    assert "no longer the model that they hold" in caplog.text
    assert not (tmp_path / "copy" / "modeling_evil.py").exists()
    np.testing.assert_array_equal(bq.load(tmp_path / "copy").features(TEXTS), features)


@pytest.mark.parametrize("how", ["gone", "altered"])
def test_files_that_are_gone_or_altered_are_not_written_as_the_model(folder, tmp_path, how, caplog):
    model = bq.load(folder)
    features = model.features(TEXTS)
    if how == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    with caplog.at_level(logging.WARNING):
        model.save(tmp_path / "copy")
    assert "made is written without the files of its folder" in caplog.text
    np.testing.assert_array_equal(bq.load(tmp_path / "copy").features(TEXTS), features)


def test_a_model_in_another_keeps_its_files_through_a_hub(folder, tmp_path, caplog):
    task = bq.Task.from_text(TEXTS * 5, [*"abab"] * 5)
    probe = Probe().fit([bq.Source(bq.load(folder))], task, rng=np.random.default_rng(0))
    store = bq.Hub(tmp_path / "hub")
    store.publish(probe, "films/probe", licence="MIT")
    with caplog.at_level(logging.WARNING):
        store.pull("films/probe").save(tmp_path / "copy")
        store.publish(tmp_path / "copy", "films/again", licence="MIT")
        store.fetch("films/again", tmp_path / "again")
    assert "without the files" not in caplog.text
    inner = next((tmp_path / "again").rglob("modules.json")).parent
    assert contents(inner) == contents(folder)
    np.testing.assert_allclose(
        bq.load(tmp_path / "again").predict_proba(TEXTS), probe.predict_proba(TEXTS), atol=1e-9
    )


def test_files_in_an_archive_are_kept_while_it_is_there(folder, tmp_path, caplog):
    archive = Path(shutil.make_archive(str(tmp_path / "it"), "zip", folder))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    with stored_at({folder / name: ArchivedFile(archive, name) for name in names}):
        model = bq.load(folder)
    wanted = contents(folder)
    shutil.rmtree(folder)
    model.save(tmp_path / "copy")
    assert contents(tmp_path / "copy") == wanted
    archive.write_bytes(b"PK")
    with caplog.at_level(logging.WARNING):
        model.save(tmp_path / "anew")
    assert "no longer that archive" in caplog.text
    np.testing.assert_array_equal(bq.load(tmp_path / "anew").features(TEXTS), model.features(TEXTS))


def test_what_was_tuned_from_such_a_folder_does_not_carry_its_files(folder, tmp_path):
    from bequest.methods.fine_tune import FineTune

    task = bq.Task.from_text(TEXTS * 5, [*"abab"] * 5)
    source = bq.Source(bq.load(folder))
    tuned = FineTune(steps=2).fit([source], task, rng=np.random.default_rng(0))
    tuned.save(tmp_path / "tuned")
    assert not (tmp_path / "tuned" / "modeling_evil.py").exists()
    np.testing.assert_array_equal(
        bq.load(tmp_path / "tuned").predict_proba(TEXTS), tuned.predict_proba(TEXTS)
    )


def test_hidden_folders_are_no_part_of_a_model(folder, tmp_path):
    for name in (".git", ".cache", "__pycache__"):
        (folder / name).mkdir()
        (folder / name / "secret").write_text("token")
    published(folder, tmp_path / "copy")
    for name in (".git", ".cache", "__pycache__"):
        shutil.rmtree(folder / name)
    check_kept(folder, tmp_path / "copy")


# -- Bad input


def refused(folder, tmp_path, error, said):
    with pytest.raises(error, match=said) as caught:
        bq.Hub(tmp_path / "hub").publish(folder, "films/x", licence="MIT")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hub" / "objects").exists()


def test_links_are_not_followed_out_of_the_folder(folder, tmp_path):
    (tmp_path / "secret").write_text("hush-7")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    refused(folder, tmp_path, UnsafeModel, "'notes.txt' in .* is a link")
    (folder / "notes.txt").unlink()
    (tmp_path / "away").mkdir()
    (folder / "more").symlink_to(tmp_path / "away")
    refused(folder, tmp_path, UnsafeModel, "'more' in .* is a link")


def test_a_link_is_not_kept_by_save_either(folder, tmp_path, caplog):
    (tmp_path / "secret").write_text("hush-7")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with caplog.at_level(logging.WARNING):
        bq.load(folder).save(tmp_path / "copy")
    assert "is a link" in caplog.text
    assert b"hush-7" not in b"".join(contents(tmp_path / "copy").values())


def test_links_without_an_end_are_refused(folder, tmp_path):
    (folder / "round").symlink_to(folder)
    refused(folder, tmp_path, UnsafeModel, "is a link")
    (folder / "round").unlink()
    (folder / "nowhere").symlink_to(folder / "gone")
    refused(folder, tmp_path, UnsafeModel, "is no file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(folder, tmp_path):
    os.mkfifo(folder / "pipe")
    refused(folder, tmp_path, UnsafeModel, "'pipe' in .* is no file")


@pytest.mark.skipif(os.name == "nt", reason="such a name cannot be given there")
@pytest.mark.parametrize("name", ["a\\b", "c:d", "line\nbreak", "half\udcff"], ids=ascii)
def test_a_name_that_no_hub_can_keep_is_refused(folder, tmp_path, name):
    (folder / name).write_text("x")
    refused(folder, tmp_path, ModelError, "whose name no hub can keep")


def test_a_folder_of_too_many_files_is_refused(folder, tmp_path):
    (folder / "many").mkdir()
    for number in range(MOST_FILES):
        (folder / "many" / str(number)).touch()
    refused(folder, tmp_path, ModelError, "more than 10000 files")


@pytest.mark.parametrize("name", ["README.md", "theirs.txt"])
def test_files_where_ours_would_lie_are_not_written_over(folder, tmp_path, name):
    (folder / "bequest").mkdir()
    (folder / "bequest" / name).write_text("{}")
    refused(folder, tmp_path, ModelError, "where bequest keeps its own")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.safetensors", "altered"),
        ("README.md", "altered"),
        ("onnx/model.onnx", "altered"),
        ("bequest/card.json", "altered"),
        ("bequest/config.json", "not JSON"),
    ],
)
def test_a_file_that_was_altered_is_noticed(folder, tmp_path, name, said):
    bq.load(folder).save(tmp_path / "copy")
    with (tmp_path / "copy" / name).open("ab") as file:
        file.write(b" x")
    with pytest.raises(ModelError, match=said):
        bq.load(tmp_path / "copy")


def test_the_config_of_ours_that_was_altered_is_named_and_not_theirs(folder, tmp_path):
    copy = tmp_path / "copy"
    saved(folder, copy)
    config = copy / "bequest" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"batch_size": 3}))
    with pytest.raises(ModelError, match=r"copy/bequest/config\.json was altered"):
        bq.load(copy)


@pytest.mark.parametrize("left", ["a file", "a link", "an empty folder", "the card alone"])
def test_a_kept_folder_is_not_read_unchecked_without_the_part_of_ours(folder, tmp_path, left):
    copy = tmp_path / "copy"
    saved(folder, copy)
    own = copy / "bequest"
    if left == "the card alone":
        (own / "config.json").unlink()
    else:
        shutil.rmtree(own)
    if left == "a file":
        own.write_text("x")
    elif left == "a link":
        own.symlink_to(tmp_path / "nowhere")
    elif left == "an empty folder":
        own.mkdir()
    with pytest.raises(ModelError, match="copy/bequest is not the folder with config"):
        bq.load(copy)
    shutil.rmtree(own) if left[-6:] == "folder" or left[:3] == "the" else own.unlink()
    bq.load(copy)  # as the folder of another library, which it was


def test_a_file_that_is_missing_is_noticed(folder, tmp_path):
    bq.load(folder).save(tmp_path / "copy")
    (tmp_path / "copy" / "empty").unlink()
    with pytest.raises(ModelError, match="lacks its file empty"):
        bq.load(tmp_path / "copy")


def test_a_file_that_would_be_read_and_is_not_listed_is_refused(tmp_path):
    folder = hub.write(tmp_path / "bert", hub.network("bert", ""))
    bq.load(folder).save(tmp_path / "copy")
    (tmp_path / "copy" / "notes.txt").write_text("of mine")
    bq.load(tmp_path / "copy")
    (tmp_path / "copy" / "modules.json").write_text("[]")
    with pytest.raises(ModelError, match=r"modules\.json, which it does not list"):
        bq.load(tmp_path / "copy")
    with pytest.raises(BequestError):
        bq.Hub(tmp_path / "hub").publish(tmp_path / "copy", "films/x", licence="MIT")


def test_a_file_of_a_hub_that_was_altered_is_noticed(folder, tmp_path):
    store = bq.Hub(tmp_path / "hub")
    entry = store.publish(folder, "films/x", licence="MIT")
    digest = entry.files["README.md"].digest
    path = tmp_path / "hub" / "objects" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_text("other")
    with pytest.raises(Damaged, match="altered"):
        store.pull("films/x")


def test_a_copy_is_replaced_and_a_folder_with_other_things_is_not(folder, tmp_path):
    model = bq.load(folder)
    model.save(tmp_path / "copy")
    model.save(tmp_path / "copy")
    check_kept(folder, tmp_path / "copy")
    (tmp_path / "copy" / "notes.txt").write_text("of mine")
    with pytest.raises(ModelError, match="no model folder"):
        model.save(tmp_path / "copy")
    with pytest.raises(ModelError, match="no model folder"):
        model.save(folder)
