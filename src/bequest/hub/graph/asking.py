"""Questions to the process that answers them, and its end where it takes too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import pyoxigraph

from bequest.errors import Damaged, HubError
from bequest.hub.graph.terms import bound, rows, terms
from bequest.hub.graph.vocabulary import PREFIXES

__all__ = ["Asker"]

_MEMORY = 4 * 2**30  # bytes of addresses that the process may take; its store's files count, too
_MOST = 32 * 2**20  # bytes of an answer
_START = 60.0  # seconds to start and open a view
_RUN = "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
_RUN += "sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"


@final
class Asker:
    """One process that is kept between questions; a new one where it was killed.

    Parameters
    ----------
    memory : int
        Bytes that it may take, where the system can limit that.
    """

    def __init__(self, memory: int = _MEMORY) -> None:
        self.memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._turn = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"memory": self.memory}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state)

    def ask(
        self, view: Path, sparql: str, bindings: Mapping[str, Any], timeout: float
    ) -> list[dict[str, Any]]:
        """What a view answers to a query.

        Parameters
        ----------
        view : Path
        sparql : str
        bindings : mapping
        timeout : float
            Seconds for the query, without starting the process.

        Raises
        ------
        Damaged
            The view cannot be read.
        HubError
            The query is not SPARQL, takes too long or too much, or ends the process.
        """
        request = {
            "view": str(view.absolute()),
            "sparql": bound(sparql, terms(bindings)),
            "prefixes": PREFIXES,
            "timeout": timeout,
        }
        with self._turn:
            process = self._living()
            opened = _Deadline(process, _START)
            with opened:
                head = _sent_and_heard(process, request)
            if head is None or "unreadable" in head:
                self._end()
                raise Damaged(f"the graph cannot be read: {(head or {}).get('unreadable', '')}")
            with (deadline := _Deadline(process, timeout)):
                head, body = _heard(process)
            if head is None:
                self._end()
                raise _ended(deadline.passed, timeout)
        if "unreadable" in head:
            raise Damaged(f"the graph cannot be read: {head['unreadable']}")
        if fault := _fault(head):
            raise HubError(fault)
        return rows(head["kind"], body)

    def _living(self) -> subprocess.Popen[bytes]:
        # After a fork the pipe is the parent's: two must not talk into it.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-c", _RUN),
                    str(Path(pyoxigraph.__file__).parents[1]),
                    *(str(Path(__file__).with_name("child.py")), str(self.memory), str(_MOST)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._owner = os.getpid()
            weakref.finalize(self, _close, self._process, self._owner)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            _close(self._process, self._owner)
        self._process = None


class _Deadline:
    """Kills a process when the time is over; whoever reads from it then hears its end."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.passed = False
        self._process = process
        self._timer = threading.Timer(seconds, self._over)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _over(self) -> None:
        self.passed = True
        self._process.kill()


def _close(process: subprocess.Popen[bytes], owner: int) -> None:
    if owner != os.getpid():
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _sent_and_heard(process: subprocess.Popen[bytes], request: Any) -> dict[str, Any] | None:
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    except OSError:
        return None
    return _heard(process)[0]


def _heard(process: subprocess.Popen[bytes]) -> tuple[dict[str, Any] | None, bytes]:
    line = process.stdout.readline()  # type: ignore[union-attr]
    if not line.endswith(b"\n"):
        return None, b""
    head: dict[str, Any] = json.loads(line)
    size = head.get("size", 0)
    body = process.stdout.read(size)  # type: ignore[union-attr]
    return (head, body) if len(body) == size else (None, b"")


def _ended(late: bool, timeout: float) -> HubError:
    if late:
        return HubError(
            f"the query took longer than {timeout:g} s and was ended. Ask for less (LIMIT, fewer "
            f"joins), or give it a longer timeout."
        )
    return HubError(
        "the query ended the process that answers: it is nested too deeply, or took more memory "
        "than there is for it. Ask for less."
    )


def _fault(head: Mapping[str, Any]) -> str:
    if "syntax" in head:
        said = " ".join(str(head["syntax"]).split())[:160]
        return f"this is no query in SPARQL (SELECT, ASK, CONSTRUCT or DESCRIBE): {said}"
    if "refused" in head:
        return f"the query was refused: {' '.join(str(head['refused']).split())[:160]}"
    if "long" in head:
        return (
            f"the answer has {head['long'] / 2**20:.0f} MiB, {_MOST // 2**20} are the most: "
            f"ask for less (LIMIT)."
        )
    return "the query took more memory than there is for it. Ask for less." * ("memory" in head)
