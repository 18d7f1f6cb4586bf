"""A model goes to the Hugging Face Hub: to a small one on this machine."""

import sys
from importlib import import_module

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard
from tests.frameworks.hub_folders import network, write
from tests.frameworks.hub_server import Repo, on_this_machine

import bequest as bq
from bequest.errors import HubError, MissingExtra, ModelError

NAME = "hf://team/ward7"
ROWS = [[0.0], [1.0], [2.0], [3.0]]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with on_this_machine(tmp_path, monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", "right")
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def model():
    task = bq.Task.from_arrays(ROWS, ["a", "a", "b", "b"], name="ward 7")
    return bq.train(task, net="linear")


def sent(hub):
    return hub.repos["team/ward7"].at("main")[1]


def refused(*given, error=HubError, **asked):
    with pytest.raises(error) as caught:
        bq.push(*given, **{"licence": "MIT", **asked})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_pushed_is_loaded_by_the_name_that_push_gives(hub, model):
    name = bq.push(NAME, model, licence="Apache-2.0")
    assert name == f"{NAME}@{hub.repos['team/ward7'].refs['main']}"
    assert hub.repos["team/ward7"].private
    again = bq.load(name)
    assert np.array_equal(again.predict_proba(ROWS), model.predict_proba(ROWS))
    assert again.card.licence == "Apache-2.0"
    assert again.card.parents == (name,)


def test_the_hub_reads_licence_base_model_and_metrics_from_the_readme(hub, model, tmp_path):
    card = bq.train(bq.Task.from_arrays(ROWS, list("aabb")), net="linear").card
    about = {**vars(card), "parents": ("hf://team/base@" + "0f" * 20,), "method": "fine-tune"}
    about["metrics"] = {"test accuracy": 0.75}
    bq.push(NAME, model.with_card(type(card)(**about)), licence="apache-2.0")
    data = ModelCard(sent(hub)["README.md"].decode()).data
    assert (data.license, data.library_name) == ("apache-2.0", "bequest")
    assert data.base_model == ["team/base"]
    assert "transfer-learning" in data.tags
    assert data.eval_results[0].metric_value == 0.75
    assert f'bq.load("{NAME}")' in sent(hub)["README.md"].decode()


def test_it_is_one_commit_and_the_next_is_a_further_one(hub, model):
    first = bq.push(NAME, model, licence="MIT")
    second = bq.push(NAME, model, licence="Apache-2.0")
    assert len([line for line in hub.asked if "/commit/" in line]) == 2
    assert bq.load(first).card.licence == "MIT"
    assert bq.load(second).card.licence == bq.load(NAME).card.licence == "Apache-2.0"


@pytest.mark.filterwarnings("ignore:Use .content:DeprecationWarning")  # theirs
def test_weights_go_as_large_files(hub, tmp_path):
    model = bq.load(write(tmp_path / "films", network("bert")))
    name = bq.push(NAME, model, licence="MIT")
    assert any(line.startswith("PUT /lfs/") for line in hub.asked)
    texts = ["good film", "bad"]
    assert np.array_equal(bq.load(name).predict_proba(texts), model.predict_proba(texts))
    assert "config.json" in sent(hub)  # as it was, and ours beside
    assert sent(hub)["README.md"].startswith(b"---\nlicense: mit\n")


def test_a_folder_is_pushed_as_the_model_in_it(hub, model, tmp_path):
    model.save(tmp_path / "ward7")
    assert bq.load(bq.push(NAME, tmp_path / "ward7", licence="MIT")).classes == ("a", "b")


def test_a_public_repository_is_refused_unless_that_is_meant(hub, model):
    hub.repos["team/ward7"] = Repo()
    hub.repos["team/ward7"].commit({})
    assert "is there and public" in refused(NAME, model)
    assert sent(hub) == {}
    bq.push(NAME, model, licence="MIT", private=False)
    assert "config.json" in sent(hub)


def test_a_new_repository_is_public_only_where_that_is_said(hub, model):
    bq.push(NAME, model, licence="MIT", private=False)
    assert not hub.repos["team/ward7"].private


def test_no_pickle_is_sent(hub, tmp_path):
    folder = write(tmp_path / "films", network("bert"))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    assert "holds a pickle, pytorch_model.bin" in refused(NAME, bq.load(folder))
    assert not hub.asked


def test_what_cannot_be_sent_is_refused_in_one_line(hub, model, monkeypatch):
    assert "no licence 'none' is known" in refused(NAME, model, licence="none")
    assert "without @" in refused(f"{NAME}@v1", model)
    assert "names no model" in refused("hf://../x", model, error=ModelError)
    assert "names no model" in refused("wards/ward7", model, error=ModelError)
    licensed = bq.load(bq.push(NAME, model, licence="MIT"))
    assert "the card says MIT" in refused("hf://team/other", licensed, licence="Apache-2.0")
    hub.status = 503
    assert "the Hub answers 503" in refused(NAME, model)
    hub.status = 0
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "token" in refused("hf://team/other", model)
    assert "team/other" not in hub.repos


def test_without_a_network_it_is_one_line(hub, model, monkeypatch):
    hub.reach("http://127.0.0.1:9")  # nobody answers there
    said = f"the Hub cannot be reached for {NAME} (ConnectError)."
    assert refused(NAME, model) == said
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refused(NAME, model) == said.replace("ConnectError", "OfflineModeIsEnabled")


def test_a_hub_that_never_answers_is_given_up(hub, model, monkeypatch):
    hub.pause = 20.0
    monkeypatch.setattr(import_module("bequest.api.push"), "ANSWER", 1.0)
    assert refused(NAME, model) == f"the Hub does not answer for {NAME}."


def test_a_model_that_goes_back_to_its_place_is_not_its_own_base(hub, model):
    loaded = bq.load(bq.push(NAME, model, licence="MIT"))
    bq.push(NAME, loaded, licence="MIT")
    assert "base_model" not in sent(hub)["README.md"].decode()
    bq.push("hf://team/copy", loaded, licence="MIT")
    copy = hub.repos["team/copy"].at("main")[1]["README.md"].decode()
    assert "base_model:\n- team/ward7\n" in copy


def test_without_huggingface_hub_the_line_says_how_to_get_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for act in (lambda: bq.load(NAME), lambda: bq.push(NAME, model, licence="MIT")):
        with pytest.raises(MissingExtra, match=r"pip install 'bequest\[hf\]'"):
            act()
