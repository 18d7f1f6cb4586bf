"""A process that holds a store, and is ended when it takes too long or too much."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

import pyoxigraph

from bequest.core.child_process import command
from bequest.errors import Damaged

__all__ = ["MEMORY", "MOST", "Deadline", "Worker", "checked"]

MEMORY = 4 * 2**30  # bytes of addresses that the process may take; its store's files count, too
MOST = 32 * 2**20  # bytes of an answer
Answer = tuple[dict[str, Any], bytes]
_CHILD = str(Path(__file__).with_name("child.py"))


@final
class Worker:
    """One process, started anew and not forked: it has no thread and no lock of ours."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._process = subprocess.Popen(
            command(_CHILD, str(MOST), memory=memory, needs=pyoxigraph),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._owner = os.getpid()
        weakref.finalize(self, _close, self._process, self._owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    @property
    def usable(self) -> bool:
        """Whether it lives and is ours: after a fork the pipe is the parent's."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, request: Mapping[str, Any], body: Sequence[bytes] = ()) -> None:
        """Send a request and the bytes that belong to it; whether it arrived, `heard` tells."""
        pipe = self._process.stdin
        try:
            pipe.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
            pipe.writelines(body)  # type: ignore[union-attr]
            pipe.flush()  # type: ignore[union-attr]
        except OSError:
            return

    def asked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What it answers to a request, as `checked`."""
        self.send(request)
        return checked(self.heard())[0]

    def heard(self) -> Answer | None:
        """The answer to the oldest request that has none yet; None where the process has ended."""
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line.endswith(b"\n"):
            return None
        head: dict[str, Any] = json.loads(line)
        body = self._process.stdout.read(head["size"])  # type: ignore[union-attr]
        return (head, body) if len(body) == head["size"] else None

    def kill(self) -> None:
        """End it now; whoever waits for its answer hears that."""
        self._process.kill()

    def end(self) -> None:
        """End it and let go of its pipes."""
        _close(self._process, self._owner)


@final
class Deadline:
    """Kills a worker when so many seconds are over."""

    def __init__(self, worker: Worker, seconds: float) -> None:
        self.passed = False
        self._worker = worker
        self._timer = threading.Timer(seconds, self._over)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _over(self) -> None:
        self.passed = True
        self._worker.kill()


def checked(answer: Answer | None) -> Answer:
    """The answer; `OSError` or `Damaged` where it says that the disk or the store fails."""
    if answer is None:
        raise Damaged("the graph cannot be read: its process ended.")
    head = answer[0]
    if "failed" in head:
        said = " ".join(head["failed"].split())[:300]
        if head["errno"] is not None:
            raise OSError(head["errno"], said)
        raise Damaged(f"the graph cannot be read: {said}")
    return answer


def _close(process: subprocess.Popen[bytes], owner: int) -> None:
    if owner != os.getpid():
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not flushed has nowhere to go
                continue
