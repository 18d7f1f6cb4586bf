"""Entities of a graph as a source: looked up by name, joined, saved, refused with a reason."""

import json

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.core import Card, GivesFeatures, Predicts, Table
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.frameworks.combined.entities import EntityFeatures
from bequest.frameworks.files.folder import load
from bequest.nets.complex import COMPLEX

NAMES = ("france", "italy", "3")
VECTORS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32)
RELATIONS = np.array([[1.0, 0.5], [0.25, -1.0]], dtype=np.float32)


@pytest.fixture
def places() -> EntityFeatures:
    return EntityFeatures(
        NAMES, VECTORS, ["near"], RELATIONS, scoring="complex", card=Card(name="places")
    )


def a_task(countries, name="visits"):
    table = {"country": countries, "age": list(range(len(countries)))}
    labels = ["yes", "no"] * (len(countries) // 2)
    return bq.Task.from_table({**table, "came": labels}, "came", name=name)


def test_a_name_gives_its_vector_and_a_stranger_zeros(places):
    assert places.of(["italy", "spain", "france"]).tolist() == [[3, 4], [0, 0], [1, 2]]
    assert places.of(np.array(["italy", 3], dtype=object)).tolist() == [[3, 4], [5, 6]]
    assert places.of([3, None]).tolist() == [[5, 6], [0, 0]]
    assert places.knows(["italy", "spain"]).tolist() == [True, False]
    assert places.of([]).shape == (0, 2)


def test_one_text_is_no_list_of_names(places):
    with pytest.raises(DataError, match=r"give \['italy'\]"):
        places.of("italy")


def test_a_score_is_the_mean_of_both_directions(places):
    entities, relations = torch.from_numpy(VECTORS), torch.from_numpy(RELATIONS)
    there = COMPLEX.score(entities[[0]], relations[[0]], entities[[1]])
    back = COMPLEX.score(entities[[1]], relations[[1]], entities[[0]])
    found = places.score(["france"], ["near"], ["italy"])
    assert found == pytest.approx(((there + back) / 2).numpy())


@pytest.mark.parametrize(
    ("triple", "said"),
    [
        (("frnce", "near", "italy"), "no entity 'frnce'. Did you mean 'france'"),
        (("france", "far", "italy"), "no relation 'far'"),
        (("france", "near", None), "no entity 'None'"),
    ],
)
def test_a_score_of_strangers_is_refused(places, triple, said):
    with pytest.raises(DataError, match=said):
        places.score(*([part] for part in triple))


def test_features_stand_side_by_side_for_every_column_that_names_an_entity(places):
    table = {"from": ["italy", "spain"], "to": [3, 3]}
    found = places.on("from", "to").features(table)
    assert found.tolist() == [[3, 4, 1, 5, 6, 1], [0, 0, 0, 5, 6, 1]]
    assert places.on("from", "to").spec.columns == ("from", "to")


def test_without_a_column_it_says_what_to_do(places):
    with pytest.raises(NotApplicable, match=r"features\.on"):
        places.features({"country": ["italy"]})
    assert "features.on" in places.applies(a_task(["italy"] * 4)).reason
    with pytest.raises(DataError, match="name the columns"):
        places.on()
    with pytest.raises(DataError, match="lacks columns that name entities: country"):
        places.on("country").features({"town": ["rome"]})


def test_it_has_no_head(places):
    assert isinstance(places, GivesFeatures)
    assert not isinstance(places, Predicts)
    with pytest.raises(NotApplicable, match="has no head"):
        places.predict({"country": ["italy"]})


def test_a_task_whose_names_are_not_the_graphs_is_refused_with_an_example(places):
    refused = places.on("country").applies(a_task(["Italia", "Frankreich"] * 10))
    assert "of 20 rows, 0 name an entity" in refused.reason
    assert "'Italia' is none of 3, such as 'italy'" in refused.reason
    assert places.on("country").applies(a_task(["italy", "spain"] * 10)) is None
    assert (
        "1 column, 1 of them not in the task: town"
        in places.on("town").applies(a_task(["italy"] * 4)).reason
    )


def test_a_joined_task_has_the_features_as_columns_and_its_held_out_rows_too(places, caplog):
    task = a_task(["italy", "france", "spain", "3"])
    joined = places.on("country").join(task.with_test(a_task(["france", "italy"])))
    assert joined.inputs.names == (
        *("country", "age"), "country: 0", "country: 1", "country: known",
    )  # fmt: skip
    assert joined.inputs.columns["country: 1"].tolist() == [4, 2, 0, 6]
    assert joined.inputs.columns["country: known"].tolist() == [1, 1, 0, 1]
    assert joined.test.inputs.columns["country: 0"].tolist() == [1, 3]
    assert "1 of 4 rows name no entity of the graph" in caplog.text
    assert task.inputs.names == ("country", "age")
    assert joined.fingerprint != task.fingerprint
    model = bq.train(joined, net="linear")
    assert len(model.predict(places.on("country").join({"country": ["3"], "age": [1]}))) == 1


def test_a_table_is_not_joined_twice_and_not_to_strangers(places):
    source = places.on("country")
    joined = source.join(Table({"country": ["italy"]}))
    with pytest.raises(DataError, match="has a column 'country: 0' already"):
        source.join(joined)
    with pytest.raises(DataError, match="cannot be joined: of 4 rows, 0 name"):
        source.join(a_task(["x", "y"] * 2))
    with pytest.raises(DataError, match="are for tables"):
        source.join(np.eye(3))


def test_it_is_saved_and_loaded_as_any_model(places, tmp_path):
    places.on("country").save(tmp_path / "places")
    assert sorted(p.name for p in (tmp_path / "places").iterdir()) == [
        *("README.md", "card.json", "config.json", "model.safetensors", "names.json")
    ]
    again = load(tmp_path / "places")
    assert isinstance(again, EntityFeatures)
    assert (again.entities, again.relations) == (places.entities, places.relations)
    assert (again.columns, again.scoring, again.card.name) == (("country",), "complex", "places")
    assert np.array_equal(again.vectors, places.vectors)
    assert again.score(["3"], ["near"], ["3"]) == places.score(["3"], ["near"], ["3"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("[", "not JSON"),
        (json.dumps({"entities": list(NAMES)}), "does not hold the names"),
        (json.dumps({"entities": [1, 2, 3], "relations": ["near"]}), "something else than lists"),
        (json.dumps({"entities": ["a"], "relations": ["near"]}), "vectors of shape"),
        (json.dumps({"entities": ["a", "a", "b"], "relations": ["near"]}), "stands twice"),
    ],
)
def test_names_that_were_altered_are_refused(places, tmp_path, monkeypatch, names, said):
    places.save(tmp_path / "places")
    (tmp_path / "places" / "names.json").write_text(names)
    monkeypatch.setattr("bequest.frameworks.files.folder.check_files", lambda *given: None)
    with pytest.raises(ModelError, match=said):
        load(tmp_path / "places")


def test_an_altered_folder_is_refused_as_any_other(places, tmp_path):
    places.save(tmp_path / "places")
    (tmp_path / "places" / "names.json").write_text("{}")
    with pytest.raises(ModelError, match="was altered"):
        load(tmp_path / "places")


@pytest.mark.parametrize("vectors", [np.zeros(3), np.zeros((2, 2)), np.zeros((3, 0))])
def test_names_and_vectors_must_go_together(vectors):
    with pytest.raises(ModelError, match="vectors of shape"):
        EntityFeatures(NAMES, vectors, ["near"], RELATIONS, scoring="complex", card=Card())


def test_a_hub_takes_and_gives_it(places, tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(places.on("country"), "shared/places", licence="CC0-1.0")
    assert hub.pull("shared/places").of(["italy"]).tolist() == [[3, 4]]
