import pytest

from bequest.core import LOADERS, Registry
from bequest.errors import BequestError, DuplicateName, UnknownName


@pytest.fixture
def shelf():
    return Registry("encoder", {"json": "json:dumps"}, group="bequest.none_such")


def test_an_entry_is_imported_when_first_asked_for(shelf):
    assert shelf["json"]({"a": 1}) == '{"a": 1}'


def test_an_added_value_is_given_back(shelf):
    shelf.add("repr", repr)
    assert shelf["repr"] is repr
    assert list(shelf) == ["json", "repr"]
    assert len(shelf) == 2


def test_adding_a_name_twice_is_an_error(shelf):
    with pytest.raises(DuplicateName, match="a encoder named 'json' is registered already"):
        shelf.add("json", str)


def test_a_miss_suggests_the_closest_name_and_lists_all(shelf):
    with pytest.raises(UnknownName) as caught:
        shelf["jsno"]
    assert str(caught.value) == "no encoder named 'jsno'. Did you mean 'json'? Known: json."
    assert caught.value.name == "jsno"
    assert caught.value.known == ("json",)


def test_a_miss_without_a_close_name_suggests_none(shelf):
    with pytest.raises(UnknownName) as caught:
        shelf["parquet"]
    assert "Did you mean" not in str(caught.value)


def test_an_unknown_name_is_a_lookup_error_too(shelf):
    with pytest.raises(LookupError) as caught:
        shelf["absent"]
    assert isinstance(caught.value, BequestError)


def test_a_plug_in_is_found_on_the_first_miss(monkeypatch, shelf):
    class Point:
        name, value = "upper", "string:capwords"

    monkeypatch.setattr("bequest.core.registry.entry_points", lambda group: [Point])
    assert shelf["upper"]("two words") == "Two Words"


def test_a_plug_in_with_a_taken_name_is_an_error(monkeypatch, shelf):
    class Point:
        name, value = "json", "string:capwords"

    monkeypatch.setattr("bequest.core.registry.entry_points", lambda group: [Point])
    with pytest.raises(DuplicateName, match="which is taken"):
        list(shelf)


@pytest.mark.parametrize("name", list(LOADERS))
def test_every_loader_can_be_imported(name):
    assert callable(LOADERS[name])
