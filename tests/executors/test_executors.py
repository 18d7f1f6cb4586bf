"""Every executor against one contract; and what only processes can do."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from bequest.core import Done, Executor
from bequest.core.executor import in_full
from bequest.errors import ExecutorError
from bequest.executors import EXECUTORS
from bequest.executors.local import LocalExecutor
from bequest.executors.processes import ProcessExecutor


@pytest.fixture(params=["local", "processes"])
def executor(request):
    with EXECUTORS[request.param]() as made:
        yield made


def values(done):
    return [one.value for one in sorted(done, key=lambda one: one.job)]


def test_jobs_fetch_what_was_shared(executor):
    key, other = executor.share({"a": 3}), executor.share([4])
    jobs = [lambda fetch, n=n: n * fetch(key)["a"] + fetch(other)[0] for n in range(5)]
    assert values(executor.run(jobs)) == [4, 7, 10, 13, 16]


def test_an_exception_of_a_job_arrives_as_it_was_raised(executor):
    def fails(fetch):
        raise ZeroDivisionError("no such quotient")

    with pytest.raises(ZeroDivisionError, match="no such quotient"):
        list(executor.run([fails]))


def test_an_exception_that_cannot_be_sent_says_what_it_was():
    class Odd(Exception):
        def __init__(self, *, what):
            super().__init__(f"odd {what}")

    def fails(fetch):
        raise Odd(what="thing")

    with ProcessExecutor(workers=1) as executor:
        with pytest.raises(ExecutorError, match=r"a job raised Odd\('odd thing'\)"):
            list(executor.run([fails]))
        assert values(executor.run([lambda fetch: 1])) == [1]


def test_no_more_jobs_are_drawn_than_can_run(executor):
    drawn = []

    def jobs():
        for place in range(50):
            drawn.append(place)
            yield lambda fetch: None

    results = executor.run(jobs())
    next(results)
    results.close()
    assert len(drawn) <= 2 + 2 * (os.cpu_count() or 1)


def test_a_closed_executor_says_so(executor):
    executor.close()
    executor.close()
    for call in (lambda: executor.share(1), lambda: list(executor.run([]))):
        with pytest.raises(ExecutorError, match="is closed"):
            call()


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ProcessExecutor(workers=1) as executor:
        executor.share(list(range(1000)))
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_equal_values_are_shared_once():
    with ProcessExecutor(workers=1) as executor:
        assert executor.share([1, 2]) == executor.share([1, 2])


def test_a_worker_that_dies_once_is_forgiven(tmp_path):
    """The second try of the job finds the trace of the first."""

    def dies_first(fetch):
        trace = Path(tmp_path, "trace")
        if not trace.exists():
            trace.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    with ProcessExecutor(workers=2) as executor:
        done = list(executor.run([dies_first, lambda fetch: "other"]))
    assert values(done) == ["survived", "other"]
    assert [one.failure for one in done] == ["", ""]


def test_a_worker_that_dies_twice_is_a_failure_of_its_job_alone():
    def dies(fetch):
        os.kill(os.getpid(), signal.SIGKILL)

    with ProcessExecutor(workers=2) as executor:
        done = {one.job: one for one in executor.run([dies, *[lambda fetch: 7] * 4])}
    assert done[0].failure == "its process died 2 times (SIGKILL(-9))."
    assert [done[place].value for place in range(1, 5)] == [7] * 4


def test_want_of_memory_is_named(monkeypatch):
    counts = iter(range(100))
    monkeypatch.setattr("bequest.executors.processes._oom_kills", lambda: next(counts))

    def dies(fetch):
        os.kill(os.getpid(), signal.SIGKILL)

    with ProcessExecutor(workers=1) as executor:
        [done] = executor.run([dies])
    assert done.failure == "its process died 2 times: the machine ran out of memory."


def test_a_job_that_hangs_is_stopped_and_the_others_go_on():
    with ProcessExecutor(workers=2) as executor:
        list(executor.run([lambda fetch: None] * 2))  # both workers are there
        hangs = lambda fetch: time.sleep(600)  # noqa: E731
        done = {one.job: one for one in executor.run([hangs, lambda fetch: 1], timeout=3)}
    assert done[0].failure == "it was stopped after 3 s."
    assert done[1].value == 1


def test_closing_early_stops_what_runs(tmp_path):
    def slow(fetch):
        Path(tmp_path, str(os.getpid())).touch()
        time.sleep(600)

    with ProcessExecutor(workers=2) as executor:
        results = executor.run([lambda fetch: "first", slow])
        assert next(results).value == "first"
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        results.close()
    [pid] = (int(path.name) for path in tmp_path.iterdir())
    for _ in range(3000):
        if not _runs(pid):
            return
        time.sleep(0.02)
    raise AssertionError("the worker goes on")


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_cannot_be_sent_is_named():
    refused = pytest.raises(ExecutorError, match="cannot send a list to its workers")
    with ProcessExecutor(workers=1) as executor, refused:
        executor.share([threading.Lock()])


class Odd(Executor):
    """Loses the first job, gives the second one twice."""

    def share(self, value):
        return ""

    def run(self, jobs, *, timeout, until):
        for place, _ in enumerate(jobs):
            if place:
                yield Done(place, "once")
                yield Done(place, "twice")

    def close(self):
        pass


def test_a_lost_job_is_a_failure_and_a_second_result_is_dropped(caplog):
    done = list(in_full(Odd(), [lambda fetch: None] * 2))
    assert done == [Done(1, "once"), Done(0, failure="the executor lost its job.")]
    assert (
        "gave Done(job=1, value='twice', failure='', late=False), which nobody waits for"
        in caplog.text
    )
    assert "lost 1 job" in caplog.text


def test_a_local_job_that_hangs_is_given_up_and_the_others_go_on():
    jobs = [lambda fetch: time.sleep(8), lambda fetch: 1]
    with LocalExecutor() as executor:
        done = list(executor.run(jobs, timeout=1.0))
        assert done == [Done(0, failure="it was stopped after 1 s."), Done(1, 1)]
        [late] = executor.run(jobs[:1], timeout=60.0, until=time.monotonic() + 1.0)
    assert late.late


def test_no_process_is_waited_for_longer_than_the_time_of_all_jobs():
    hangs = lambda fetch: time.sleep(600)  # noqa: E731
    with ProcessExecutor(workers=1) as executor:
        list(executor.run([lambda fetch: None]))
        [done] = executor.run([hangs], timeout=300.0, until=time.monotonic() + 2.0)
        assert done.late
        assert done.failure == "it was stopped after 2 s."
        [unready] = executor.run([hangs], until=time.monotonic() + 0.05)  # its worker was killed
    assert unready.failure.startswith("its process was not ready after 0.0")


def test_local_jobs_run_on_one_thread_whatever_limits_their_time():
    def threads(fetch):
        return torch.get_num_threads(), _openmp_effective_n_threads()

    with LocalExecutor() as executor:
        [without] = executor.run([threads])
        [limited] = executor.run([threads], timeout=60.0)
    assert without.value == limited.value == (1, 1)
