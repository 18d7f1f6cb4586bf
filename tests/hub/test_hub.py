import json
import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hub_places import everywhere

from bequest.core import (
    ArmResult,
    Card,
    Outcome,
    RankedSource,
    Task,
    TaskSummary,
    Verdict,
    as_inputs,
)
from bequest.errors import Conflict, EntryNotFound, HubError, ModelError, NotApplicable
from bequest.hub import Hub

X = np.array([[1.0, 2.0], [-3.0, 0.5]])


def published(hub):
    return {str(entry) for entry in hub.list(every=True)}


def outcome(seed=0):
    return Outcome(
        target=TaskSummary(name="ward7"),
        source="ward3",
        method="probe",
        settings={},
        selected="transfer",
        verdict=Verdict(0.06, 0.03, 0.09, "accuracy"),
        folds={"transfer": (0.8, 0.9), "from-scratch": (0.7, 0.8)},
        splits=("00ff",),
        ranking=(RankedSource("ward3", 1.0, 0.5, 1.5),),
        arms=(ArmResult("ward3", "probe", {}, 0.85),),
        seed=seed,
        cost={"seconds": 1.0},
        versions={"bequest": "0.1"},
    )


@everywhere
def test_a_model_comes_back_as_it_was_published(hub, tiny):
    model = tiny([0.5, -1.5], Card(name="a title", metrics={"accuracy": 0.9}))
    entry = hub.publish(model, "wards/ward7", licence="apache-2.0", parents=["wards/ward3"])
    pulled = hub.pull("wards/ward7")
    assert (entry.name, entry.version, len(entry.digest)) == ("wards/ward7", 1, 64)
    np.testing.assert_array_equal(pulled.output(X), model.output(X))
    assert pulled.card.licence == "Apache-2.0"
    assert pulled.card.parents == ("wards/ward3",)
    assert pulled.card.metrics == {"accuracy": 0.9}
    assert pulled.name == "wards/ward7"
    assert model.card.name == "a title"


@everywhere
def test_every_publication_under_a_name_is_its_next_version(hub, tiny):
    first = hub.publish(tiny([1.0]), "a", licence="MIT")
    second = hub.publish(tiny([2.0]), "a", licence="MIT", parents=[first])
    assert published(hub) == {"a@1", "a@2"}
    assert hub.list() == (second,)
    assert hub.pull("a").weights.tolist() == [2.0]
    assert hub.pull("a", 1).weights.tolist() == [1.0]
    assert hub.show("a").card.parents == ("a@1",)
    assert hub.show("a", 1) == first


def test_the_same_model_under_the_same_name_has_the_same_digest_and_is_stored_once(hub, tiny):
    one = hub.publish(tiny([1.0]), "a", licence="MIT")
    stored = set((hub.folder / "objects").glob("*/*"))
    two = hub.publish(tiny([1.0]), "a", licence="MIT")
    assert one.digest == two.digest
    assert set((hub.folder / "objects").glob("*/*")) == stored


@everywhere
def test_a_folder_is_published_with_its_weights_byte_for_byte(hub, tiny, tmp_path):
    tiny([1.0, 2.0], Card(name="mine")).save(tmp_path / "model")
    entry = hub.publish(tmp_path / "model", "a", licence="MIT")
    fetched = tmp_path / "fetched"
    assert hub.fetch("a", fetched) == entry
    weights = (tmp_path / "model" / "weights.f64").read_bytes()
    assert (fetched / "weights.f64").read_bytes() == weights
    assert json.loads((fetched / "card.json").read_text())["licence"] == "MIT"
    assert "license: mit" in (fetched / "README.md").read_text()
    assert {path.name for path in fetched.iterdir()} == set(entry.files)
    assert Hub(tmp_path / "second").publish(fetched, "a", licence="MIT").digest == entry.digest


@everywhere
def test_a_task_goes_into_the_card(hub, tiny):
    task = Task(as_inputs(X), np.array([0, 1]), "classification", ("no", "yes"), "accuracy", "t")
    entry = hub.publish(tiny([1.0, 1.0]), "a", licence="MIT", task=task)
    assert entry.card.task.fingerprint == task.fingerprint
    assert hub.show("a").card.task.classes == ("no", "yes")


