"""The processes executor: one job per core at a time, each in a process of its own.

A slot is one worker process of loky's, so that a worker that dies takes nothing with it but the
job that it had in hand. Workers stay warm between runs: importing PyTorch takes one some seconds.
"""

from __future__ import annotations

import atexit
import hashlib
import math
import os
import pickle
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, final

import cloudpickle
from loky import ProcessPoolExecutor, cpu_count
from loky.process_executor import BrokenProcessPool

from bequest.core.executor import Done, Executor, Job
from bequest.core.registry import additions
from bequest.core.wording import pluralise
from bequest.errors import ExecutorError
from bequest.executors.worker import ADDITIONS, ONE_THREAD, get_ready, run_job

__all__ = ["ProcessExecutor"]

LONGEST = 3600.0  # seconds of one job where nothing limits them
TRIES = 2  # a job whose worker dies is run once more
OOM_KILLS = Path("/proc/vmstat")  # Linux counts there whom it killed for memory


@final
class ProcessExecutor(Executor):
    """Runs the jobs in as many processes as this machine has cores for us.

    The first run waits some seconds for the processes to start; later ones find them running.

    Parameters
    ----------
    workers : int, optional
        Processes at a time; one for each core by default.

    Examples
    --------
    >>> with ProcessExecutor(workers=1) as executor:
    ...     key = executor.share(20)
    ...     list(executor.run([lambda fetch: fetch(key) + 1]))
    [Done(job=0, value=21, failure='', late=False)]
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cpu_count()
        self._folder: Path | None = Path(tempfile.mkdtemp(prefix="bequest-shared-"))
        self._write(ADDITIONS, additions())  # what this process has registered, its workers know

    def share(self, value: Any) -> str:
        """Write the value to a file, once, under the hash of its bytes."""
        return self._write("", value)

    def _write(self, name: str, value: Any) -> str:
        folder = self._open()
        try:
            content = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise ExecutorError(
                f"the processes executor cannot send a {type(value).__name__} to its workers: "
                f"{' '.join(str(error).split())[:200]} Use executor='local'."
            ) from error
        key = name or hashlib.sha256(content).hexdigest()[:32]
        try:
            (folder / key).write_bytes(content)
        except OSError as error:
            raise ExecutorError(
                f"the {len(content) / 1e6:.0f} MB that all jobs share cannot be written to "
                f"{folder.parent}: {error.strerror}. Set TMPDIR to another folder, or use "
                "executor='local'."
            ) from error
        return key

    def run(
        self, jobs: Iterable[Job], *, timeout: float = math.inf, until: float = math.inf
    ) -> Iterator[Done]:
        """As they are done; a job whose worker dies is run once more."""
        return _Run(self._open(), self.workers, timeout, until).results(jobs)

    def close(self) -> None:
        """Remove the shared values; the workers stay warm for the next executor."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _open(self) -> Path:
        if self._folder is None:
            raise ExecutorError("the processes executor is closed: make another one.")
        return self._folder


@final
class _Slot:
    """One worker process and the job that it has in hand."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self.place = 0
        self.job: Job | None = None
        self.tries = 0
        self.sent = 0.0
        self.until = math.inf
        self.kills = 0
        self.ready = ""

    def send(self, folder: Path, timeout: float, until: float) -> Future[Any]:
        """The next step of the job in hand: its worker gets ready for the folder, then runs it.

        Getting ready takes no time of the job's: a new worker imports PyTorch, and all of them read
        what is shared.
        """
        if self._pool is None:
            self._pool, self.ready = ProcessPoolExecutor(max_workers=1, env=ONE_THREAD), ""
        is_ready = self.ready == str(folder)
        self.sent = time.monotonic()
        limit = self.sent + min(timeout, LONGEST)
        self.until = min(until, limit) if is_ready else until
        self.kills = _oom_kills()
        content = cloudpickle.dumps(self.job, protocol=pickle.HIGHEST_PROTOCOL)
        step = run_job if is_ready else get_ready
        future: Future[Any] = self._pool.submit(step, str(folder), content)
        return future

    def stop(self) -> None:
        """Kill the worker; the next job starts another one."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, kill_workers=True)
        self._pool = None


