"""The process that reads a stranger's RDF: it may be killed, and knows nothing but its input.

It reads RDF from its standard input and writes a line of JSON, then the names of entities and of
relations, one a line, then the triples as numbers of these. It is run as a file, without the
package, by `bequest.core.child_process`: starting it must be quick.
"""

from __future__ import annotations

import json
import sys
from array import array
from typing import Any

from pyoxigraph import Literal, RdfFormat, Triple, parse


def main(media_type: str) -> None:
    """Read everything, then answer."""
    kind = RdfFormat.from_media_type(media_type)
    assert kind is not None
    entities: dict[Any, int] = {}
    relations: dict[Any, int] = {}
    numbers = array("q")
    left_out = 0
    try:
        for said in parse(sys.stdin.buffer, format=kind):
            if isinstance(said.object, Literal | Triple) or isinstance(said.subject, Triple):
                left_out += 1
                continue
            numbers.append(entities.setdefault(said.subject, len(entities)))
            numbers.append(relations.setdefault(said.predicate, len(relations)))
            numbers.append(entities.setdefault(said.object, len(entities)))
    except (SyntaxError, ValueError) as error:
        _answer({"syntax": str(error)})
        return
    except MemoryError:
        _answer({"memory": True})
        return
    names = [*map(_name, entities), *map(_name, relations)]
    head = {"entities": len(entities), "relations": len(relations), "left_out": left_out}
    text = "".join(f"{name}\n" for name in names).encode("utf-8", "replace")
    _answer({**head, "text": len(text)}, text, numbers.tobytes())


def _name(term: Any) -> str:
    # An IRI is its own name; what has none is called as Turtle calls it.
    return term.value if type(term).__name__ == "NamedNode" else str(term)


def _answer(head: dict[str, Any], *parts: bytes) -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
