"""What is loaded into a store, in a process of its own for as long as that takes."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, final

from bequest.hub.graph import vocabulary as v
from bequest.hub.graph.worker import Worker, checked

__all__ = ["Writer", "dump"]


@final
class Writer:
    """A store that is open for writing, in a ``with`` block; made where it is not there.

    `wait` is how many seconds the process of somebody who was killed, and still holds it, is waited
    for. `OSError` where the disk is full or fails; `Damaged` where the store cannot be read, or its
    process ended.
    """

    def __init__(self, store: Path, wait: float) -> None:
        self.said: list[str] = []  # what the store's state says
        self._store = str(store.absolute())
        self._patience = time.monotonic() + wait
        self._unheard = 0
        self._worker = Worker()

    def __enter__(self) -> Self:
        try:
            self.said = self._opened()["said"]
        except BaseException:
            self._worker.end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._worker.end()

    def load(self, lines: Sequence[bytes], *, bulk: bool) -> None:
        """Load N-Quads, whole lines once joined, while the caller goes on.

        A fault shows at the next call. In bulk it is faster, but not in one transaction.
        """
        self._hear()
        request = {"do": "load", "bulk": bulk, "size": sum(map(len, lines))}
        self._worker.send(request, lines)
        self._unheard += 1

    def show(self, view: Path, position: str, *, tidy: bool = False) -> None:
        """Keep no other position in the state than this one, and make a view.

        Tidied, the store's files are merged first. What was loaded in bulk would else be merged by
        whoever opens the store next, as far as its time reaches, again and again.
        """
        self._hear()
        request = {"do": "show", "view": str(view.absolute()), "state": v.STATE}
        self._worker.asked({**request, "keep": position, "tidy": tidy})

    def _opened(self) -> dict[str, Any]:
        request = {"do": "write", "store": self._store, "state": v.STATE}
        while True:
            try:
                return self._worker.asked(request)
            except OSError as error:
                if error.errno != errno.EAGAIN or time.monotonic() > self._patience:
                    raise
                time.sleep(0.05)

    def _hear(self) -> None:
        while self._unheard:
            self._unheard -= 1
            checked(self._worker.heard())


def dump(view: Path, form: str, path: Path) -> None:
    """Write all that a view knows to a file; errors are as in `Writer`."""
    places = {"view": str(view.absolute()), "path": str(path.absolute())}
    with Worker() as worker:
        worker.asked({"do": "dump", "form": form, "prefixes": v.PREFIXES, **places})