def test_an_expected_version_that_is_not_the_latest_is_a_conflict(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT", expect=0)
    hub.publish(tiny([2.0]), "a", licence="MIT", expect=1)
    for stale in (0, 1, 3):
        with pytest.raises(Conflict, match="at version 2"):
            hub.publish(tiny([3.0]), "a", licence="MIT", expect=stale)
    assert published(hub) == {"a@1", "a@2"}
    used = {file.digest for entry in hub.list(every=True) for file in entry.files.values()}
    stored = {path.parent.name + path.name for path in (hub.folder / "objects").glob("*/*")}
    assert stored == used


@everywhere
def test_a_prefix_lists_the_names_that_begin_with_it(hub, tiny):
    for name in ("wards/a", "wards/b", "ward", "zoo"):
        hub.publish(tiny([1.0]), name, licence="MIT")
    assert [entry.name for entry in hub.list("wards/")] == ["wards/a", "wards/b"]
    assert [entry.name for entry in hub.list("ward")] == ["ward", "wards/a", "wards/b"]
    assert hub.list("'; DROP TABLE entries") == ()
    assert [entry.name for entry in hub.list()] == ["ward", "wards/a", "wards/b", "zoo"]


@everywhere
def test_a_name_or_version_that_is_not_there_is_said_with_what_is(hub, tiny):
    hub.publish(tiny([1.0]), "wards/ward7", licence="MIT")
    with pytest.raises(EntryNotFound, match=r"Did you mean 'wards/ward7'"):
        hub.pull("wards/ward8")
    with pytest.raises(EntryNotFound, match="the latest is 1"):
        hub.show("wards/ward7", 2)


NO_VERSIONS = [True, False, "1", 1.0, np.True_, np.float64(1), b"1", [1], 10**30]


@pytest.mark.parametrize("version", NO_VERSIONS, ids=map(repr, NO_VERSIONS))
def test_a_version_that_is_no_whole_number_is_one_line(hub, tiny, version, tmp_path):
    hub.publish(tiny([1.0]), "a/b", licence="MIT")
    for ask in (
        lambda: hub.show("a/b", version),
        lambda: hub.pull("a/b", version),
        lambda: hub.fetch("a/b", tmp_path / "fetched", version),
        lambda: hub.lineage("a/b", version),
        lambda: hub.bundle("a/b", tmp_path / "a.bundle", version),
        lambda: hub.publish(tiny([2.0]), "a/b", licence="MIT", expect=version),
    ):
        with pytest.raises(HubError, match=r"a whole number, such as|nine digits") as told:
            ask()
        assert "\n" not in str(told.value)
    assert [entry.version for entry in hub.list(every=True)] == [1]


def test_a_version_may_be_a_whole_number_of_numpy(hub, tiny):
    first = hub.publish(tiny([1.0]), "a/b", licence="MIT", expect=np.int64(0))
    assert hub.show("a/b", np.int32(1)) == first
    assert hub.pull("a/b", np.uint8(1)).weights.tolist() == [1.0]


def test_own_classes_reach_the_loading_of_a_foreign_folder(hub, tiny, tmp_path, monkeypatch):
    class Own:
        pass

    given = []
    monkeypatch.setattr(
        "bequest.hub.publishing.cards.load",
        lambda place, **named: given.append(named) or tiny([1.0]),
    )
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text('{"model_type": "bert"}')
    hub.publish(tmp_path / "theirs", "theirs", licence="MIT", modules=[Own])
    assert given == [{"modules": [Own]}]


def test_a_hub_that_is_not_there_is_said_and_not_made(tmp_path):
    hub = Hub(tmp_path / "none")
    for ask in (hub.list, hub.outcomes, lambda: hub.show("a"), hub.sources):
        with pytest.raises(HubError, match="there is no hub at"):
            ask()
    assert not hub.folder.exists()


def test_a_home_folder_is_expanded_and_an_address_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Hub("~/hub").folder == tmp_path / "hub"
    for address in ("http://example.org/hub", "https://example.org", "ftp://example.org/hub"):
        with pytest.raises(HubError, match=r"is not the address of a hub.* Known: s3, gs, az, fil"):
            Hub(address)
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="is a file"):
        Hub(tmp_path / "file")


def test_a_folder_of_other_things_is_left_as_it_is(tiny, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(HubError, match="holds other things"):
        Hub(tmp_path).publish(tiny([1.0]), "a", licence="MIT")
    with pytest.raises(HubError, match="holds other things"):
        Hub(tmp_path).record(outcome())
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_sources_are_opened_when_asked_for_and_an_unreadable_one_gives_its_reason(hub, tiny):
    for number, name in enumerate(("a", "b", "c")):
        hub.publish(tiny([float(number)]), name, licence="MIT")
    weights = hub.show("b").files["weights.f64"].digest
    broken = hub.folder / "objects" / weights[:2] / weights[2:]
    broken.chmod(0o644)
    first, second, third = hub.sources()
    assert [first.name, second.name, third.name] == ["a@1", "b@1", "c@1"]
    broken.write_bytes(b"x" * 8)  # after the sources were named: nothing was opened yet
    with pytest.raises(NotApplicable, match="cannot be read"):
        second.model  # noqa: B018
    assert third.model.weights.tolist() == [2.0]


@everywhere
def test_outcomes_come_back_in_order_and_the_same_one_only_once(hub):
    first, second = outcome(0), outcome(1)
    digest = hub.record(first)
    hub.record(second)
    assert hub.record(first) == digest
    assert hub.outcomes() == (first, second)


@everywhere
def test_a_card_with_another_licence_is_refused(hub, tiny):
    model = tiny([1.0], Card(licence="GPL-3.0-only"))
    with pytest.raises(HubError, match=r"the card says GPL-3\.0-only, not MIT"):
        hub.publish(model, "a", licence="MIT")
    assert hub.publish(model, "a", licence="gpl-3.0-only").licence == "GPL-3.0-only"


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda f: (f / "link").symlink_to("/etc/hostname"), "link or a device"),
        (lambda f: (f / "sub").symlink_to("/etc"), "link or a device"),
        (lambda f: os.mkfifo(f / "pipe"), "link or a device"),
        (lambda f: (f / "notes.txt").touch(), "does not list"),
        (lambda f: (f / "weights.f64").write_bytes(b"other"), "altered"),
        (lambda f: (f / "weights.f64").unlink(), "lacks its file"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (shutil.rmtree, "no model folder"),
    ],
)
def test_a_folder_that_is_more_or_less_than_a_model_is_refused(spoil, line, hub, tiny, tmp_path):
    folder = tmp_path / "model"
    tiny([1.0]).save(folder)
    spoil(folder)
    with pytest.raises((HubError, ModelError), match=line):
        hub.publish(folder, "a", licence="MIT")
    assert not hub.folder.exists()


