"""An ensemble: the average of its members, a model like any other."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.core import Card, Source, Task
from bequest.core.feature_cache import FeatureCache
from bequest.errors import MapError, ModelError, NotApplicable
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.frameworks.files.folder import FORMAT, unsynced, write_folder
from bequest.methods.fine_tune import FineTune
from bequest.methods.lora import LoRA
from bequest.methods.parameters import Parameters
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack

sys.path.insert(0, str(Path(__file__).parent))
import hub_folders

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
TASK = Task.from_arrays(X, np.where(X[:, 0] + X[:, 1] > 0, "a", "b"), name="sums")
VALUES = Task.from_arrays(X, X[:, 0] + 2 * X[:, 1], kind="regression", name="weighted sums")


class Counting(nn.Module):
    """A network that knows how many rows it was asked for."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 300), nn.ReLU(), nn.Linear(300, 300), nn.ReLU())
        self.head = nn.Linear(300, 2)
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return self.head(self.body(x))


@cache
def classifiers():
    return tuple(bq.train(TASK, net=net) for net in ("linear", "boosting"))


@cache
def regressors():
    return tuple(bq.train(VALUES, net=net) for net in ("linear", "boosting"))


def network():
    torch.manual_seed(0)
    return bq.wrap(Counting().eval(), classes=["a", "b"], example=X, config={}, name="trunk")


def on(source):
    """Four members that leave the network as it is, and use it in four ways."""
    methods = (Probe(strength=0.1), Probe(), Stack(inputs=False), Reuse())
    rng = np.random.default_rng(0)
    return tuple(method.fit([Source(source)], TASK, rng=rng) for method in methods)


@pytest.fixture
def trunk():
    return network()


@pytest.fixture
def frozen(trunk):
    return on(trunk)


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("members", [classifiers, regressors])
def test_it_gives_the_mean_of_what_its_members_give(members):
    one, two = members()
    found = Ensemble((one, two), card=Card()).output(X)
    np.testing.assert_array_equal(found, (one.output(X) + two.output(X)) / 2)


def test_a_single_member_is_left_as_it_is():
    one, _ = classifiers()
    np.testing.assert_array_equal(Ensemble((one,), card=Card()).output(X), one.output(X))


def fixed(*rows):
    return bq.wrap(lambda _: np.array(rows), classes=["a", "b"], name="fixed")


def test_a_temperature_of_a_half_squares_the_mean_probabilities():
    members = fixed([0.9, 0.1], [1.0, 0.0]), fixed([0.7, 0.3], [1.0, 0.0])
    model = Ensemble(members, card=Card(), temperature=0.5)
    squares = np.array([[0.64, 0.04], [1.0, 0.0]])
    expected = squares / squares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X[:2]), expected, rtol=1e-12)
    flat = Ensemble(members, card=Card(), temperature=2.0)
    roots = np.sqrt([0.8, 0.2])
    np.testing.assert_allclose(flat.predict_proba(X[:2])[0], roots / roots.sum(), rtol=1e-12)


def test_a_temperature_of_one_changes_nothing_at_all():
    model = Ensemble(classifiers(), card=Card())
    warm = replace(model, temperature=1)
    np.testing.assert_array_equal(warm.output(X), model.output(X))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), "1", True])
def test_a_temperature_is_a_number_above_zero(temperature):
    with pytest.raises(ModelError, match="temperature is a number above zero"):
        Ensemble(classifiers(), card=Card(), temperature=temperature)


def test_values_have_no_temperature():
    with pytest.raises(ModelError, match="values have no temperature"):
        Ensemble(regressors(), card=Card(), temperature=0.5)


def test_members_of_other_classes_are_refused():
    with pytest.raises(ModelError, match=r"member 1 \(weighted sums\) predicts values, member 0 "):
        Ensemble((classifiers()[0], regressors()[0]), card=Card())
    with pytest.raises(ModelError, match="at least one member"):
        Ensemble((), card=Card())


@pytest.mark.parametrize("members", [classifiers, regressors])
def test_it_gives_the_same_after_saving_and_loading(members, tmp_path):
    model = Ensemble(members(), card=Card(name="both"))
    model.save(tmp_path / "both")
    again = bq.load(tmp_path / "both")
    np.testing.assert_array_equal(again.output(X), model.output(X))
    assert (again.card, again.classes, again.spec) == (model.card, model.classes, model.spec)
    assert [member.card for member in again.members] == [member.card for member in model.members]


