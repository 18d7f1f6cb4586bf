"""The graph on a SPARQL server, here Oxigraph's own, answers as the embedded one."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sysconfig
import threading
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from bequest.errors import HubError
from bequest.hub import Hub, Iri
from bequest.hub.graph.server import Server
from bequest.hub.graph.terms import checked_query


@pytest.fixture
def server(tmp_path):
    """Oxigraph's own server, on this machine; where it is, and how it is changed by others."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    program = Path(sysconfig.get_path("scripts")) / "oxigraph"
    command = [program, "serve", "--bind", f"127.0.0.1:{port}", "--location", tmp_path / "store"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            assert any(_answers(url) for _ in range(200))
            yield url
        finally:
            process.terminate()


def _answers(url):
    with suppress(OSError):
        return ask(url, "ASK {}") == "true"
    time.sleep(0.05)
    return False


def ask(url, sparql):
    """What somebody who knows nothing of bequest sees there."""
    where = f"{url}/query?{urlencode({'query': sparql})}"
    asked = urllib.request.Request(where, headers={"Accept": "text/csv"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read().decode()


def change(url, sparql):
    kind = {"Content-Type": "application/sparql-update"}
    sent = urllib.request.Request(f"{url}/update", sparql.encode(), kind)
    with urllib.request.urlopen(sent, timeout=10):
        pass


def test_a_server_holds_and_answers_what_the_embedded_graph_does(hub, tiny, server):
    change(server, 'INSERT DATA { <urn:theirs> <urn:p> "x" }')
    hub.publish(tiny([1.0]), "a", licence="MIT")
    far = Hub(hub.folder, graph=server)
    far.publish(tiny([2.0]), "b", licence="MIT", parents=["a"])
    assert set(far.export("nt").splitlines()) == set(hub.export("nt").splitlines())
    questions = [
        ("SELECT ?p { ?m prov:wasDerivedFrom+ ?p }", {"m": Iri("urn:bequest:model:b@1")}),
        ("SELECT (COUNT(*) AS ?n) { ?m schema:name ?x }", {"x": "a"}),
        ("ASK { ?m schema:name ?x }", {"x": '"}} #'}),
    ]
    for sparql, bindings in questions:
        assert far.query(sparql, bindings=bindings) == hub.query(sparql, bindings=bindings)
    assert far.rebuild_graph() == hub.rebuild_graph()
    assert ask(server, "ASK { <urn:theirs> ?p ?o }") == "true"
    with pytest.raises(HubError):
        far.query("DROP ALL")


def test_a_server_that_is_not_there_is_one_line(hub, tiny):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    with pytest.raises(HubError, match="does not answer"):
        Hub(hub.folder, graph="http://127.0.0.1:1").query("ASK { ?s ?p ?o }")


@pytest.mark.parametrize(
    "sparql",
    [
        "SELECT * {SERVICE <http://x/> {?s ?p ?o}}",
        "SELECT * {?s ?p 1SERVICE <http://x/> {}}",
        "SELECT * {?s ?p trueService<http://x/> {}}",
        "SELECT * {FILTER(1<2)SERVICE#>\n<http://x/> {}}",
        "SELECT * {?s ?p ?o.SERVICE ?x {}}",
    ],
)
def test_no_query_calls_another_server(sparql):
    with pytest.raises(HubError, match="SERVICE"):
        checked_query(sparql)


def test_a_name_that_holds_the_word_passes():
    checked_query("SELECT ?service { ?service schema:serviceType <http://x/service> }")


class Bomb(http.server.BaseHTTPRequestHandler):
    """A server that answers with what nobody asked for."""

    kind = "application/rdf+xml"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        with suppress(OSError):
            for part in self.parts():
                self.wfile.write(part)

    def parts(self):
        entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
        yield f'<!DOCTYPE r [<!ENTITY l0 "lol">{entities}]><r>&l9;</r>'.encode()

    def log_message(self, *_):
        pass


class Endless(Bomb):
    kind = "application/n-triples"

    def parts(self):
        while True:
            yield b"<urn:a> <urn:b> <urn:c> .\n" * 2000


class Deep(Bomb):
    kind = "application/sparql-results+json"

    def parts(self):
        yield b"[" * 2_000_000


@pytest.mark.parametrize("bomb", [Bomb, Endless, Deep])
def test_a_server_that_answers_with_a_bomb_is_one_line_in_bounded_time(hub, tiny, bomb):
    hub.publish(tiny([1.0]), "a", licence="MIT")
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), bomb)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        far = Server(f"http://127.0.0.1:{served.server_port}")
        start = time.monotonic()
        with pytest.raises(HubError) as told:
            far.query("ASK { ?s ?p ?o }", {}, 2.0)
        assert time.monotonic() - start < 20
        assert "\n" not in str(told.value)
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
