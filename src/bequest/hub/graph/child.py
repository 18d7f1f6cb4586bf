"""The process that holds a store: it may be killed, and knows nothing but that store.

It reads requests as lines of JSON, some followed by bytes, and answers each with a line of JSON,
and the bytes of which that line tells the size. It is run as a file, without the package, by
`bequest.core.child_process`: starting it must be quick. The engine's threads and locks live in it
alone, so whoever asks may fork.
"""

from __future__ import annotations

import errno
import faulthandler
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pyoxigraph import (
    DefaultGraph,
    NamedNode,
    QueryResultsFormat,
    QueryTriples,
    RdfFormat,
    Store,
)

_FORMATS = {"ttl": RdfFormat.TURTLE, "jsonld": RdfFormat.JSON_LD, "nt": RdfFormat.N_TRIPLES}


class _TooLong(Exception):
    pass


class _Room(io.BytesIO):
    """An answer that is being written, up to a length."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, part: Any) -> int:
        if self.tell() + len(part) > self._most:
            raise _TooLong
        return super().write(part)


class _Holder:
    """One store at a time, to be asked or to be written to."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._view = ""
        self._store: Store | None = None

    def store(self) -> Store:
        """The one that is open."""
        if self._store is None:
            raise RuntimeError("no store is open")
        return self._store

    def read(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Open a view, where it is not open already."""
        if self._store is None or self._view != request["view"]:
            self._store, self._view = None, ""
            self._store = Store.read_only(request["view"])
            self._view = request["view"]
        return {}, b""

    def write(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Open a store for writing; tells what its named graph of the state says."""
        self._store = Store(request["store"])
        return {"said": [getattr(q.object, "value", "") for q in self._state(request)]}, b""

    def load(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Load N-Quads: in one transaction, or in bulk."""
        lines = sys.stdin.buffer.read(request["size"])
        load = self.store().bulk_load if request["bulk"] else self.store().load
        load(input=lines, format=RdfFormat.N_QUADS, lenient=True)
        return {}, b""

    def show(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Forget what the state said before, and make a view."""
        for old in self._state(request):
            if getattr(old.object, "value", "") != request["keep"]:
                self.store().remove(old)
        if request["tidy"]:
            self.store().optimize()
        self.store().backup(request["view"])
        return {}, b""

    def dump(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Write all that is known to a file."""
        self.read(request)
        form = _FORMATS[request["form"]]
        prefixes = None if request["form"] == "nt" else request["prefixes"]
        place = DefaultGraph()
        self.store().dump(request["path"], format=form, from_graph=place, prefixes=prefixes)
        return {}, b""

    def ask(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Answer a query; the kind of fault where there is no answer."""
        with open(os.devnull, "w") as nowhere:
            # Whoever asked may be dead: an endless query must not outlive its time.
            faulthandler.dump_traceback_later(request["timeout"] + 5, exit=True, file=nowhere)
            try:
                return self._asked(request)
            finally:
                faulthandler.cancel_dump_traceback_later()

    def _asked(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        room = _Room(self.most)
        try:
            found = self.store().query(request["sparql"], prefixes=request["prefixes"])
            if isinstance(found, QueryTriples):
                kind = "nt"
                found.serialize(room, format=RdfFormat.N_TRIPLES)
            else:
                kind = "json"
                found.serialize(room, format=QueryResultsFormat.JSON)
        except (_TooLong, SyntaxError, ValueError, MemoryError) as error:
            return {"refused": type(error).__name__, "said": str(error)}, b""
        return {"kind": kind}, room.getvalue()

    def _state(self, request: Mapping[str, Any]) -> list[Any]:
        place = NamedNode(request["state"])
        return list(self.store().quads_for_pattern(None, None, None, place))


def main(most: int) -> None:
    """Answer until nobody asks any more, with so many bytes at most."""
    holder = _Holder(most)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _answer(*_done(getattr(holder, request["do"]), request))


def _done(
    what: Callable[[Mapping[str, Any]], tuple[dict[str, Any], bytes]], request: Mapping[str, Any]
) -> tuple[dict[str, Any], bytes]:
    try:
        return what(request)
    except MemoryError:
        return {"failed": "it takes more memory than there is for it", "errno": None}, b""
    except (OSError, RuntimeError, SyntaxError, ValueError) as error:  # a damaged block is any
        return {"failed": str(error), "errno": _number(error)}, b""


def _number(error: Exception) -> int | None:
    # The engine tells it in words.
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EACCES, errno.EROFS):
        if os.strerror(number) in str(error):
            return number
    found: int | None = getattr(error, "errno", None)
    return found


def _answer(head: dict[str, Any], body: bytes) -> None:
    head["size"] = len(body)
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
