import hashlib
import json
import os
import time

import pytest
from hub_places import Shared

from bequest.errors import Damaged, HubError

FIRST = "log/0000000001"


@pytest.fixture
def shelf(tmp_path):
    """A hub in a folder that is used as a bucket, where whatever is altered is at hand."""
    (tmp_path / "bucket").mkdir()
    return Shared((tmp_path / "bucket").as_uri(), "", tmp_path)


def sealed(values):
    body = json.dumps(values).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def test_every_flipped_bit_of_the_log_is_found(shelf, tiny):
    shelf.hub().publish(tiny([1.0]), "a", licence="MIT")
    path = shelf.folder / "bucket" / FIRST
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << place % 8
        path.write_bytes(spoiled)
        with pytest.raises(Damaged, match="record 1 of the log was altered"):
            shelf.hub("fresh").list()
    assert not (shelf.folder / "fresh").exists()
    path.write_bytes(whole)
    assert len(shelf.hub("fresh").list()) == 1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda r: r.update(format=2), "has format 2, this version reads 1"),
        (lambda r: r.update(format=[0] * 1000), "has format"),
        (lambda r: r.update(number=2), "does not follow"),
        (lambda r: r.update(before="0" * 64), "does not follow"),
        (lambda r: r.pop("entries"), "unsound"),
        (lambda r: r.update(entries=[7]), "unsound|no entry"),
        (lambda r: r.update(outcomes=3), "unsound"),
        (lambda r: r.update(outcomes=[7]), "unsound"),
        (lambda r: r.update(entries=r["entries"] * 2), "a second time"),
        (lambda r: r["entries"][0].update(name="../../up"), "no name for a hub"),
        (lambda r: r["entries"][0].update(name="CON"), "no name for a hub"),
        (lambda r: r["entries"][0].update(version=0), "no version"),
        (lambda r: r["entries"][0]["card"].update(licence="Mine"), "no licence"),
        (lambda r: r["entries"][0].update(digest="0" * 64), "no longer match"),
        (
            lambda r: r["entries"][0]["files"].update({"../x": {"digest": "0" * 64, "size": 1}}),
            "outside of the model folder",
        ),
        (
            lambda r: r["entries"][0]["files"].update({"x": {"digest": "../../x", "size": 1}}),
            "no sha256",
        ),
        (
            lambda r: r["entries"][0]["files"].update({"x": {"digest": "0" * 64, "size": "1"}}),
            r"\$\.files\[\.\.\.\]\.size: expected a whole number, got a text",
        ),
        (
            lambda r: r["entries"][0]["files"].update({"x\0": {"digest": "0" * 64, "size": 1}}),
            "as no file is named",
        ),
        (lambda r: r["entries"][0]["files"].update({"x": {"a\nb": 1}}), "no entry"),
    ],
)
def test_a_record_that_was_written_to_do_harm_is_refused(shelf, tiny, change, line):
    shelf.hub().publish(tiny([1.0]), "a", licence="MIT")
    path = shelf.folder / "bucket" / FIRST
    values = json.loads(path.read_bytes().partition(b"\n")[2])
    change(values)
    path.write_bytes(sealed(values))
    before = set(os.listdir(shelf.folder))
    with pytest.raises(HubError, match=line) as told:
        shelf.hub("fresh").list()
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500
    assert set(os.listdir(shelf.folder)) - before <= {"fresh"}
    assert not list((shelf.folder / "fresh").glob("objects/*"))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"[" * 1_000_000, "unsound"),
        (b"{", "unsound"),
        (b"[]", "unsound"),
        (b"\xff\xfe", "unsound"),
        (b"", "unsound"),
    ],
)
def test_a_record_that_is_no_json_is_refused(shelf, tiny, body, line):
    shelf.hub().publish(tiny([1.0]), "a", licence="MIT")
    seal = hashlib.sha256(body).hexdigest().encode()
    (shelf.folder / "bucket" / FIRST).write_bytes(seal + b"\n" + body)
    with pytest.raises(Damaged, match=line):
        shelf.hub("fresh").list()


