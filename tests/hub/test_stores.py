"""What every store keeps to, in a folder and on object storage; and which one an address names."""

import itertools
import os
import subprocess
import sys

import pytest

from bequest.errors import BadPlugin, Damaged, DuplicateName, HubError
from bequest.hub import Hub
from bequest.hub.storage import STORES, FolderStore
from bequest.hub.storage.folder.rows import Rows
from bequest.hub.storage.object_storage.bucket import Bucket
from bequest.hub.storage.object_storage.store import RemoteStore
from bequest.hub.storage.schemes import open_store
from bequest.testing import STORE_CHECKS, StoreCase


def in_a_folder(folder):
    return FolderStore(folder, 30.0)


def in_a_folder_at_an_address(folder):
    """Whoever opens it here has the same cache."""
    bucket = folder.with_name("bucket")
    bucket.mkdir(exist_ok=True)
    return open_store(bucket.as_uri(), 30.0, folder)


@pytest.fixture
def case(request, s3_server):
    if request.param != "s3":
        return StoreCase({"folder": in_a_folder, "file": in_a_folder_at_an_address}[request.param])
    caches = itertools.count()
    storage = {
        "endpoint": s3_server,
        "region": "us-east-1",
        "access_key_id": "owner",
        "secret_access_key": "secret",
    }

    def opened(folder):
        """Whoever opens it is on another machine."""
        cache = folder.with_name(f"cache{next(caches)}")
        return open_store(f"s3://bucket/{folder.parent.name}", 30.0, cache, storage)

    return StoreCase(opened)


@pytest.mark.parametrize("case", ["folder", "file", "s3"], indirect=True)
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_every_store_keeps_the_contract(case, check):
    check(case)


def always(answer):
    return lambda *given, **options: answer


def forgetful(store, staged, name, card, expect, enter=FolderStore.enter):
    return enter(store, staged, name, card, None)


# For each check what is wrong with a store that it finds.
BROKEN = {
    "check_an_empty_store_says_so": (FolderStore, "exists", True),
    "check_versions_count_up_and_stay": (Rows, "has", always(True)),
    "check_what_is_not_here_is_refused_by_name": (Rows, "with_digest", always(("a", 1))),
    "check_the_expected_version_is_required": (FolderStore, "enter", forgetful),
    "check_files_come_back_byte_for_byte": (
        FolderStore,
        "copy",
        lambda store, entry, place: place.mkdir(),
    ),
    "check_what_fails_leaves_nothing": (FolderStore, "problems", always((Damaged("it"),))),
    "check_a_snapshot_is_one_state": (Rows, "holds", always(False)),
    "check_the_rows_behind_a_mark_are_what_came_since": (Rows, "holds", always(True)),
    "check_a_later_finding_replaces_an_earlier_one": (Rows, "replaced", always(True)),
    "check_an_outcome_is_kept_once": (Rows, "outcomes", always(())),
    "check_entries_of_another_hub_come_all_or_none": (FolderStore, "take_in", always(())),
    "check_parents_are_looked_at_when_an_entry_begins": (Rows, "came_before", always(True)),
    "check_of_many_who_publish_each_gets_a_version_of_its_own": (Rows, "versions", always(())),
}


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_a_store_that_breaks_the_contract_is_found(check, monkeypatch):
    monkeypatch.setattr(*BROKEN[check.__name__])
    with pytest.raises(AssertionError):
        check(StoreCase(in_a_folder))


ASK = """
import sys
from bequest.errors import BadPlugin, Damaged, DuplicateName, HubError
from bequest.hub import Hub
try:
    Hub(sys.argv[1], cache=sys.argv[2]).list()
except HubError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("s3://bucket/hub", "AWS_ACCESS_KEY_ID"),
        ("gs://bucket/hub", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://container/hub", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_each_scheme_asks_for_its_own_credentials(url, wanted, tmp_path):
    # A proxy that nobody is at: whatever asks for credentials over the network gets no answer.
    none = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", ASK, url, tmp_path / "cache"],
        env={**kept, **none, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    said = f"no credentials for the hub {url}: set {wanted}"
    assert said in done.stdout
    others = {"AWS_", "GOOGLE_", "AZURE_"} - {f"{wanted.partition('_')[0]}_"}
    assert not [other for other in others if other in done.stdout]


def test_an_address_that_nobody_serves_names_those_there_are(tmp_path):
    for url in ("gss://bucket", "http://example.org/hub", "://", "S4://x"):
        with pytest.raises(HubError, match=r"Known: s3, gs, az, file") as refused:
            Hub(url)
        assert "AWS" not in str(refused.value)
    with pytest.raises(HubError, match="Did you mean 'gs'"):
        Hub("gss://bucket")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A store from outside: a share that has the name of a place under it."""
    asked = []

    def opened(url, *, wait, cache, storage):
        asked.append((url, wait, cache, storage))
        return FolderStore(tmp_path / url.removeprefix("lab://"), wait)

    monkeypatch.setattr(STORES, "_entries", {**STORES._entries, "lab": opened})
    return asked


def test_a_scheme_from_outside_is_a_hub_like_any_other(lab, tiny, tmp_path):
    hub = Hub("lab://wards", wait=3, cache=tmp_path / "cache", storage={"level": 2})
    entry = hub.publish(tiny([1.0, 2.0]), "a", licence="MIT")
    assert lab == [("lab://wards", 3, tmp_path / "cache", {"level": 2})]
    assert Hub("lab://wards").list() == (entry,)
    assert hub.pull("a").weights.tolist() == [1.0, 2.0]
    assert hub.folder == tmp_path / "wards"


def test_an_address_on_object_storage_is_not_asked_before_it_is_needed(tmp_path):
    for scheme in ("s3", "gs", "az"):
        hub = Hub(f"{scheme}://bucket/hub", cache=tmp_path)
        assert isinstance(hub._store, RemoteStore)


def test_credentials_that_are_refused_are_not_said_to_lack(s3):
    with pytest.raises(HubError, match="may not be written with these credentials"):
        Bucket(s3.url, s3.storage("stranger"), "set THIS").create("key", b"1")


def test_what_opens_no_store_is_no_plug_in():
    assert list(STORES) == ["s3", "gs", "az", "file"]
    with pytest.raises(BadPlugin, match="'lab'"):
        STORES.add("lab", "lab://")
    with pytest.raises(DuplicateName, match="a store named 's3'"):
        STORES.add("s3", in_a_folder)
    assert list(STORES) == ["s3", "gs", "az", "file"]
