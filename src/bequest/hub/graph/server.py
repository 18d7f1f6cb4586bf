"""A SPARQL 1.1 server in the place of the embedded store."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final
from urllib.parse import urlencode, urlsplit

from bequest.errors import Damaged, HubError
from bequest.hub.graph import vocabulary as v
from bequest.hub.graph.alike import Alike
from bequest.hub.graph.source import Position, chunks, holds, newest
from bequest.hub.graph.terms import bound, rows, terms
from bequest.hub.storage.store import Snapshot

__all__ = ["Server"]

logger = logging.getLogger(__name__)

_MOST = 2**28  # bytes of an answer
_PATIENCE = 60.0  # seconds for one change
_LINES = 20_000  # triples in one change
_SKETCHES = "server.sqlite"
_KINDS = {"application/sparql-results+json": "json", "application/n-triples": "nt"}


@final
class Server:
    """A server that answers at ``/query`` and is changed at ``/update``, as Oxigraph's is.

    The hub's knowledge stands in a named graph of its own: what else is on the server is neither
    read nor changed.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(str(address))
            self._port = parts.port
        except ValueError as error:
            raise HubError(f"{str(address)[:100]!a} is no address: {error}.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise HubError(
                f"{str(address)[:100]!a} is no address of a SPARQL server, such as "
                f"http://127.0.0.1:7878."
            )
        self.address = str(address).rstrip("/")
        self._host, self._path = parts.hostname, parts.path.rstrip("/")
        self._secure = parts.scheme == "https"

    def query(
        self, sparql: str, bindings: Mapping[str, Any], timeout: float
    ) -> list[dict[str, Any]]:
        """What the server answers to a query, as plain values."""
        prefixes = "".join(f"PREFIX {name}: <{iri}>\n" for name, iri in v.PREFIXES.items())
        return rows(*self._asked(prefixes + bound(sparql, terms(bindings)), timeout))

    def everything(self) -> bytes:
        """All triples of the hub, as N-Triples."""
        return self._asked("CONSTRUCT WHERE { ?s ?p ?o }", _PATIENCE)[1]

    def follow(self, state: Snapshot, beside: Path) -> None:
        """Tell the server what is new in the registry; all of it where it stands elsewhere.

        The sketches of the tasks are kept in the folder `beside`.
        """
        start = self._seen()
        if start is not None and start.reaches(newest(state)):
            return
        try:
            with Alike(beside / _SKETCHES) as alike:
                if start is not None and holds(state, start) and alike.count() >= start.tasks:
                    self._tell(state, start, alike)
                    return
        except Damaged as error:
            logger.warning("%s The server is told everything anew.", error)
        self.rebuild(state, beside)

    def rebuild(self, state: Snapshot, beside: Path) -> int:
        """Tell the server everything anew; gives the number of triples."""
        self._changed(f"CLEAR SILENT GRAPH <{v.HUB}>; CLEAR SILENT GRAPH <{v.STATE}>")
        with Alike(beside / _SKETCHES) as alike:
            alike.clear()
            self._tell(state, Position(), alike)
        return int(self.query("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }", {}, _PATIENCE)[0]["n"])

    def _tell(self, state: Snapshot, start: Position, alike: Alike) -> None:
        for lines, position in chunks(state, start, alike):
            # Not splitlines: a name may hold U+2028.
            triples = b"".join(lines).decode().split("\n")
            for first in range(0, len(triples), _LINES):
                part = "\n".join(triples[first : first + _LINES])
                self._changed(f"INSERT DATA {{ GRAPH <{v.HUB}> {{ {part} }} }}")
            # After its triples, and telling them twice changes nothing.
            self._changed(
                f"CLEAR SILENT GRAPH <{v.STATE}>; INSERT DATA {{ GRAPH <{v.STATE}> {{ "
                f"{position.line().removesuffix(f'<{v.STATE}> .')} . }} }}"
            )

    def _seen(self) -> Position | None:
        kind, body = self._asked(
            f"SELECT ?p {{ <{v.GRAPH}> <{v.POSITION}> ?p }}", _PATIENCE, graph=v.STATE
        )
        found = [Position.from_json(str(row["p"])) for row in rows(kind, body)]
        return found[0] if found else Position()

    def _asked(self, sparql: str, timeout: float, graph: str = v.HUB) -> tuple[str, bytes]:
        where = urlencode({"default-graph-uri": graph})
        kind, body = self._sent(f"/query?{where}", "application/sparql-query", sparql, timeout)
        if kind not in _KINDS:
            raise HubError(f"{self.address} answered with {kind[:60]!a}, not as SPARQL 1.1 does.")
        return _KINDS[kind], body

    def _changed(self, sparql: str) -> None:
        self._sent("/update", "application/sparql-update", sparql, _PATIENCE)

    def _sent(self, path: str, kind: str, text: str, timeout: float) -> tuple[str, bytes]:
        link = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = link(self._host, self._port, timeout=timeout)
        head = {"Content-Type": f"{kind}; charset=utf-8", "Accept": ", ".join(_KINDS)}
        end = time.monotonic() + timeout
        try:
            connection.request("POST", self._path + path, text.encode("utf-8", "replace"), head)
            answer = connection.getresponse()
            with answer:  # one that does not end holds its socket, whatever the connection does
                body = _read(answer, end)
        except TimeoutError as error:
            raise HubError(f"{self.address} took longer than {timeout:g} s.") from error
        except (OSError, http.client.HTTPException) as error:
            raise HubError(f"the SPARQL server {self.address} does not answer: {error}.") from error
        finally:
            connection.close()
        if answer.status >= 300:
            said = " ".join(body[:400].decode("utf-8", "replace").split())[:160]
            raise HubError(f"{self.address} refused with {answer.status}: {said}")
        return answer.getheader("Content-Type", "").partition(";")[0].strip(), body


def _read(answer: http.client.HTTPResponse, end: float) -> bytes:
    body = bytearray()
    while part := answer.read1(2**16):
        body += part
        if time.monotonic() > end:
            raise TimeoutError
        if len(body) > _MOST:
            raise http.client.HTTPException("its answer is too long: ask for less (LIMIT)")
    return bytes(body)