_WARM: list[_Slot] = []  # free slots, whose workers have imported everything


class _Run:
    """One call of `run`: jobs are drawn as slots are free for them."""

    def __init__(self, folder: Path, workers: int, timeout: float, until: float) -> None:
        self.folder, self.workers, self.timeout, self.until = folder, workers, timeout, until
        self.busy: dict[Future[Any], _Slot] = {}

    def results(self, jobs: Iterable[Job]) -> Iterator[Done]:
        numbered = enumerate(jobs)
        try:
            while True:
                self._fill(numbered)
                if not self.busy:
                    return
                yield from self._finished()
        finally:  # also where the caller stops early, or presses Ctrl-C
            for slot in self.busy.values():
                slot.stop()
                _WARM.append(slot)

    def _fill(self, numbered: Iterator[tuple[int, Job]]) -> None:
        while len(self.busy) < self.workers:
            place, job = next(numbered, (0, None))
            if job is None:
                return
            slot = _WARM.pop() if _WARM else _Slot()
            slot.place, slot.job, slot.tries = place, job, 1
            self.busy[slot.send(self.folder, self.timeout, self.until)] = slot

    def _finished(self) -> Iterator[Done]:
        """Results of at least one job, or none where a job is tried again."""
        patience = min(slot.until for slot in self.busy.values()) - time.monotonic()
        finite = None if patience == math.inf else max(0.0, patience)
        wait(self.busy, timeout=finite, return_when=FIRST_COMPLETED)
        for future, slot in list(self.busy.items()):
            if future.done():
                yield from self._ended(future, slot)
            elif time.monotonic() >= slot.until:
                slot.stop()
                ran = slot.until - slot.sent
                ready = slot.ready == str(self.folder)
                what = "it was stopped" if ready else "its process was not ready"
                why = f"{what} after {ran:.3g} s."
                yield self._free(future, failure=why, late=slot.until == self.until)

    def _ended(self, future: Future[Any], slot: _Slot) -> Iterator[Done]:
        error = future.exception()
        if error is None and slot.ready != str(self.folder):
            slot.ready = str(self.folder)
            self._again(future, slot)
        elif error is None:
            yield self._free(future, value=future.result())
        elif not isinstance(error, BrokenProcessPool):
            self._free(future)
            raise error
        else:
            slot.stop()
            if slot.tries < TRIES:
                slot.tries += 1
                self._again(future, slot)
            else:
                yield self._free(future, failure=_why(str(error), slot))

    def _again(self, future: Future[Any], slot: _Slot) -> None:
        del self.busy[future]
        self.busy[slot.send(self.folder, self.timeout, self.until)] = slot

    def _free(
        self, future: Future[Any], *, value: Any = None, failure: str = "", late: bool = False
    ) -> Done:
        slot = self.busy.pop(future)
        slot.job = None
        _WARM.append(slot)
        return Done(slot.place, value, failure, late)


def _why(message: str, slot: _Slot) -> str:
    """Why a worker died, as far as the system says."""
    died = f"its process died {pluralise(slot.tries, 'time')}"
    if _oom_kills() > slot.kills:
        return f"{died}: the machine ran out of memory."
    codes = re.search(r"exit codes of the workers are \{(.*?)\}", message)
    return f"{died} ({codes[1]})." if codes else f"{died}."


def _oom_kills() -> int:
    """Processes that Linux has killed for want of memory since it started; 0 elsewhere."""
    try:
        lines = OOM_KILLS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _stop_all() -> None:
    while _WARM:
        _WARM.pop().stop()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_WARM.clear)  # a child's parent owns these workers
