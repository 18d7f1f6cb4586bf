"""README.md of a model folder: what the Hub's own reader makes of it."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

import bequest as bq
from bequest.core import Card, TaskSummary
from bequest.frameworks.files.model_card import model_card

TASK = TaskSummary(name="ward: 7", rows=60, kind="classification", modality="text")


def read(card, kind="torch"):
    return ModelCard(model_card(card, kind), ignore_metadata_errors=False)


def test_the_hub_reads_what_the_card_says():
    card = Card(
        name="films",
        licence="Apache-2.0",
        task=replace(TASK, fingerprint="0f" * 8),
        metrics={"test accuracy": 0.75},
        parents=("google/bert", "my own (2)"),
        method="fine-tune",
    )
    data = read(card).data
    assert (data.license, data.library_name) == ("apache-2.0", "bequest")
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == ["google/bert"]  # another name than the Hub's would be refused there
    [result] = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.75)
    assert (result.dataset_name, result.task_type) == ("ward: 7", "text-classification")


@pytest.mark.parametrize(
    "name", ["a: b", 'say "it"', "---\nlicense: mit", "[x]", "{y}", "# z", "- q", "", "größer"]
)
def test_no_name_breaks_out_of_the_front_matter(name):
    task = replace(TASK, name=name, fingerprint="00")
    card = Card(name=name, task=task, metrics={"r2": 1.0}, licence=name, parents=(name,))
    data = read(card).data
    assert data.library_name == "bequest"
    assert getattr(data, "base_model", None) is None
    assert (data.license or "") == name.lower()
    assert data.eval_results[0].dataset_name == name


@pytest.mark.parametrize("kind", ["adapter", "torch"])
def test_how_a_base_was_used_is_said(kind):
    card = Card(parents=("google/bert",))
    assert read(card, kind).data.to_dict()["base_model_relation"] in ("adapter", "finetune")
    assert ("base=model" in model_card(card, kind)) == (kind == "adapter")


def test_every_saved_folder_has_one(tmp_path):
    task = bq.Task.from_arrays([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    bq.train(task, net="mlp").save(tmp_path / "model")
    data = ModelCard.load(tmp_path / "model" / "README.md").data
    assert data.pipeline_tag == "tabular-classification"
