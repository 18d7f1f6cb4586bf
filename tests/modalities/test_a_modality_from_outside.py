"""A modality of one's own, in this one file: walks over numbered places, of any length.

N walks, P places.
"""

import sys
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import final

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import bequest as bq
from bequest.core import ENCODERS, MODALITIES, Modality, Task, as_inputs, fingerprint, spec_of
from bequest.core.modality import digests
from bequest.errors import BadPlugin, DataError, DuplicateName, ModelError, NotApplicable
from bequest.frameworks.encoders.encoder import VectorEncoder
from bequest.hub.sketches.task_sketch import local_sketch, similarity, sketch
from bequest.methods.from_scratch import FromScratch
from bequest.testing import MODALITY_CHECKS, ModalityCase

PLACES = 6


@final
class Walks:
    """N walks: integer arrays of any length."""

    def __init__(self, walks):
        self.walks = np.empty(len(walks), dtype=object)
        self.walks[:] = [np.asarray(walk, dtype=np.int64) for walk in walks]

    def __len__(self):
        return len(self.walks)

    def __getitem__(self, rows):
        return Walks(list(np.atleast_1d(self.walks[rows])))

    def __iter__(self):
        return iter(self.walks)


@final
@dataclass(frozen=True)
class Steps:
    """An encoder of one's own: how often each step was taken, of those seen in training."""

    steps: tuple[tuple[int, int], ...]

    @classmethod
    def fit(cls, inputs):
        return cls(tuple(sorted({step for walk in inputs for step in steps_of(walk)})))

    def encode(self, inputs):
        counts = np.zeros((len(inputs), len(self.steps)), dtype=np.float32)
        place = {step: column for column, step in enumerate(self.steps)}
        for row, walk in enumerate(inputs):
            for step in steps_of(walk):
                if step in place:
                    counts[row, place[step]] += 1
        return counts

    def to_config(self):
        return {"encoder": "steps", "steps": [list(step) for step in self.steps]}

    @classmethod
    def from_config(cls, config):
        return cls(tuple((int(a), int(b)) for a, b in config["steps"]))


def steps_of(walk):
    return [(int(a), int(b)) for a, b in pairwise(walk)]


class Plain(Modality):
    """Only what a modality must give; the rest are the defaults."""

    name = "walk"

    def recognise(self, samples):
        if isinstance(samples, Walks):
            return samples
        mine = isinstance(samples, list) and samples and all(map(is_walk, samples))
        return Walks(samples) if mine else None

    def holds(self, inputs):
        return isinstance(inputs, Walks)

    def vectors(self, inputs):
        visits = [np.bincount(walk, minlength=PLACES)[:PLACES] for walk in inputs]
        return np.array(visits, dtype=np.float64).reshape(-1, PLACES)

    def row_digests(self, inputs):
        return digests(walk.tobytes() for walk in inputs)


@final
class Own(Plain):
    """As above, with an encoder of its own."""

    encoder = "steps"


def is_walk(sample):
    return isinstance(sample, np.ndarray) and sample.ndim == 1 and sample.dtype.kind == "i"