def test_a_shared_network_is_stored_once_and_is_one_object_again(trunk, frozen, tmp_path):
    model = Ensemble(frozen, card=Card(name="four"), temperature=0.7)
    model.save(tmp_path / "four")
    again = bq.load(tmp_path / "four", modules=[Counting])
    np.testing.assert_array_equal(again.output(X), model.output(X))
    assert len({id(member.source.module) for member in again.members}) == 1
    assert [member.card for member in again.members] == [member.card for member in frozen]
    assert len(list((tmp_path / "four").rglob("model.safetensors"))) == 1
    trunk.save(tmp_path / "trunk")
    heads = [member.head for member in frozen[:3]]
    for place, head in enumerate(heads):
        head.save(tmp_path / f"head {place}")
    distinct = sum(size(tmp_path / name) for name in ("trunk", "head 0", "head 1", "head 2"))
    assert size(tmp_path / "four") <= 1.1 * distinct


def test_a_model_that_differs_in_its_card_alone_is_stored_once(trunk, tmp_path):
    renamed = trunk.with_card(Card(name="renamed"))
    Ensemble((trunk, renamed), card=Card()).save(tmp_path / "two")
    again = bq.load(tmp_path / "two", modules=[Counting])
    assert [member.name for member in again.members] == ["trunk", "renamed"]
    assert again.members[0].module is again.members[1].module
    assert len(list((tmp_path / "two").rglob("model.safetensors"))) == 1


def test_models_of_one_network_that_read_it_in_another_way_stay_two(tmp_path):
    value = bq.wrap(nn.Linear(4, 1), example=X, name="value")
    doubled = replace(value, target_scale=(1.0, 2.0))
    Ensemble((value, doubled), card=Card()).save(tmp_path / "two")
    again = bq.load(tmp_path / "two")
    for before, after in zip((value, doubled), again.members, strict=True):
        np.testing.assert_allclose(after.output(X), before.output(X), rtol=1e-6)


def test_an_ensemble_inside_of_another_shares_with_it(frozen, tmp_path):
    inner = Ensemble(frozen[:2], card=Card(name="inner"))
    above = Stack(inputs=False).fit([Source(inner)], TASK, rng=np.random.default_rng(0))
    model = Ensemble((inner, above, *frozen[2:]), card=Card(name="outer"))
    model.save(tmp_path / "outer")
    again = bq.load(tmp_path / "outer", modules=[Counting])
    np.testing.assert_array_equal(again.output(X), model.output(X))
    assert len(list((tmp_path / "outer").rglob("model.safetensors"))) == 1
    assert again.members[0] is again.members[1].source
    assert again.members[0].members[0].source is again.members[2].source


def test_predicting_asks_a_shared_network_once_a_row(trunk, frozen):
    model = Ensemble((*frozen, Ensemble(frozen, card=Card())), card=Card())
    model.output(X)  # the first pass measures the batch
    trunk.module.rows = 0
    model.output(X)
    once = trunk.module.rows
    trunk.module.rows = 0
    frozen[0].output(X)
    assert once == trunk.module.rows > 0
    trunk.module.rows = 0
    for member in frozen:
        member.output(X)
    assert trunk.module.rows == 4 * once


def test_what_was_computed_is_not_kept_for_the_next_call(trunk, frozen):
    model = Ensemble(frozen, card=Card())
    before = model.output(X)
    with torch.no_grad():
        trunk.module.body[0].weight.mul_(-1.0)
    assert not np.array_equal(model.output(X), before)


def test_lists_and_arrays_of_other_types_are_computed_once_as_well(trunk, frozen):
    model = Ensemble(frozen, card=Card())
    for given in (X.tolist(), X.astype(np.float64), torch.from_numpy(X)):
        trunk.module.rows = 0
        frozen[0].output(given)
        alone, trunk.module.rows = trunk.module.rows, 0
        model.output(given)
        assert trunk.module.rows == alone


def test_a_cache_in_use_keeps_its_rows(trunk, frozen):
    model = Ensemble(frozen, card=Card())
    expected = model.output(X)
    with FeatureCache() as cache, cache.used():
        cache.add(trunk.module)
        frozen[0].output(X)
        trunk.module.rows = 0
        np.testing.assert_allclose(model.output(X), expected, atol=1e-6)
        assert trunk.module.rows == 0


