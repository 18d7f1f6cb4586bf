"""One `Hub` that many threads use at once, and forks while they do."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.hub_made import fill, outcome_like, task_of

from bequest.hub import Hub
from bequest.hub.graph.lock import only_writer
from bequest.hub.storage.files.fork_safety import Turn

COUNT = "SELECT (COUNT(?m) AS ?n) { ?m a fair4ml:MLModel }"
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(autouse=True)
def hasty():
    """Threads take turns often, so that a race is lost soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_eight_threads(work):
    with ThreadPoolExecutor(8) as pool:
        return [one.result() for one in [pool.submit(work, n) for n in range(8)]]


def forked(work, seconds=60):
    """The status of a process that was forked from this one, ended where it hangs."""
    child = os.fork()
    if not child:
        signal.alarm(seconds)
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
        os._exit(1)
    return os.waitpid(child, 0)[1]


@contextmanager
def another_thread(holds):
    """For as long as this lasts, or a second, another thread is in a context."""
    begun, ended = threading.Event(), threading.Event()

    def hold():
        with holds():
            begun.set()
            ended.wait(1)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield
    ended.set()
    thread.join()


def outcomes_of(hub):
    return sum(map(len, hub._memory._kept.gains.values()))


def test_every_outcome_counts_once_however_many_threads_ask(tmp_path):
    fill(tmp_path / "hub", 20, 6, 400, seed=2)
    hub = Hub(tmp_path / "hub")
    found = in_eight_threads(lambda n: repr(hub.suggest(task_of(1))))
    assert outcomes_of(hub) == 400
    assert set(found) == {repr(Hub(tmp_path / "hub").suggest(task_of(1)))}


def test_eight_threads_publish_query_suggest_and_list_at_once(hub, tiny):
    def use(number):
        for turn in range(2):
            hub.publish(tiny([float(number), float(turn)]), "same", licence="MIT")
            hub.record(outcome_like(task_of(8 * turn + number)))
            seen = len(hub.list(every=True)), hub.query(COUNT, timeout=60)[0]["n"]
            assert turn < seen[0] <= seen[1]
            hub.suggest(task_of(100))

    in_eight_threads(use)
    assert [entry.version for entry in hub.list(every=True)] == [*range(1, 17)]
    hub.suggest(task_of(100))
    assert len(hub.outcomes()) == outcomes_of(hub) == 16


def test_a_hub_that_is_made_while_one_looks_is_no_strange_folder(hub, tiny, monkeypatch):
    names = Path.iterdir

    def made_first(folder):
        if folder == hub.folder:
            monkeypatch.setattr(Path, "iterdir", names)
            Hub(hub.folder).publish(tiny([1.0]), "one", licence="MIT")
        return names(folder)

    hub.folder.mkdir()
    monkeypatch.setattr(Path, "iterdir", made_first)
    hub.publish(tiny([2.0]), "two", licence="MIT")
    assert hub.names() == ("one", "two")


def test_all_connections_that_were_kept_are_closed(hub, tiny):
    records = hub._store.records
    hub.publish(tiny([1.0]), "one", licence="MIT")
    file = records._kept[0][1]
    records._kept.append((records._connect("rw"), file))  # as two threads at once leave them
    records.close()
    assert records._kept == []


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("busy", ["memory", "reading", "writing", "graph"])
def test_a_fork_while_another_thread_is_at_work_leaves_a_hub_that_works(tiny, tmp_path, busy):
    fill(tmp_path / "hub", 20, 6, 40, seed=2)
    hub = Hub(tmp_path / "hub", wait=3)
    hub.suggest(task_of(1))
    hub.query(COUNT)

    def use():
        hub.publish(tiny([1.0]), "new", licence="MIT")
        assert hub.query(COUNT, timeout=60) == [{"n": 21}]
        assert len(hub.list()) == 21
        assert len(hub.suggest(task_of(1), 30)) == 21
        assert outcomes_of(hub) == 40

    holds = {
        "memory": hub._remembering.taken,
        "reading": hub._store.records.reading,
        "writing": hub._store.records.writing,
        "graph": lambda: only_writer(hub.folder / "graph" / "lock", 3),
    }
    with another_thread(holds[busy]):
        assert forked(use) == 0


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks_amid_busy_threads_hang_nowhere(hub, tiny):
    over = threading.Event()

    def use(name):
        hub.publish(tiny([1.0]), name, licence="MIT")
        hub.suggest(task_of(1))
        hub.query(COUNT, timeout=60)

    def go_on(number):
        while not over.is_set():
            use(f"thread/{number}")

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(go_on, number) for number in range(3)]
        try:
            for number in range(2):
                time.sleep(0.1)
                assert forked(lambda n=number: use(f"child/{n}")) == 0
        finally:
            over.set()
        for one in busy:
            one.result()


def test_a_lock_that_was_held_at_a_fork_is_free_there_and_says_so_once():
    turn = Turn()
    with turn.taken() as whole:
        assert whole
        turn._free()  # as in the forked process
        with turn.taken() as whole:
            assert not whole
    with turn.taken() as whole:
        assert whole


def test_the_copy_of_a_lock_is_another_lock():
    turn = Turn()
    with turn.taken(), pickle.loads(pickle.dumps(turn)).taken() as whole:
        assert whole