@pytest.fixture(params=[Plain, Own])
def modality(request, monkeypatch):
    """Registered for one test; a plug-in stays so."""
    for registry in (MODALITIES, ENCODERS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    ENCODERS.add("steps", Steps)
    MODALITIES.add("walk", request.param())
    return MODALITIES["walk"]


def walks(rows, seed=0):
    """Those of class 1 stay among the higher places."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    low = labels * (PLACES // 2)
    made = [rng.integers(b, b + PLACES // 2 + 1, size=rng.integers(3, 12)) for b in low]
    return [np.minimum(walk, PLACES - 1) for walk in made], np.where(labels, "high", "low")


def task(rows=60, seed=0, **keywords):
    X, y = walks(rows, seed)
    return Task.from_arrays(X, y, name=f"walks {seed}", **keywords)


def higher(inputs):
    """A source: where a walk is on average, as the probability of being among the higher places."""
    share = np.array([np.mean(walk) / (PLACES - 1) for walk in inputs])
    return np.stack([1 - share, share], axis=1)


def source():
    return bq.wrap(higher, classes=["low", "high"], name="mean place", example=walks(4)[0])


@pytest.mark.parametrize("check", MODALITY_CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract(modality, check):
    check(ModalityCase(modality, walks(8)[0], ["texts", "of", "another", "modality"]))


def test_arrays_become_a_task_of_it(modality):
    made = task()
    assert made.modality == "walk"
    assert isinstance(made.inputs, Walks)
    assert isinstance(made.take([2, 5]).inputs, Walks)
    assert task().fingerprint == made.fingerprint != task(seed=1).fingerprint


def test_other_samples_are_still_what_they_were(modality):
    assert Task.from_arrays([[1.0], [2.0]], [0, 1]).modality == "vector"
    assert Task.from_text(["good", "bad"], [0, 1]).modality == "text"


def test_a_model_is_trained_predicts_and_survives_the_disk(modality, tmp_path):
    model = bq.train(task())
    X, y = walks(40, seed=1)
    assert (model.predict(X) == y).mean() > 0.85
    model.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.spec == model.spec


def test_a_source_is_ranked_and_transferred(modality, tmp_path):
    target = task(40, seed=2, test=walks(40, seed=3))
    assert bq.rank([source()], target)[0].source == "mean place"
    result = bq.transfer(target, [source()], methods=["reuse", "stack"], budget=None)
    assert result.outcome.target.modality == "walk"
    X, y = walks(40, seed=4)
    assert (result.model.predict(X) == y).mean() > 0.85


def test_workers_know_what_was_registered(modality):
    target = task(40, seed=2)
    results = [
        bq.transfer(target, [source()], methods=["reuse"], budget=None, executor=executor)
        for executor in ("local", "processes")
    ]
    assert results[0].outcome.arms[0].folds == results[1].outcome.arms[0].folds
    assert all(len(result.outcome.arms[0].folds) == 20 for result in results)


def test_a_trained_source_is_stacked_and_saved(modality, tmp_path):
    from bequest.methods.stack import Stack

    trained = bq.train(task())
    model = Stack().fit([bq.Source(trained)], task(30, seed=5), rng=np.random.default_rng(0))
    model.save(tmp_path / "stacked")
    X = walks(9, seed=6)[0]
    np.testing.assert_array_equal(bq.load(tmp_path / "stacked").output(X), model.output(X))


def test_it_has_sketches(modality):
    assert similarity(local_sketch(task()), local_sketch(task())) == pytest.approx(1.0)
    assert sketch(task(400), rng=np.random.default_rng(0)).modality == "walk"


def test_without_points_there_is_no_sketch_and_a_reason(modality, monkeypatch):
    monkeypatch.setattr(
        type(modality), "vectors", lambda self, inputs: np.ones((1, len(inputs.walks[0])))
    )
    with pytest.raises(NotApplicable, match="walk inputs have no points: their vectors differ"):
        sketch(task())


def test_a_model_of_another_modality_says_that_it_does_not_apply(modality):
    other = bq.train(Task.from_arrays(np.eye(4), [0, 1, 0, 1]), net="linear")
    assert (
        other.applies(task()).reason == "the source takes vector inputs, the task has walk inputs."
    )


def test_inputs_of_another_modality_are_refused_in_one_line(modality):
    model = bq.train(task())
    if isinstance(model.encoder, VectorEncoder):
        with pytest.raises(DataError, match="the model reads walk inputs, these are vector ones"):
            model.predict(np.eye(3))


@pytest.mark.parametrize("given", [np.ones(60), np.ones((59, 2)), np.full((60, 2), np.nan)])
def test_vectors_that_are_no_finite_matrix_are_refused_in_one_line(modality, monkeypatch, given):
    monkeypatch.setattr(type(modality), "vectors", lambda self, inputs: given)
    with pytest.raises(DataError, match=r"'walk' gives vectors of shape \(.* for 60 inputs"):
        VectorEncoder.fit(task().inputs)


def test_a_network_that_from_scratch_does_not_train_is_refused(modality, monkeypatch):
    monkeypatch.setattr(type(modality), "networks", ("linear", "forest"))
    monkeypatch.setattr(type(modality), "default_network", "forest")
    assert {arm.net for arm in FromScratch.arms(task())} == {"linear"}
    with pytest.raises(NotApplicable, match="from scratch trains no 'forest' for walk inputs"):
        bq.train(task())


def test_wrapped_models_of_arrays_refuse_it_in_one_line(modality):
    inputs = task().inputs
    network = bq.wrap(torch.nn.Linear(6, 2), classes=["low", "high"])
    with pytest.raises(DataError, match="the model reads arrays, these are walk inputs"):
        network.output(inputs)
    estimator = bq.wrap(LogisticRegression().fit(np.eye(2), ["low", "high"]))
    with pytest.raises(DataError, match="LogisticRegression cannot read the inputs"):
        estimator.output(inputs)


def test_unequal_lengths_are_one_line(modality):
    X, y = walks(10)
    with pytest.raises(DataError, match="there are 10 inputs and 9 labels"):
        Task.from_arrays(X, y[:9])


def test_a_folder_of_a_plug_in_that_is_not_here_is_one_line(modality, tmp_path, monkeypatch):
    bq.train(task()).save(tmp_path / "model")
    for registry in (MODALITIES, ENCODERS):
        absent = {n: e for n, e in registry._entries.items() if n not in ("walk", "steps")}
        monkeypatch.setattr(registry, "_entries", absent)
    with pytest.raises(ModelError, match=r"unknown encoder: no .* named '(walk|steps)'"):
        bq.load(tmp_path / "model")


def test_a_name_is_registered_once(modality):
    with pytest.raises(DuplicateName, match="a modality named 'walk' is registered already"):
        MODALITIES.add("walk", Own())
    with pytest.raises(DuplicateName, match="'text'"):
        MODALITIES.add("text", Own())


def test_a_modality_without_a_method_says_which():
    class Half(Modality):
        name = "half"

        def recognise(self, samples):
            return None

    with pytest.raises(TypeError, match=r"Half .*holds.*row_digests.*vectors"):
        Half()


@pytest.mark.parametrize("value", [Own, object()], ids=["the class", "another object"])
def test_what_is_no_modality_is_refused_when_it_is_added(value):
    with pytest.raises(BadPlugin, match=r"'other' must be an object of a subclass of .*Modality"):
        MODALITIES.add("other", value)


def test_a_modality_under_another_name_is_refused_when_it_is_added():
    with pytest.raises(BadPlugin, match="the modality 'other' calls itself 'walk'"):
        MODALITIES.add("other", Own())


@pytest.mark.parametrize("method", ["recognise", "holds"])
def test_an_error_inside_of_a_plug_in_names_it(modality, monkeypatch, method):
    made = task()

    def fails(self, samples):
        raise IndexError("list index out of range")

    monkeypatch.setattr(type(modality), method, fails)
    with pytest.raises(DataError, match=r"the modality 'walk' fails on a .*IndexError") as caught:
        spec_of(as_inputs(np.eye(4)))
    assert "\n" not in str(caught.value)
    assert len(made) == 60


def test_recognising_what_it_does_not_hold_is_one_line(modality, monkeypatch):
    monkeypatch.setattr(type(modality), "recognise", lambda self, samples: samples)
    with pytest.raises(DataError, match="the modality 'walk' recognises a list and gives a list"):
        Task.from_arrays([[1.0], [2.0]], [0, 1])


@pytest.fixture
def installed(monkeypatch):
    """A package whose entry point names the modality."""

    class Point:
        name, value = "walk", "package_of_walks:OWN"

    monkeypatch.setattr(MODALITIES, "_entries", dict(MODALITIES._entries))
    monkeypatch.setattr(MODALITIES, "_plugins_loaded", False)
    monkeypatch.setattr("bequest.core.registry.entry_points", lambda group: [Point])
    monkeypatch.setitem(sys.modules, "package_of_walks", SimpleNamespace(OWN=Own()))


def test_a_plug_in_is_found_by_its_entry_point(installed):
    assert task().modality == "walk"


def test_a_plug_in_that_cannot_be_loaded_is_named(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "package_of_walks", SimpleNamespace())
    with pytest.raises(BadPlugin, match="'walk' cannot be loaded from package_of_walks:OWN: Attri"):
        Task.from_arrays(np.eye(4), [0, 1, 0, 1])


def test_the_fingerprint_of_its_inputs_is_that_of_their_content(modality):
    X, _ = walks(6)
    assert fingerprint(Walks(X)) == fingerprint(Walks(X)) != fingerprint(Walks(X[::-1]))