def test_its_features_are_those_of_the_network_that_all_members_stand_on(trunk, frozen):
    model = Ensemble(frozen, card=Card())
    np.testing.assert_array_equal(model.features(X), trunk.features(X))
    np.testing.assert_array_equal(model.features(X, "body.0"), trunk.features(X, "body.0"))
    with pytest.raises(NotApplicable, match="stand on different models"):
        Ensemble((*frozen, classifiers()[0]), card=Card()).features(X)


def test_its_parts_are_listed_once_and_its_parameters_member_by_member(trunk, frozen):
    model = Ensemble(frozen, card=Card())
    assert sum(part is trunk.module for part in model.parts()) == 1
    names = model.parameters()
    assert names["members.0.source.head.weight"] is not None
    for place, member in enumerate(frozen):
        prefix = f"members.{place}."
        found = {n.removeprefix(prefix) for n in names if n.startswith(prefix)}
        assert found == set(member.parameters())


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    place = tmp_path_factory.mktemp("saved") / "four"
    Ensemble(on(network()), card=Card(name="four")).save(place)
    return place


@pytest.fixture
def saved(original, tmp_path):
    return shutil.copytree(original, tmp_path / "four")


@pytest.fixture(autouse=True)
def quick():
    """Nothing here waits for the disk."""
    with unsynced():
        yield


def rewrite(place, **changes):
    """Write a folder's config anew as somebody would who wants it to pass its own checks."""
    config = json.loads((place / "config.json").read_text())
    card = Card.from_dict(json.loads((place / "card.json").read_text()))
    kind = config.pop("kind")
    rest = {k: v for k, v in config.items() if k not in ("format", "bequest", "files", "digest")}
    work = place.with_name("aside")
    write_folder(
        work,
        kind=kind,
        config={**rest, **changes},
        card=card,
        write=lambda new: shutil.copytree(
            place,
            new,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=lambda at, names: (
                {"config.json", "card.json", "README.md"} & set(names) if at == str(place) else []
            ),
        ),
    )
    shutil.rmtree(place)
    work.rename(place)


def test_rewriting_without_a_change_still_loads(saved):
    rewrite(saved / "members" / "0" / "source")
    rewrite(saved / "members" / "0")
    rewrite(saved)
    assert len(bq.load(saved, modules=[Counting]).members) == 4


@pytest.mark.parametrize(
    "part", [1, -1, 10**9, True, 0.0, "0", "../../..", "/etc", None, [0], {"a": 0}]
)
def test_a_reference_that_is_no_number_of_a_part_is_refused(saved, part):
    rewrite(saved / "members" / "0" / "source", part=part)
    rewrite(saved / "members" / "0")
    rewrite(saved)
    with pytest.raises(ModelError, match="refers to part"):
        bq.load(saved, modules=[Counting])


@pytest.mark.parametrize("what", ["parts", "members"])
@pytest.mark.parametrize("count", [-1, 1.0, True, "1", None])
def test_a_count_that_is_none_is_refused(saved, what, count):
    rewrite(saved, **{what: count})
    with pytest.raises(ModelError, match=f"the config says .* {what}"):
        bq.load(saved, modules=[Counting])


@pytest.mark.parametrize("what", ["parts", "members"])
def test_a_count_beyond_what_is_there_is_refused(saved, what):
    rewrite(saved, **{what: 10**9})
    with pytest.raises(ModelError, match="there is no model folder"):
        bq.load(saved, modules=[Counting])


def test_no_members_at_all_are_refused(saved):
    rewrite(saved, members=0)
    with pytest.raises(ModelError, match="at least one member"):
        bq.load(saved, modules=[Counting])


def test_a_part_that_refers_to_itself_is_refused(saved):
    shutil.rmtree(saved / "parts" / "0")
    config = {"part": 0}
    write_folder(
        saved / "parts" / "0", kind="shared", config=config, card=Card(), write=lambda _: None
    )
    rewrite(saved)
    with pytest.raises(ModelError, match="refers to part 0: there are 0 before it"):
        bq.load(saved, modules=[Counting])


