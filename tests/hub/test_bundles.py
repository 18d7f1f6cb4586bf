import errno
import json
import os
import warnings
import zipfile

import pytest
from hub_places import everywhere

from bequest.errors import BequestError, Conflict, Damaged, HubError
from bequest.hub import Hub
from bequest.hub.publishing import bundles


@pytest.fixture
def bundled(hub, tiny, tmp_path):
    hub.publish(tiny([9.0]), "other", licence="MIT")
    hub.publish(tiny([1.0]), "a", licence="MIT")
    hub.publish(tiny([2.0]), "a", licence="MIT", parents=["a"])
    hub.publish(tiny([3.0]), "b", licence="Apache-2.0", parents=["a@2", "stranger"])
    path = tmp_path / "b.bundle"
    hub.bundle("b", path)
    return path


@pytest.fixture
def second(tmp_path):
    return Hub(tmp_path / "second")


def objects(hub):
    return {p.parent.name + p.name for p in (hub.folder / "objects").glob("*/*")}


def rewritten(path, change):
    """The same bundle with its members, a dict of name to bytes, changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in change(members) or members.items():
            archive.writestr(name, content)


def listed(members, change):
    values = json.loads(members["bundle.json"])
    change(values["entries"])
    members["bundle.json"] = json.dumps(values).encode()


def nothing_in(hub):
    try:
        return hub.list() == () and objects(hub) == set() and not os.listdir(hub.folder / "tmp")
    except HubError:
        return objects(hub) == set()


@everywhere
def test_an_entry_goes_to_another_hub_with_all_that_it_was_made_from(hub, second, bundled):
    new = second.unbundle(bundled)
    assert [str(entry) for entry in new] == ["a@1", "a@2", "b@1"]
    assert second.list(every=True) == tuple(e for e in hub.list(every=True) if e.name != "other")
    assert second.pull("b").weights.tolist() == [3.0]
    used = {file.digest for entry in new for file in entry.files.values()}
    assert objects(second) == used
    assert second.unbundle(bundled) == ()


@everywhere
def test_the_same_entries_give_the_same_bytes(hub, second, bundled, tmp_path):
    second.unbundle(bundled)
    second.bundle("b", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundled.read_bytes()


def test_a_bundle_leaves_a_file_that_exists_as_it_is(hub, bundled):
    before = bundled.read_bytes()
    with pytest.raises(HubError, match="exists"):
        hub.bundle("b", bundled)
    assert bundled.read_bytes() == before


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_hard_links_takes_a_bundle(
    hub, bundled, second, tmp_path, monkeypatch, taken
):
    def link(source, target):
        if taken:
            (tmp_path / "new").write_text("somebody else's")
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    if taken:
        with pytest.raises(HubError, match="exists"):
            hub.bundle("b", tmp_path / "new")
        assert (tmp_path / "new").read_text() == "somebody else's"
    else:
        hub.bundle("b", tmp_path / "new")
        assert (tmp_path / "new").read_bytes() == bundled.read_bytes()
    assert len([path for path in os.listdir(tmp_path) if "new" in path]) == 1


def test_a_fault_at_the_target_is_not_told_as_one_of_the_hub(hub, bundled, tmp_path, monkeypatch):
    with pytest.raises(HubError, match=r"absent/new cannot be written: No such file") as error:
        hub.bundle("b", tmp_path / "absent" / "new")
    assert str(hub.folder) not in str(error.value)

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundles, "sync", full)
    with pytest.raises(HubError, match=r"the disk is full: .*/new was not written") as error:
        hub.bundle("b", tmp_path / "new")
    assert str(hub.folder) not in str(error.value)
    assert not [path for path in os.listdir(tmp_path) if "new" in path]


def test_a_fault_of_an_object_is_told_as_one_of_the_hub(hub, bundled, tmp_path):
    digest = hub.show("b").files["weights.f64"].digest
    place = hub.folder / "objects" / digest[:2] / digest[2:]
    place.unlink()
    place.mkdir()  # reading it is a fault, whoever we are
    with pytest.raises(HubError, match=f"the hub's object {digest[:12]} cannot be read"):
        hub.bundle("b", tmp_path / "new")


def test_a_damaged_object_is_in_no_bundle(hub, bundled, tmp_path):
    digest = hub.show("b").files["weights.f64"].digest
    place = hub.folder / "objects" / digest[:2] / digest[2:]
    place.chmod(0o644)
    place.write_bytes(b"x" * 8)
    with pytest.raises(HubError, match="was altered"):
        hub.bundle("b", tmp_path / "new")
    assert not [path for path in os.listdir(tmp_path) if "new" in path]


def test_another_model_of_the_same_name_and_version_is_a_conflict(second, tiny, bundled):
    second.publish(tiny([7.0]), "b", licence="MIT")
    before = objects(second)
    with pytest.raises(Conflict, match="b@1 is another model here"):
        second.unbundle(bundled)
    assert [str(entry) for entry in second.list(every=True)] == ["b@1"]
    assert objects(second) == before


def test_every_altered_byte_is_found_or_changes_nothing(hub, second, bundled, tmp_path):
    whole = bundled.read_bytes()
    truth = {str(e): e for e in hub.list(every=True)}
    taken = 0
    for number, place in enumerate(range(0, len(whole), max(len(whole) // 40, 1))):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << number % 8
        bundled.write_bytes(spoiled)
        target = Hub(tmp_path / f"hub{number}")
        try:
            new = target.unbundle(bundled)
        except BequestError:
            assert nothing_in(target)
        else:
            taken += 1
            assert [truth[str(entry)] for entry in new] == list(new)  # a date in the zip, say
    assert taken < 10


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_bundle_that_was_cut_off_is_refused(second, bundled, share):
    whole = bundled.read_bytes()
    bundled.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(HubError):
        second.unbundle(bundled)
    assert nothing_in(second)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: m.update({"../../evil": b"x"}), "which no bundle holds"),
        (lambda m: m.update({"/etc/cron.d/evil": b"x"}), "which no bundle holds"),
        (lambda m: m.update({"objects/" + "0" * 64: b"x"}), "more files, or fewer"),
        (lambda m: [*m.items(), list(m.items())[1]], "twice"),
        (lambda m: m.pop(sorted(m)[-1]) and None, "more files, or fewer"),
        (lambda m: m.pop("bundle.json") and None, "no bundle"),
        (lambda m: m.update({"bundle.json": b"[" * 100_000}), "unsound"),
        (lambda m: m.update({"bundle.json": b"[]"}), "unsound"),
        (lambda m: m.update({sorted(m)[-1]: b"x"}), "has not the size"),
        (lambda m: listed(m, lambda e: e.clear()), "lists no entry"),
        (lambda m: listed(m, lambda e: e.append(e[0])), "one of them twice"),
        (lambda m: listed(m, lambda e: e[0].update(name="../up")), "no name for a hub"),
        (lambda m: listed(m, lambda e: e[0].update(version=-1)), "no version"),
        (
            lambda m: listed(m, lambda e: e[0].update(version=True)),
            r"\$\.version: expected a whole",
        ),
        (lambda m: listed(m, lambda e: e[0]["card"].update(licence="Mine")), "no licence"),
        (lambda m: listed(m, lambda e: e[0]["card"].update(licence="0BSD")), "another card"),
        (lambda m: listed(m, lambda e: e[0].update(digest="0" * 64)), "no longer match"),
        (
            lambda m: listed(m, lambda e: e[0]["files"].update({"../x": {"digest": "0" * 64}})),
            r"no entry: \$\.files\[\.\.\.\]: it has no `size`",
        ),
    ],
)
def test_a_bundle_made_to_do_harm_is_refused_and_leaves_nothing(second, bundled, change, line):
    rewritten(bundled, change)
    with pytest.raises(HubError, match=line):
        second.unbundle(bundled)
    assert nothing_in(second)
    assert not (second.folder.parent / "evil").exists()


def test_a_bundle_whose_licences_exclude_one_another_is_refused(hub, second, tiny, tmp_path):
    hub.publish(tiny([2.0]), "child", licence="MIT", parents=["parent"])  # unknown at that time
    Hub(tmp_path / "third").publish(tiny([1.0]), "parent", licence="GPL-3.0-only")
    Hub(tmp_path / "third").bundle("parent", tmp_path / "parent.bundle")
    hub.bundle("child", tmp_path / "child.bundle")
    second.unbundle(tmp_path / "parent.bundle")
    with pytest.raises(HubError, match="its parent parent is under GPL"):
        second.unbundle(tmp_path / "child.bundle")
    assert [str(entry) for entry in second.list()] == ["parent@1"]


def test_a_packed_bundle_a_link_and_a_folder_are_refused(second, bundled, tmp_path):
    packed = tmp_path / "packed"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", b" " * 10_000_000)
    (tmp_path / "link").symlink_to(bundled)
    for path, line in ((packed, "packed"), (tmp_path / "link", "no file"), (tmp_path, "no file")):
        with pytest.raises(HubError, match=line):
            second.unbundle(path)
    assert nothing_in(second)


@pytest.mark.parametrize("around", [(b"before", b""), (b"", b"behind"), (b"x" * 99, b"y" * 99)])
def test_other_bytes_around_a_bundle_are_refused(around, second, bundled):
    bundled.write_bytes(around[0] + bundled.read_bytes() + around[1])
    with pytest.raises(Damaged, match="other bytes before it or behind it"):
        second.unbundle(bundled)
    assert nothing_in(second)


@pytest.mark.parametrize(
    "when",
    ["\x1b[31m\n", "", "yesterday", 3, None, "2026-13-01T00:00:00Z", "2026-01-01\n00:00:00Z"],
)
def test_an_entry_published_at_no_time_is_refused(when, second, bundled):
    rewritten(bundled, lambda m: listed(m, lambda entries: entries[0].update(published=when)))
    with pytest.raises(Damaged, match=r"no ISO 8601 time|\$\.published: expected a text") as error:
        second.unbundle(bundled)
    assert str(error.value).isprintable()
