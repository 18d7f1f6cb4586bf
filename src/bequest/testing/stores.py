"""What every store must keep to: `bequest.hub.storage.Store`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from bequest.core import Card, Outcome, TaskSummary, Verdict
from bequest.errors import Conflict, EntryNotFound, HubError
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry, StoredFile, manifest_digest
from bequest.hub.storage import ParentCame, Store
from bequest.hub.storage.files.streams import hash_file

__all__ = ["STORE_CHECKS", "StoreCase"]

EDGE = Edge("base@1", "a@1", "lora", "lora", True, "rank 2.")


@final
@dataclass(frozen=True)
class StoreCase:
    """A kind of store.

    Parameters
    ----------
    opened : callable
        Takes a folder that stands for a place, and gives a store there: for one folder, another
        object on the same place; for a new folder, a place at which nothing is yet. A store
        elsewhere may use the folder's name, and the folder as its cache.
    """

    opened: Callable[[Path], Store]

    @contextmanager
    def place(self) -> Iterator[Callable[[], Store]]:
        """A new place, which is gone afterwards: each call gives another object on it."""
        with tempfile.TemporaryDirectory(prefix="bequest-store-") as folder:
            yield lambda: self.opened(Path(folder, "place"))


def check_an_empty_store_says_so(case: StoreCase) -> None:
    """Nothing exists before the first write, and reading is a `HubError`."""
    with case.place() as opened:
        assert not opened().exists

        def read() -> None:
            with opened().snapshot():
                pass

        _refused(HubError, read)
        _enter(opened(), "a")
        assert opened().exists


def check_versions_count_up_and_stay(case: StoreCase) -> None:
    """Each entry is the next version of its name, and others see it at once."""
    with case.place() as opened:
        store = opened()
        first, second, other = _enter(store, "a"), _enter(opened(), "a", b"2"), _enter(store, "a/b")
        assert [str(entry) for entry in (first, second, other)] == ["a@1", "a@2", "a/b@1"]
        for one in (store, opened()):
            with one.snapshot() as state:
                assert state.find("a", 1) == first
                assert state.find("a", 2) == state.find("a", None) == second
                assert (state.latest("a"), state.latest("b")) == (2, 0)
                assert (state.has("a", 2), state.has("a", 3)) == (True, False)
                assert list(state.references()) == [("a", 2), ("a/b", 1)]
                assert list(state.versions("a")) == [first, second]
                assert list(state.entries("", every=False)) == [second, other]
                assert list(state.entries("a/", every=True)) == [other]


def check_what_is_not_here_is_refused_by_name(case: StoreCase) -> None:
    """`EntryNotFound` for names and versions."""
    with case.place() as opened:
        _enter(opened(), "wards/ward7")
        with opened().snapshot() as state:
            _refused(EntryNotFound, lambda: state.find("wards/ward8", None))
            _refused(EntryNotFound, lambda: state.find("wards/ward7", 2))
            _refused(EntryNotFound, lambda: list(state.versions("wards")))
            assert state.with_digest("0f" * 32) is None


def check_the_expected_version_is_required(case: StoreCase) -> None:
    """`Conflict` where another version is the latest, and nothing is entered."""
    with case.place() as opened:
        _enter(opened(), "a", expect=0)
        _refused(Conflict, lambda: _enter(opened(), "a", b"2", expect=0))
        _enter(opened(), "a", b"2", expect=1)
        with opened().snapshot() as state:
            assert list(state.references()) == [("a", 2)]


def check_files_come_back_byte_for_byte(case: StoreCase) -> None:
    """By `copy` and by `objects`, from another object than the one that kept them."""
    with case.place() as opened, tempfile.TemporaryDirectory() as work:
        entry = _enter(opened(), "a", b"\x00\xff" * 70_000)
        store = opened()
        store.copy(entry, Path(work, "copy"))
        assert sorted(p.name for p in Path(work, "copy").iterdir()) == sorted(entry.files)
        for path, file in entry.files.items():
            assert StoredFile(*hash_file(Path(work, "copy", path))) == file
            assert StoredFile(*hash_file(store.objects.located(file))) == file
            assert store.objects.fault(file) == ""
        missing = StoredFile("0f" * 32, 3)
        assert store.objects.fault(missing)
        _refused(HubError, lambda: store.objects.copy(missing, Path(work, "missing")))


def check_what_fails_leaves_nothing(case: StoreCase) -> None:
    """A staged folder is gone afterwards, whether it was entered or not."""
    with case.place() as opened:
        store, staged = opened(), []

        def fail() -> None:
            with store.staging() as folder:
                staged.append(folder)
                (folder / "weights").write_bytes(b"1")
                raise KeyError

        _refused(KeyError, fail)
        _enter(store, "a")
        assert not staged[0].exists()
        with opened().snapshot() as state:
            assert list(state.references()) == [("a", 1)]
        assert opened().problems() == ()
        assert opened().problems("a") == ()


def check_a_snapshot_is_one_state(case: StoreCase) -> None:
    """What is published meanwhile is not seen; the next snapshot sees it."""
    with case.place() as opened:
        store = opened()
        _enter(store, "a")
        with store.snapshot() as state:
            before = state.newest()
            _enter(opened(), "a", b"2")
            opened().record(_outcome())
            assert (state.latest("a"), state.newest()) == (1, before)
            assert [*state.entries_after(before.entries), *state.outcomes()] == []
        with store.snapshot() as state:
            assert (state.latest("a"), state.holds(before)) == (2, True)
        with store.snapshot(fresh=False) as state:  # has what this object has shown
            assert state.latest("a") == 2


def check_the_rows_behind_a_mark_are_what_came_since(case: StoreCase) -> None:
    """In order, each once, with the text that its hash is of; a mark is of one store."""
    with case.place() as opened, case.place() as elsewhere:
        store = opened()
        _enter(store, "old")
        store.record(replace(_outcome(), source="old@1"))
        with store.snapshot() as state:
            start = state.newest()
        entries = [_enter(store, "a"), _enter(store, "b", b"2")]
        digest = store.record(_outcome())
        store.save_findings([EDGE])
        with store.snapshot() as state:
            end, rows = state.newest(), list(state.entries_after(start.entries))
            assert [(row.name, row.version) for row in rows] == [("a", 1), ("b", 1)]
            assert [row.values("it") for row in rows] == [_plain(one.to_dict()) for one in entries]
            assert start.entries < rows[0].number < rows[1].number == end.entries
            assert rows[1].hash == end.entry_hash
            (row,) = state.outcomes_after(start.outcomes)
            assert (row.number, row.hash) == (end.outcomes, end.outcome_hash)
            assert row.hash == digest
            assert Outcome.from_json(row.text) == _outcome()
            (row,) = state.findings_after(start.findings)
            assert (row.number, row.hash) == (end.findings, end.finding_hash)
            assert Edge(**row.values("it")) == EDGE
            assert state.holds(start)
            assert state.holds(end)
            assert not state.holds(replace(end, entry_hash=start.entry_hash))
        _enter(elsewhere(), "another")
        with elsewhere().snapshot() as state:
            assert not state.holds(end)
            assert not state.holds(start)


def check_a_later_finding_replaces_an_earlier_one(case: StoreCase) -> None:
    """What is known already is not written again."""
    with case.place() as opened:
        store = opened()
        _enter(store, "a")
        store.save_findings([EDGE])
        with store.snapshot() as state:
            first = state.newest()
            assert not state.replaced(first.findings)
        store.save_findings([EDGE])
        with store.snapshot() as state:
            assert state.newest() == first
        later = replace(EDGE, relation="unrelated", verified=False)
        store.save_findings([later])
        with store.snapshot() as state:
            (row,) = state.findings_after(0)
            assert Edge(**row.values("it")) == later
            assert state.replaced(first.findings)


def check_an_outcome_is_kept_once(case: StoreCase) -> None:
    """Found by any text in its record."""
    with case.place() as opened:
        outcome, other = _outcome(), replace(_outcome(), source="other@1")
        assert opened().record(outcome) == opened().record(outcome)
        opened().record(other)
        with opened().snapshot() as state:
            assert list(state.outcomes()) == [outcome, other]
            assert list(state.outcomes("other@1")) == [other]
            assert list(state.outcomes("nowhere")) == []


def check_entries_of_another_hub_come_all_or_none(case: StoreCase) -> None:
    """Those that are here are left as they are; `Conflict` where one is another model."""
    with case.place() as opened:
        here = _enter(opened(), "a")
        new, another = _made("b", b"new"), _made("a", b"another")

        def take_in(*made: tuple[Entry, Sequence[bytes]]) -> tuple[Entry, ...]:
            store = opened()
            with store.staging() as work:
                for entry, contents in made:
                    for file, content in zip(entry.files.values(), contents, strict=True):
                        (work / file.digest).write_bytes(content)
                return store.take_in(work, [entry for entry, _ in made])

        _refused(Conflict, lambda: take_in(new, another))
        with opened().snapshot() as state:
            assert list(state.references()) == [("a", 1)]
        assert take_in(new) == (new[0],)
        assert take_in(new) == ()
        with opened().snapshot() as state:
            assert state.find("a", None) == here
            assert state.find("b", None) == new[0]


def check_parents_are_looked_at_when_an_entry_begins(case: StoreCase) -> None:
    """`ParentCame` where one came since, `HubError` where its licence bars that of the child."""
    with case.place() as opened:
        store = opened()
        base = _enter(store, "base", licence="GPL-3.0-only")
        _refused(ParentCame, lambda: _enter(store, "a", parents=("base",), licence="GPL-3.0-only"))
        _refused(HubError, lambda: _enter(store, "a", parents=("base@1",), licence="MIT"))
        child = _enter(store, "a", b"2", parents=("base@1",), licence="GPL-3.0-only")
        with opened().snapshot() as state:
            assert state.with_digest(base.digest) == ("base", 1)
            assert state.came_before(("base", 1), ("a", 1))
            assert not state.came_before(("a", 1), ("base", 1))
            assert list(state.entries("", every=True)) == [child, base]


def check_of_many_who_publish_each_gets_a_version_of_its_own(case: StoreCase) -> None:
    """Four at a time, each with a store of its own."""
    with case.place() as opened:
        _enter(opened(), "a")
        with ThreadPoolExecutor(4) as pool:
            made = pool.map(lambda number: _enter(opened(), "a", b"%d" % number), range(8))
        assert sorted(entry.version for entry in made) == list(range(2, 10))
        with opened().snapshot() as state:
            assert [str(entry) for entry in state.versions("a")] == [f"a@{n}" for n in range(1, 10)]


def _enter(
    store: Store,
    name: str,
    content: bytes = b"1",
    *,
    licence: str = "MIT",
    parents: tuple[str, ...] = (),
    expect: int | None = None,
) -> Entry:
    card = Card(name=name, licence=licence, parents=parents)
    with store.staging() as staged:
        for path, inside in zip(_PATHS, _contents(card, content), strict=True):
            (staged / path).write_bytes(inside)
        return store.enter(staged, name, card, expect)


def _made(name: str, content: bytes) -> tuple[Entry, Sequence[bytes]]:
    """An entry that another hub has, and the contents of its files."""
    card = Card(name=name, licence="MIT")
    contents = _contents(card, content)
    with tempfile.TemporaryDirectory() as work:
        for path, inside in zip(_PATHS, contents, strict=True):
            Path(work, path).write_bytes(inside)
        files = {path: StoredFile(*hash_file(Path(work, path))) for path in _PATHS}
    when = "2026-01-01T00:00:00+00:00"
    return Entry(name, 1, manifest_digest(files), when, card, files), contents


_PATHS = ("card.json", "config.json", "weights")


def _contents(card: Card, content: bytes) -> tuple[bytes, bytes, bytes]:
    return json.dumps(card.to_dict()).encode(), b"{}", content


def _outcome() -> Outcome:
    verdict = Verdict(gain=0.12, low=0.08, high=0.16, metric="accuracy")
    return Outcome(
        target=TaskSummary(name="ward 7"),
        source="a@1",
        method="probe",
        selected="transfer",
        verdict=verdict,
    )


def _plain(values: object) -> object:
    return json.loads(json.dumps(values))


def _refused(error: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__} was raised")


STORE_CHECKS: tuple[Callable[[StoreCase], None], ...] = (
    check_an_empty_store_says_so,
    check_versions_count_up_and_stay,
    check_what_is_not_here_is_refused_by_name,
    check_the_expected_version_is_required,
    check_files_come_back_byte_for_byte,
    check_what_fails_leaves_nothing,
    check_a_snapshot_is_one_state,
    check_the_rows_behind_a_mark_are_what_came_since,
    check_a_later_finding_replaces_an_earlier_one,
    check_an_outcome_is_kept_once,
    check_entries_of_another_hub_come_all_or_none,
    check_parents_are_looked_at_when_an_entry_begins,
    check_of_many_who_publish_each_gets_a_version_of_its_own,
)
