"""Models by their name on the Hub, from a small one on this machine."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from tests.frameworks.hub_folders import network, write
from tests.frameworks.hub_server import on_this_machine

import bequest as bq
from bequest.api.sources import as_sources
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.hugging_face import cache as huggingface_cache
from bequest.frameworks.hugging_face.client import translated
from bequest.frameworks.hugging_face.name import HuggingFaceName
from bequest.methods import METHODS

NAME = "hf://team/films"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with on_this_machine(tmp_path, monkeypatch) as server:
        yield server
        huggingface_hub.close_session()


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("films") / "films", network("bert"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Films\n")
    (folder / "train.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    (folder / "tf_model.h5").write_bytes(b"x")
    return folder


def refused(name, error=ModelError):
    with pytest.raises(error) as caught:
        bq.load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cached(tmp_path, ending):
    [found] = (tmp_path / "cache").rglob(f"*/snapshots/*/{ending}")
    return found.resolve()


def test_a_model_is_loaded_by_its_name_and_says_which_commit_it_is(hub, films):
    commit = hub.add("team/films", films)
    model = bq.load(NAME)
    texts = ["good film", "bad film"]
    assert np.array_equal(model.predict_proba(texts), bq.load(films).predict_proba(texts))
    assert model.name == f"{NAME}@{commit}"
    assert model.card.parents == (f"{NAME}@{commit}",)
    assert model.card.licence == "mit"
    assert model.spec == bq.load(films).spec


def test_only_what_loading_needs_is_fetched(hub, films):
    hub.add("team/films", films)
    bq.load(NAME)
    wanted = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert sorted(hub.fetched()) == sorted(wanted)


def test_another_revision_is_another_model(hub, films, tmp_path):
    old = hub.add("team/films", films, "v1")
    other = write(tmp_path / "other", network("bert", labels=("a", "b")))
    new = hub.add("team/films", other)
    assert bq.load(NAME).classes == ("a", "b")
    assert len(bq.load(f"{NAME}@v1").classes) == 3
    assert bq.load(f"{NAME}@{old}").name == f"{NAME}@{old}"
    assert bq.load(f"{NAME}@main").name == f"{NAME}@{new}"
    assert refused(f"{NAME}@v9") == f"{NAME} has no revision v9."


def test_a_cached_copy_needs_no_network(hub, films, monkeypatch):
    commit = hub.add("team/films", films)
    bq.load(NAME)
    asked = len(hub.asked)
    bq.load(f"{NAME}@{commit}")
    assert len(hub.asked) == asked  # a commit never changes
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert bq.load(NAME).name == f"{NAME}@{commit}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.reach("http://127.0.0.1:9")  # nobody answers there
    assert bq.load(NAME).name == f"{NAME}@{commit}"
    hub.status = 503
    hub.reach(hub.url)
    assert bq.load(NAME).name == f"{NAME}@{commit}"


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_flipped_byte_in_the_cache_is_refused(hub, films, tmp_path, monkeypatch, file, offline):
    hub.add("team/films", films)
    bq.load(NAME)
    place = cached(tmp_path, file)
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    said = refused(NAME)
    assert f"{file} is not the file that the Hub lists" in said
    assert str(place) in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    place.unlink()  # the way out that the line names
    assert bq.load(NAME)


def test_other_bytes_than_those_listed_are_refused_when_they_come(hub, films):
    hub.add("team/films", films)
    content = bytearray((films / "model.safetensors").read_bytes())
    content[-1] ^= 1
    hub.served["model.safetensors"] = bytes(content)
    assert "is not the file that the Hub lists" in refused(NAME)


def test_a_file_that_lies_in_the_cache_and_is_not_listed_is_not_read(hub, films, tmp_path):
    hub.add("team/films", films)
    bq.load(NAME)
    snapshot = next((tmp_path / "cache").rglob("snapshots/*"))
    (snapshot / "modules.json").write_text('[{"idx": 0, "path": "", "type": "evil.Module"}]')
    assert bq.load(NAME).classes


def test_shards_come_whole_or_the_first_lost_one_is_named(hub, tmp_path):
    folder = write(tmp_path / "big", network("bert"), shards=3)
    hub.add("team/big", folder)
    assert bq.load("hf://team/big").classes
    (folder / "model-00002-of-00003.safetensors").unlink()
    hub.add("team/big", folder)
    hub.asked.clear()
    assert "lacks 1 of its 3 files of weights" in refused("hf://team/big")
    assert not [path for path in hub.fetched() if path.endswith(".safetensors")]


def test_a_model_with_pickles_only_is_refused_and_nothing_of_it_fetched(hub, films, tmp_path):
    hub.add("team/old", films)
    repo = hub.repos["team/old"]
    files = {k: v for k, v in repo.at("main")[1].items() if k != "model.safetensors"}
    repo.commit(files)
    assert "as a pickle only (pytorch_model.bin)" in refused("hf://team/old", UnsafeModel)
    assert "pytorch_model.bin" not in hub.fetched()


def test_code_in_a_repository_is_refused_by_name_and_never_fetched(hub, films, tmp_path):
    folder = write(tmp_path / "own", network("bert"), auto_map={"AutoModel": "own.Model"})
    (folder / "own.py").write_text("raise SystemExit")
    hub.add("team/own", folder)
    said = refused("hf://team/own", UnsafeModel)
    assert "own.py" not in hub.fetched()
    assert "cache" not in said


def test_a_listing_that_climbs_is_refused(hub, films, tmp_path):
    hub.add("team/films", films)
    hub.repos["team/films"].commit({"config.json": b"{}", "../../x.json": b"{}"})
    assert "outside of itself" in refused(NAME, UnsafeModel)
    assert not list(tmp_path.rglob("x.json"))


@pytest.mark.parametrize(
    "name",
    [
        "hf://", "hf://../x", "hf://a/../b", "hf://a/b/c", "hf:///etc/passwd", "hf://a//b", "hf://a/b@",
        "hf://a/b@../../x", "hf://a/b@x/../../y", "hf://a/b@/etc", "hf://a/b?x=1", "hf://a b/c",
        "hf://a/b\n", "hf://a/--", "hf://a--b/c", "hf://.a/b", "hf://a/b.git", "hf://a/b@\x00",
        "hf://a/b@main@c", "hf://ä/b", "hf://datasets/a/b",
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(hub, tmp_path, name):
    said = refused(name)
    assert "names no model" in said or "is no revision" in said
    assert not hub.asked
    assert not (tmp_path / "cache").exists()


def test_a_name_is_read_as_a_path_writes_it(hub, films):
    hub.add("team/films", films)
    assert bq.load(Path(NAME)).classes
    assert str(HuggingFaceName.parse("hf:/team/films@v1")) == f"{NAME}@v1"
    assert "'hf://../films' names no model" in refused(Path("hf://../films"))


def test_a_private_model_needs_a_token(hub, films, monkeypatch):
    hub.add("team/films", films)
    hub.repos["team/films"].private = True
    assert "it is private and no token" in refused(NAME)
    assert "there is none of that name" in refused("hf://team/nobody")
    monkeypatch.setenv("HF_TOKEN", "right")
    assert bq.load(NAME).classes


def test_a_gated_model_says_what_to_do(hub, films):
    hub.add("team/films", films)
    hub.repos["team/films"].gated = True
    assert "accept its terms" in refused(NAME)


@pytest.mark.slow
def test_a_connection_that_breaks_is_taken_up_again_but_not_for_ever(hub, films):
    hub.add("team/films", films)
    hub.cut = (films / "model.safetensors").stat().st_size * 2 // 3
    hub.cuts = 99
    assert "(RemoteProtocolError)" in refused(NAME)
    hub.cuts = 1
    assert bq.load(NAME).classes


def test_without_a_network_and_a_copy_it_is_one_line(hub, monkeypatch):
    hub.reach("http://127.0.0.1:9")
    assert refused(NAME) == f"{NAME} is not in the cache as a whole, and the Hub cannot be reached."
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refused(NAME) == f"{NAME} is not in the cache as a whole, and the Hub cannot be reached."


def test_a_hub_that_never_answers_is_given_up(hub, films, monkeypatch):
    commit = hub.add("team/films", films)
    bq.load(NAME)
    hub.pause = 60.0
    monkeypatch.setattr(huggingface_cache, "ANSWER", 1.0)
    assert "cannot be reached" in refused("hf://team/other")
    assert bq.load(NAME).name == f"{NAME}@{commit}"  # of the cache


def test_an_incomplete_copy_offline_is_refused(hub, films, tmp_path, monkeypatch):
    hub.add("team/films", films)
    bq.load(NAME)
    cached(tmp_path, "tokenizer.json").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is not in the cache as a whole" in refused(NAME)


def test_a_name_is_a_source_and_what_is_made_of_it_says_which_commit_it_was(hub, films, tmp_path):
    commit = hub.add("team/films", films)
    texts = [f"{word} film" for word in ("good", "bad") for _ in range(12)]
    task = bq.Task.from_text(texts, ["no", "yes"] * 12, name="reviews")
    [source] = as_sources([NAME])
    assert source.name == f"{NAME}@{commit}"
    hub.repos["team/films"].commit({})  # the branch moves on; the source does not
    [ranked] = bq.rank([source], task)
    assert ranked.source == f"{NAME}@{commit}"
    probed = METHODS["probe"]().fit([source], task, rng=np.random.default_rng(0))
    assert probed.card.parents == (f"{NAME}@{commit}",)
    probed.save(tmp_path / "probed")
    read = (tmp_path / "probed" / "README.md").read_text()
    assert "base_model:\n- team/films\nbase_model_relation: finetune\n" in read


def test_nothing_of_ours_is_left_in_the_cache_but_the_listing(hub, films, tmp_path):
    commit = hub.add("team/films", films)
    bq.load(NAME)
    ours = tmp_path / "cache" / "models--team--films" / "bequest"
    assert [path.name for path in ours.iterdir()] == [f"{commit}.json"]


def test_a_loaded_model_is_saved_with_the_files_that_were_fetched(hub, films, tmp_path):
    hub.add("team/films", films)
    bq.load(NAME).save(tmp_path / "copy")
    for file in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        assert (tmp_path / "copy" / file).read_bytes() == (films / file).read_bytes()
    again = bq.load(tmp_path / "copy")
    assert again.card.parents == bq.load(NAME).card.parents


def test_a_folder_of_sentence_transformers_comes_with_all_its_modules(hub, tmp_path):
    folder = write(tmp_path / "st", network("bert", head=None))
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Dense", "Dense")]
    told = [
        {"idx": int(n), "name": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, path, kind in modules
    ]
    (folder / "modules.json").write_text(json.dumps(told))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}
    dense = {"in_features": 16, "out_features": 4, "bias": False}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    for path, values in (("1_Pooling", pooling), ("2_Dense", dense)):
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(values))
    weight = torch.arange(64.0).reshape(4, 16)
    save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    hub.add("team/st", folder)
    texts = ["a good film", "bad"]
    expected = bq.load(folder).features(texts)
    assert np.array_equal(bq.load("hf://team/st").features(texts), expected)
    assert expected.shape == (2, 4)
    fetched = {"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"}
    assert {path for path in hub.fetched() if "/" in path} == fetched


def test_a_cache_that_only_others_may_write_to_does(hub, films, tmp_path, monkeypatch):
    commit = hub.add("team/films", films)
    bq.load(NAME)
    ours = tmp_path / "cache" / "models--team--films" / "bequest"
    (ours / f"{commit}.json").unlink()
    ours.rmdir()
    ours.write_text("here no folder can be made")

    def other_file_system(*_):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", other_file_system)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert bq.load(NAME).classes
    assert not list(tmp_path.glob("bequest-*"))


def test_a_model_of_the_hub_is_published_by_its_name(hub, films, tmp_path):
    commit = hub.add("team/films", films)
    store = bq.Hub(tmp_path / "store")
    entry = store.publish(NAME, "films/first", licence="MIT")
    assert entry.card.parents == (f"{NAME}@{commit}",)
    pulled = store.pull("films/first")
    pulled.save(tmp_path / "pulled")
    config = (tmp_path / "pulled" / "config.json").read_bytes()
    assert config == (films / "config.json").read_bytes()
    assert pulled.card.licence == "MIT"


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b'{"id": 3}', b'{"sha": "../../x"}']
)
def test_an_odd_answer_of_the_hub_is_one_line(hub, films, answer):
    hub.add("team/films", films)
    hub.odd = answer
    assert "team/films" in refused(NAME)


def test_threads_leave_the_messages_of_huggingface_hub_as_they_were():
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    name = HuggingFaceName.parse(NAME)
    first, second = translated(name), translated(name)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logger.level == logging.ERROR
    second.__exit__(None, None, None)
    assert logger.level == before


def environment(hub, tmp_path):
    asked = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    return {**os.environ, **asked, "HF_HUB_DISABLE_XET": "1"}


@pytest.mark.slow
def test_a_load_that_was_killed_goes_on_with_what_it_has(hub, films, tmp_path):
    hub.add("team/films", films)
    hub.slow = 60.0
    code = f"import bequest as bq; bq.load({NAME!r})"
    child = subprocess.Popen([sys.executable, "-c", code], env=environment(hub, tmp_path))
    while "model.safetensors" not in hub.fetched():
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    hub.slow = 0.0
    hub.asked.clear()
    subprocess.run([sys.executable, "-c", code], env=environment(hub, tmp_path), check=True)
    assert hub.fetched().count("model.safetensors") == 1
    assert "config.json" not in hub.fetched()


@pytest.mark.slow
def test_the_command_line_takes_a_name(hub, films, tmp_path):
    hub.add("team/films", films)
    (tmp_path / "mails.csv").write_text("text\ngood film\nbad film\n")
    command = [sys.executable, "-m", "bequest", "predict", NAME, "mails.csv", "--json"]
    about = {"env": environment(hub, tmp_path), "cwd": tmp_path, "capture_output": True}
    done = subprocess.run(command, text=True, **about)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["prediction"]) == 2
    command[4] = "hf://team/nobody"
    done = subprocess.run(command, text=True, **about)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