@pytest.mark.parametrize("place", ["parts", "parts/0", "members/0", "members/0/source"])
def test_a_folder_that_is_a_link_is_refused_wherever_it_leads(saved, tmp_path, place):
    path = saved / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    if place == "members/0/source":
        rewrite(saved / "members" / "0")
    rewrite(saved)
    with pytest.raises(ModelError, match=r"is a link|lacks its file"):
        bq.load(saved, modules=[Counting])


def test_a_link_to_the_folder_itself_is_refused(saved):
    shutil.rmtree(saved / "members" / "0")
    (saved / "members" / "0").symlink_to(saved, target_is_directory=True)
    files = json.loads((saved / "config.json").read_text())["files"]
    kept = {name: digest for name, digest in files.items() if not name.startswith("members/0")}
    assert len(kept) < len(files)
    rewrite(saved)
    with pytest.raises(ModelError, match="is a link"):
        bq.load(saved, modules=[Counting])


def test_a_reference_by_itself_says_whose_part_it_is(saved):
    with pytest.raises(ModelError, match="is a part of an ensemble: load the ensemble's folder"):
        bq.load(saved / "members" / "0" / "source")
    with pytest.raises(ModelError, match="is a part of an ensemble"):
        bq.load(saved / "members" / "0")


def test_references_that_multiply_are_refused(tmp_path):
    """Forty folders of a few bytes would be a million million models."""
    place = tmp_path / "many"
    one = classifiers()[0]

    def write(new):
        def reference(at, number):
            write_folder(
                at, kind="shared", config={"part": number}, card=Card(), write=lambda _: None
            )

        one.save(new / "parts" / "0")
        about = {"members": 2, "parts": 0, "temperature": 1.0}
        spec = {"modality": "vector", "shape": [4], "columns": [], "kinds": []}
        for number in range(1, 40):
            write_folder(
                new / "parts" / str(number),
                kind="ensemble",
                config={**about, "spec": spec},
                card=Card(),
                write=lambda at, n=number: [
                    reference(at / "members" / str(m), n - 1) for m in range(2)
                ],
            )
        reference(new / "members" / "0", 39)

    spec = {"modality": "vector", "shape": [4], "columns": [], "kinds": []}
    config = {"members": 1, "parts": 40, "temperature": 1.0, "spec": spec}
    write_folder(place, kind="ensemble", config=config, card=Card(), write=write)
    with pytest.raises(ModelError, match="more than 10,000 models"):
        bq.load(place)


def test_an_altered_part_is_found(saved):
    [weights] = saved.rglob("model.safetensors")
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(ModelError, match="altered"):
        bq.load(saved, modules=[Counting])


def test_labels_put_on_a_shared_source_share_it_too(trunk, tmp_path):
    members = [
        Relabelled(trunk, classes=("b", "a"), columns=(1, 0), weights=weights, card=Card())
        for weights in ((1.0, 1.0), (0.5, 2.0))
    ]
    Ensemble(members, card=Card()).save(tmp_path / "two")
    again = bq.load(tmp_path / "two", modules=[Counting])
    assert again.members[0].source is again.members[1].source
    assert again.classes == ("b", "a")


def test_members_that_show_no_parameters_do_not_hide_those_of_others(trunk):
    trees = Stack(inputs=False, learner="boosting").fit(
        [Source(trunk)], TASK, rng=np.random.default_rng(0)
    )
    names = Ensemble((classifiers()[1], trees), card=Card()).parameters()
    assert set(names) == {f"members.1.source.{name}" for name in trunk.parameters()}
    with pytest.raises(NotApplicable, match="no array of fitted coefficients"):
        Ensemble((classifiers()[1],), card=Card()).parameters()


def test_it_explains_its_members(frozen):
    summary = Ensemble(frozen, card=Card()).explain()
    assert [(one.method, one.source) for one in summary] == [
        ("probe", "trunk"), ("probe", "trunk"), ("stack", "trunk"), ("reuse", "trunk"),
    ]  # fmt: skip
    assert [one.settings.get("strength") for one in summary[:2]] == [0.1, 1.0]
    assert summary[0].name == "sums (probe)"


@pytest.mark.parametrize("method", [FineTune(), LoRA(), Parameters()])
def test_methods_that_train_a_network_refuse_by_naming_the_best_single_arm(frozen, method):
    sources = [Source(Ensemble(frozen, card=Card()))]
    refused = method.applies(sources, TASK)
    assert str(refused) == "an ensemble has no single network: take result.best_single."
    with pytest.raises(NotApplicable, match=r"take result\.best_single\.$"):
        method.fit(sources, TASK, rng=np.random.default_rng(0))