def test_a_huge_record_is_not_read(shelf, tiny):
    shelf.hub().publish(tiny([1.0]), "a", licence="MIT")
    with (shelf.folder / "bucket" / FIRST).open("r+b") as file:
        file.truncate(2**40)
    start = time.monotonic()
    with pytest.raises(Damaged, match="1099511627776 bytes, 16777216 are the most"):
        shelf.hub("fresh").list()
    assert time.monotonic() - start < 5


def test_a_question_to_an_altered_log_is_told_once(shelf, tiny, caplog):
    hub = shelf.hub()
    hub.publish(tiny([1.0]), "a", licence="MIT")
    assert hub.query("SELECT ?m { ?m dcterms:license ?l }")
    (shelf.folder / "bucket" / FIRST).unlink()
    for ask in (lambda: hub.query("SELECT ?m { ?m dcterms:license ?l }"), lambda: hub.export("nt")):
        with pytest.raises(Damaged, match=r"record 1 .* is gone"):
            ask()
    assert caplog.text == ""


def test_a_log_that_was_cut_or_mended_is_told(shelf, tiny):
    hub = shelf.hub()
    for number in range(3):
        hub.publish(tiny([float(number)]), "a", licence="MIT")
    log = shelf.folder / "bucket" / "log"
    third = (log / "0000000003").read_bytes()
    (log / "0000000003").unlink()
    with pytest.raises(Damaged, match=r"record 3 .* is gone or is another"):
        hub.list()
    assert len(shelf.hub("fresh").list(every=True)) == 2  # who never saw it cannot know
    (log / "0000000003").write_bytes(third)
    assert len(hub.list(every=True)) == 3  # written again, and the same
    (log / "0000000003").write_bytes((log / "0000000002").read_bytes())
    with pytest.raises(Damaged, match=r"record 3 .* is gone or is another"):
        hub.list()
    (log / "0000000003").write_bytes(third)
    (log / "0000000002").unlink()
    with pytest.raises(Damaged, match="lacks its record 2"):
        shelf.hub("third").list()
    (log / "0000000002").write_bytes(third)
    with pytest.raises(Damaged, match="does not follow"):
        shelf.hub("fourth").list()


def test_a_stranger_file_in_the_log_is_told(shelf, tiny):
    shelf.hub().publish(tiny([1.0]), "a", licence="MIT")
    (shelf.folder / "bucket" / "log" / "0000000001.bak").touch()
    with pytest.raises(Damaged, match="where it should be stands"):
        shelf.hub().list()


def test_a_card_that_no_record_holds_is_refused_before_it_counts(s3, tiny):
    from bequest.core import Card

    hub = s3.hub()
    with pytest.raises(HubError, match="16777216 are the most: shorten"):
        hub.publish(tiny([1.0], Card(settings={"x": "y" * 2**24})), "a", licence="MIT")
    with pytest.raises(HubError, match="there is no hub"):
        hub.list()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["entries"][0]["card"].update(metrics={"a": 10**400}),
        lambda r: r.update(outcomes=["{}"]),
    ],
)
def test_one_unsound_row_of_a_record_keeps_nobody_from_the_rest(shelf, tiny, change, caplog):
    shelf.hub().publish(tiny([1.0]), "a", licence="MIT")
    path = shelf.folder / "bucket" / FIRST
    values = json.loads(path.read_bytes().partition(b"\n")[2])
    change(values)
    path.write_bytes(sealed(values))
    fresh = shelf.hub("fresh")
    assert len(fresh.list()) == (1 if values["outcomes"] else 0)
    assert fresh.outcomes() == ()
    assert "in record 1 of the log is left out" in caplog.text
    fresh.publish(tiny([2.0]), "b", licence="MIT")
    assert fresh.show("b").version == 1
