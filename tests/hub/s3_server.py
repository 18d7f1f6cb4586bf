"""An S3 server on loopback that lives as long as its standard input; it says its address.

It is moto's. Who asks is known by the access key, and some of them are treated badly:

reader     may read and not write
stranger   may do nothing
careless   the store ignores If-None-Match
unheard    every conditional write happens, and its answer is lost once
busy       every first conditional write does not happen, as S3 says where two meet (409)
"""

from __future__ import annotations

import logging
import re
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class Server:
    """moto looks whether a key is there, and then writes it; S3 does both at once: one by one."""

    def __init__(self) -> None:
        self.inner = DomainDispatcherApplication(create_backend_app)
        self.one_by_one = threading.Lock()
        self.seen: set[tuple[str, str]] = set()

    def __call__(self, environ, start_response):
        said = re.search(r"Credential=(\w+)/", environ.get("HTTP_AUTHORIZATION", ""))
        who = said[1] if said else ""
        writes = environ["REQUEST_METHOD"] != "GET" and environ["REQUEST_METHOD"] != "HEAD"
        if who == "stranger" or (who == "reader" and writes):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [DENIED]
        path = environ["PATH_INFO"]
        first = (who, path) not in self.seen and "HTTP_IF_NONE_MATCH" in environ
        if first:
            self.seen.add((who, path))
        if who == "busy" and first:
            start_response("409 Conflict", [("Content-Type", "application/xml")])
            return [CONFLICT]
        if who == "careless":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if not writes:
            return self.inner(environ, start_response)
        with self.one_by_one:
            answer = list(self.inner(environ, start_response))
        if who == "unheard" and first:
            start_response("500 Lost", [("Content-Length", "0")], sys.exc_info())
            return [b""]
        return answer


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, Server(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