def test_a_parameter_map_refuses_on_both_sides(trunk, frozen):
    model = Ensemble(frozen, card=Card())
    for pair in ((model, trunk), (trunk, model)):
        with pytest.raises(MapError, match=r"^an ensemble has no single network: take result\.b"):
            bq.map_parameters(*pair)


@pytest.mark.parametrize("method", [Reuse(), Stack(), Stack(offset=True), Probe()])
def test_it_is_a_source_of_another_transfer(frozen, method):
    source = Source(Ensemble(frozen, card=Card(name="four")))
    assert method.applies([source], TASK) is None
    model = method.fit([source], TASK, rng=np.random.default_rng(0))
    assert model.card.parents == ("four",)
    assert np.mean(model.predict(X) == np.array(TASK.classes)[TASK.targets]) > 0.7


def test_a_probe_of_members_on_different_models_says_why_it_does_not_apply(frozen):
    source = Source(Ensemble((frozen[0], classifiers()[0]), card=Card()))
    assert "stand on different models" in str(Probe().applies([source], TASK))


def test_a_network_of_transformers_is_stored_once_too(tmp_path):
    bert = hub_folders.network("bert", "SEQUENCE_CLASSIFICATION", labels=("a", "b"))
    source = Source(bq.load(hub_folders.write(tmp_path / "bert", bert)))
    texts = ["good film", "bad film", "a few words", "the very"] * 6
    task = Task.from_text(texts, ["a", "b", "a", "b"] * 6, name="texts")
    arms = (Reuse(), Probe(), Stack(inputs=False))
    members = tuple(arm.fit([source], task, rng=np.random.default_rng(0)) for arm in arms)
    model = Ensemble(members, card=Card())
    model.save(tmp_path / "three")
    again = bq.load(tmp_path / "three")
    np.testing.assert_allclose(again.output(texts), model.output(texts), atol=1e-6)
    assert len(list((tmp_path / "three").rglob("model.safetensors"))) == 1
    assert len({id(member.source.module) for member in again.members}) == 1


def test_in_another_process_its_members_still_share(frozen):
    again = cloudpickle.loads(cloudpickle.dumps(Ensemble(frozen, card=Card())))
    assert len({id(member.source.module) for member in again.members}) == 1


def chain(place, length):
    """An ensemble of one member, below which each part stands on the one before it."""
    spec = {"modality": "vector", "shape": [4], "columns": [], "kinds": []}
    config = {"views": ["outputs"], "encoder": None, "offset": False, "spec": spec}

    def refer(at, part):
        write_folder(at, kind="shared", config={"part": part}, card=Card(), write=lambda _: None)

    def write(new):
        classifiers()[0].save(new / "parts" / "0")
        for number in range(1, length):
            write_folder(
                new / "parts" / str(number),
                kind="stacked",
                config=config,
                card=Card(),
                write=lambda at, part=number - 1: [
                    refer(at / "source", part), refer(at / "head", 0),
                ],
            )  # fmt: skip
        refer(new / "members" / "0", length - 1)

    about = {"members": 1, "parts": length, "temperature": 1.0, "spec": spec}
    write_folder(place, kind="ensemble", config=about, card=Card(), write=write)
    return place


def test_references_that_lead_too_deep_are_refused(tmp_path):
    assert len(bq.load(chain(tmp_path / "well", 40)).members) == 1
    with pytest.raises(ModelError, match="more than 64 models inside of each other"):
        bq.load(chain(tmp_path / "deep", 70))


def test_folders_too_deep_inside_of_each_other_are_one_clear_error(tmp_path):
    place = tmp_path / "deep"
    card = json.dumps(Card().to_dict())
    files = {"card.json": hashlib.sha256(card.encode()).hexdigest()}
    config = {"format": FORMAT, "kind": "stacked", "files": files}
    config["digest"] = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    below = place
    for _ in range(400):
        below.mkdir()
        (below / "card.json").write_text(card)
        (below / "config.json").write_text(json.dumps(config))
        below = below / "source"
    with pytest.raises(ModelError, match="too deep inside of each other"):
        bq.load(place)
