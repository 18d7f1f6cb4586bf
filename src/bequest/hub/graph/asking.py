"""Questions to the process that answers them, and its end where it takes too long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from bequest.errors import Damaged, HubError
from bequest.hub.graph.terms import bound, rows, terms
from bequest.hub.graph.vocabulary import PREFIXES
from bequest.hub.graph.worker import MEMORY, MOST, Deadline, Worker, checked
from bequest.hub.storage.files.fork_safety import Turn

__all__ = ["Asker"]

_REFUSED = {
    "SyntaxError": "this is no query in SPARQL (SELECT, ASK, CONSTRUCT or DESCRIBE): {}",
    "ValueError": "the query was refused: {}",
    "_TooLong": f"the answer has more than {MOST // 2**20} MiB: ask for less (LIMIT).",
    "MemoryError": "the query took more memory than there is for it. Ask for less.",
}
_START = 60.0  # seconds to start and open a view


@final
class Asker:
    """One process that is kept between questions; a new one where it was killed.

    `memory` is how many bytes it may take, where the system can limit that.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self.memory = memory
        self._worker: Worker | None = None
        self._turn = Turn()

    def __getstate__(self) -> dict[str, Any]:
        return {"memory": self.memory}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state)

    def ask(
        self, view: Path, sparql: str, bindings: Mapping[str, Any], timeout: float
    ) -> list[dict[str, Any]]:
        """What a view answers to a query within so many seconds, without starting the process.

        `Damaged` where the view cannot be read; `HubError` where the query is not SPARQL, takes too
        long or too much, or ends the process.
        """
        request = {
            "do": "ask",
            "sparql": bound(sparql, terms(bindings)),
            "prefixes": PREFIXES,
            "timeout": timeout,
        }
        with self._turn.taken():
            worker = self._reading(str(view.absolute()))
            worker.send(request)
            with (deadline := Deadline(worker, timeout)):
                answer = worker.heard()
            if answer is None:
                self._end()
                raise _ended(deadline.passed, timeout)
        head, body = checked(answer)
        if "refused" in head:
            said = " ".join(str(head["said"]).split())[:160]
            raise HubError(_REFUSED.get(head["refused"], _REFUSED["ValueError"]).format(said))
        return rows(head["kind"], body)

    def _reading(self, view: str) -> Worker:
        """A process that has this view open."""
        for last in (False, True):  # one that was kept may have been ended by somebody since
            if self._worker is None or not self._worker.usable:
                self._worker = Worker(self.memory)
            worker = self._worker
            worker.send({"do": "read", "view": view})
            with Deadline(worker, _START):
                answer = worker.heard()
            try:
                checked(answer)
                break
            except (OSError, Damaged):
                self._end()
                if answer is not None or last:
                    raise
        return worker

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
        self._worker = None


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