def test_a_file_that_changes_after_it_was_checked_is_refused(hub, tiny, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    tiny([1.0]).save(folder)
    from bequest.hub.publishing import cards as module

    def read_then_change(path, *given):
        found = read_folder(path, *given)
        (folder / "weights.f64").write_bytes(np.array([2.0]).tobytes())
        return found

    read_folder = module.read_folder
    monkeypatch.setattr(module, "read_folder", read_then_change)
    with pytest.raises(HubError, match="changed while it was published"):
        hub.publish(folder, "a", licence="MIT")
    assert published(hub) == set()


@everywhere
def test_fetching_leaves_a_folder_that_exists_as_it_is(hub, tiny, tmp_path):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(HubError, match="exists"):
        hub.fetch("a", tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]
    (tmp_path / "mine" / "thesis.tex").unlink()
    hub.fetch("a", tmp_path / "mine")
    assert "config.json" in os.listdir(tmp_path / "mine")


def test_a_hub_of_a_newer_format_is_refused(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    with sqlite3.connect(hub.folder / "registry.sqlite") as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    for ask in (hub.list, lambda: hub.publish(tiny([1.0]), "a", licence="MIT")):
        with pytest.raises(HubError, match="has format 2, this version reads up to 1"):
            ask()


def test_a_database_of_something_else_is_refused(hub, tiny):
    hub.folder.mkdir()
    with sqlite3.connect(hub.folder / "registry.sqlite") as db:
        db.execute("CREATE TABLE photos (name TEXT)")
    db.close()
    for ask in (hub.list, lambda: hub.publish(tiny([1.0]), "a", licence="MIT")):
        with pytest.raises(HubError, match="something else"):
            ask()


def test_a_hub_that_was_removed_is_made_again_by_the_same_object(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    shutil.rmtree(hub.folder)
    hub.publish(tiny([2.0]), "b", licence="MIT")
    assert published(hub) == published(Hub(hub.folder)) == {"b@1"}
    assert hub.pull("b").weights.tolist() == [2.0]


def test_a_forked_process_publishes_beside_its_parent(hub, tiny):
    hub.publish(tiny([0.0]), "a", licence="MIT")
    child = os.fork()
    if not child:
        try:
            for number in range(5):
                hub.publish(tiny([float(number)]), "child", licence="MIT")
            os._exit(0)
        finally:
            os._exit(1)
    for number in range(5):
        hub.publish(tiny([float(number)]), "parent", licence="MIT")
    assert os.waitpid(child, 0)[1] == 0
    assert [str(entry) for entry in hub.list()] == ["a@1", "child@5", "parent@5"]


@everywhere
def test_threads_publish_at_once(hub, tiny):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: hub.publish(tiny([float(n)]), "a", licence="MIT"), range(12)))
    assert {entry.version for entry in hub.list(every=True)} == set(range(1, 13))
    assert sorted(hub.pull("a", v).weights[0] for v in range(1, 13)) == list(range(12))


def test_what_is_published_stands_in_one_file_when_the_hub_is_let_go(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    folder = hub.folder
    hub._store.records.close()
    assert not (folder / "registry.sqlite-wal").exists()
    assert [str(entry) for entry in Hub(folder).list()] == ["a@1"]


def test_a_hub_whose_making_was_cut_short_is_made_whole(hub, tiny):
    for name in ("tmp", "objects"):
        (hub.folder / name).mkdir(parents=True)
    (hub.folder / "registry.sqlite-wal").touch()
    assert hub.publish(tiny([1.0]), "a", licence="MIT").version == 1
    assert hub.verify() == ()


def test_a_hub_that_lacks_its_registry_is_not_made_anew(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub._store.records.close()
    (hub.folder / "registry.sqlite").unlink()
    with pytest.raises(HubError, match=r"lacks its registry\.sqlite"):
        Hub(hub.folder).publish(tiny([2.0]), "b", licence="MIT")
    assert not (hub.folder / "registry.sqlite").exists()


def test_every_connection_has_the_drive_itself_write_down_what_it_commits(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    for used in (hub._store.records.reading, hub._store.records.writing):
        with used() as db:
            for pragma, value in (
                ("fullfsync", 1),
                ("checkpoint_fullfsync", 1),
                ("synchronous", 2),
            ):
                assert db.execute(f"PRAGMA {pragma}").fetchone()[0] == value
