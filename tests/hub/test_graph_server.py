"""The graph on a SPARQL server, here a small one of pyoxigraph, answers as the embedded one."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
import urllib.parse

import pyoxigraph as ox
import pytest

from bequest.errors import HubError
from bequest.hub import Hub, Iri
from bequest.hub.graph.server import Server
from bequest.hub.graph.terms import checked_query


class Endpoint(http.server.BaseHTTPRequestHandler):
    """SPARQL 1.1's protocol, as far as a hub speaks it."""

    store: ox.Store

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        kind, body, code = "text/plain", b"", 200
        try:
            kind, body = self.answered(urllib.parse.urlsplit(self.path), text)
        except (SyntaxError, ValueError) as error:
            code, body = 400, str(error).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answered(self, url, text):
        if url.path == "/update":
            self.store.update(text)
            return "text/plain", b""
        graph = urllib.parse.parse_qs(url.query)["default-graph-uri"][0]
        found = self.store.query(text, default_graph=ox.NamedNode(graph))
        if isinstance(found, ox.QueryTriples):
            return "application/n-triples", found.serialize(format=ox.RdfFormat.N_TRIPLES)
        form = ox.QueryResultsFormat.JSON
        return "application/sparql-results+json", found.serialize(format=form)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    store = ox.Store()
    handler = type("Handler", (Endpoint,), {"store": store})
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", store
    served.shutdown()
    served.server_close()
    thread.join()


def test_a_server_holds_and_answers_what_the_embedded_graph_does(hub, tiny, server):
    url, store = server
    store.add(ox.Quad(ox.NamedNode("urn:theirs"), ox.NamedNode("urn:p"), ox.Literal("x")))
    hub.publish(tiny([1.0]), "a", licence="MIT")
    far = Hub(hub.folder, graph=url)
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
    assert store.query("ASK { <urn:theirs> ?p ?o }")
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
        with contextlib.suppress(OSError):
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
