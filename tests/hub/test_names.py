import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.errors import HubError
from bequest.hub import checked_licence, checked_name, split_reference

SEGMENT = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,10}[a-z0-9])?", fullmatch=True)
DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}
ALLOWED = set(string.ascii_lowercase + string.digits + "-_./")


@given(st.lists(SEGMENT.filter(lambda s: s not in DEVICES), min_size=1, max_size=3))
def test_one_to_three_plain_segments_are_a_name(segments):
    name = "/".join(segments)
    assert checked_name(name) == name
    assert split_reference(f"{name}@12") == (name, 12)


@given(st.one_of(st.text(), st.text(alphabet="abz09-_./", max_size=20)))
def test_what_is_accepted_is_safe_as_a_path_on_every_platform(text):
    try:
        name = checked_name(text)
    except HubError:
        return
    assert set(name) <= ALLOWED
    assert len(name) <= 128
    assert ".." not in name
    assert 1 <= len(name.split("/")) <= 3
    for part in name.split("/"):
        assert re.match(r"[a-z0-9]", part)
        assert re.search(r"[a-z0-9]\Z", part)
        assert part.split(".")[0] not in DEVICES


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "CON",
        "con",
        "a/nul.txt",
        "com1",
        "a" * 300,
        "Ward7",
        "wаrd",  # the second letter is Cyrillic
        "ward\n",
        "ward ",
        "a//b",
        "/a",
        "a/",
        "a/b/c/d",
        "a.",
        ".a",
        "a\\b",
        "c:a",
        "",
        "a\0b",
    ],
)
def test_a_name_that_some_platform_would_twist_is_refused_in_one_line(name):
    with pytest.raises(HubError) as caught:
        checked_name(name)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["ward@0", "ward@-1", "ward@", "ward@1.0", "ward@٣", "ward@1@2"])
def test_a_reference_with_another_version_than_a_whole_number_is_refused(text):
    with pytest.raises(HubError, match="no version"):
        split_reference(text)


def test_a_licence_gets_the_spelling_of_spdx():
    assert checked_licence("mit") == "MIT"
    assert checked_licence("LicenseRef-My.Own-1") == "LicenseRef-My.Own-1"


def test_an_unknown_licence_is_refused_with_the_closest_known_ones():
    with pytest.raises(HubError, match=r"Did you mean .*GPL-3\.0"):
        checked_licence("GPL-3.0")
    with pytest.raises(HubError, match=r"Did you mean GPL-2\.0-only or .* or GPL-3\.0-or-later\?"):
        checked_licence("gpl")
    with pytest.raises(HubError, match="a licence is needed"):
        checked_licence("")
    with pytest.raises(HubError, match="no licence"):
        checked_licence("LicenseRef-")
