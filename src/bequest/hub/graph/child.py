"""The process that answers queries: it may be killed, and knows nothing but a store.

It reads requests as lines of JSON and answers each with a line of JSON, and the bytes of which that
line tells the size. It is run as a file, without the package: starting it must be quick.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from pyoxigraph import (
    QueryResultsFormat,
    QueryTriples,
    RdfFormat,
    Store,
)

if os.name == "posix":
    import resource


def main(memory: int, most: int) -> None:
    """Answer until nobody asks any more.

    Parameters
    ----------
    memory, most : int
        Bytes that this process may take, and that an answer may have.
    """
    if os.name == "posix":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    view, store = "", None
    with open(os.devnull, "w") as nowhere:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            if store is None or view != request["view"]:
                view = request["view"]
                try:
                    store = Store.read_only(view)
                except (OSError, RuntimeError) as error:
                    _answer({"unreadable": str(error)})
                    continue
            _answer({"opened": True})
            # Whoever asked may be dead: an endless query must not outlive its time.
            faulthandler.dump_traceback_later(request["timeout"] + 5, exit=True, file=nowhere)
            head, body = _asked(store, request, most)
            faulthandler.cancel_dump_traceback_later()
            _answer(head, body)


def _asked(store: Store, request: Mapping[str, Any], most: int) -> tuple[dict[str, Any], bytes]:
    try:
        found = store.query(request["sparql"], prefixes=request["prefixes"])
        body: bytes | None
        if isinstance(found, QueryTriples):
            kind, body = "nt", found.serialize(format=RdfFormat.N_TRIPLES)
        else:
            kind, body = "json", found.serialize(format=QueryResultsFormat.JSON)
    except SyntaxError as error:
        return {"syntax": str(error)}, b""
    except ValueError as error:
        return {"refused": str(error)}, b""
    except (OSError, RuntimeError) as error:  # a damaged block is either
        return {"unreadable": str(error)}, b""
    except MemoryError:
        return {"memory": True}, b""
    body = body or b""
    if len(body) > most:
        return {"long": len(body)}, b""
    return {"kind": kind, "size": len(body)}, body


def _answer(head: Mapping[str, Any], body: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
