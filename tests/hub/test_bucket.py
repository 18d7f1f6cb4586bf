import os
import re
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bequest.cli import run
from bequest.errors import BequestError, HubError, MissingExtra
from bequest.hub import Hub


def test_without_its_package_it_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(MissingExtra, match=r"pip install 'bequest\[s3\]'"):
        Hub("s3://bucket/hub", cache=tmp_path / "cache").list()


def test_who_may_only_read_reads_and_is_told_when_writing(s3, tiny):
    s3.hub().publish(tiny([1.0]), "a", licence="MIT")
    reader = s3.hub("reader", "reader")
    assert reader.pull("a").weights.tolist() == [1.0]
    with pytest.raises(HubError, match=r"may not be written with these credentials \(AccessDenied"):
        reader.publish(tiny([2.0]), "a", licence="MIT")
    stranger = s3.hub("stranger", "stranger")
    for ask in (stranger.list, lambda: stranger.publish(tiny([2.0]), "a", licence="MIT")):
        with pytest.raises(HubError, match="may not be read with these credentials"):
            ask()
    assert not stranger.folder.exists()


def test_a_store_that_ignores_conditions_is_refused(s3, tiny):
    hub = s3.hub(who="careless")
    with pytest.raises(HubError, match="does not keep to conditional writes"):
        hub.publish(tiny([1.0]), "a", licence="MIT")
    with pytest.raises(HubError, match="there is no hub"):
        s3.hub().list()


def test_an_answer_that_is_lost_publishes_once(s3, tiny):
    hub = s3.hub(who="unheard")
    assert hub.publish(tiny([1.0]), "a", licence="MIT", expect=0).version == 1
    assert hub.publish(tiny([2.0]), "a", licence="MIT", expect=1).version == 2
    assert len(s3.hub("other").list(every=True)) == 2


def test_two_writes_that_meet_are_tried_again(s3, tiny):
    hub = s3.hub(who="busy")
    assert hub.publish(tiny([1.0]), "a", licence="MIT", expect=0).version == 1
    assert hub.publish(tiny([2.0]), "a", licence="MIT").version == 2
    assert len(s3.hub("other").list(every=True)) == 2


@pytest.mark.parametrize(
    ("url", "more", "line"),
    [
        ("s3://nobody/hub", {}, "no bucket or folder for the hub s3://nobody/hub"),
        ("s3://bucket/hub", {"endpoint": "http://127.0.0.1:1"}, "cannot be reached"),
        ("s3://bucket/hub", {"nonsense": "1"}, "'nonsense' is not valid"),
        ("s3://bucket/hub", {"endpoint": 7}, "could not be read"),
    ],
)
def test_what_cannot_be_reached_is_one_line_soon(s3, tiny, url, more, line, tmp_path):
    hub = Hub(url, cache=tmp_path / "cache", storage={**s3.storage(), **more})
    start = time.monotonic()
    for ask in (hub.list, lambda: hub.publish(tiny([1.0]), "a", licence="MIT")):
        with pytest.raises(HubError, match=line) as told:
            ask()
        assert "\n" not in str(told.value)
    assert time.monotonic() - start < 20
    assert not (tmp_path / "cache").exists()


def hold(silent):
    held = []
    with suppress(OSError):  # until the test closes the socket
        while True:
            held.append(silent.accept()[0])
    for one in held:
        one.close()


def test_a_server_that_never_answers_is_left(s3, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=hold, args=(silent,), daemon=True).start()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        storage = {**s3.storage(), "endpoint": address, "read_timeout": "500ms"}
        start = time.monotonic()
        with pytest.raises(HubError, match="cannot be reached"):
            Hub("s3://bucket/hub", cache=tmp_path / "cache", storage=storage).list()
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///hub",
        "s3://key:secret@bucket/hub",
        "s3://bucket/../hub",
        "s3://bucket/hub?x=1",
        "s3://bucket/hub#x",
        "s3://buck et/hub",
        "s3://bucket//hub",
        "s3://bücket/hub",
        "file://host/hub",
        "file://",
        "s3://[",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(HubError, match="no address") as told:
        Hub(url)
    assert "secret" not in str(told.value).replace("key:secret@bucket", "")


def test_a_path_that_was_an_address_is_told_from_a_folder():
    with pytest.raises(HubError, match="give it as text"):
        Hub(Path("s3://bucket/hub"))
    with pytest.raises(HubError, match="cache and storage are for object storage"):
        Hub("folder", cache="other")
    with pytest.raises(HubError, match="storage holds settings by name, it is no str"):
        Hub("s3://bucket/hub", storage="https://example.org")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 on
def test_a_forked_process_says_so_instead_of_hanging(s3, tiny):
    hub = s3.hub()
    hub.publish(tiny([1.0]), "a", licence="MIT")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            hub.list()
        except BequestError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert re.search("before this process was forked", said.read())


def test_commands_take_address_and_credentials_as_other_tools_do(
    s3, tiny, monkeypatch, capsys, tmp_path
):
    s3.hub().publish(tiny([1.0]), "wards/a", licence="MIT")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(["list", "--hub", s3.url]) == 1
    assert "credentials" in capsys.readouterr().err
    for name, value in s3.storage().items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    assert run(["list", "--hub", s3.url]) == 0
    assert "wards/a@1" in capsys.readouterr().out
