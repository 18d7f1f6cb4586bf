"""RDF of anybody's, read in a process that is killed where it takes too long or too much.

668 bytes of RDF/XML can ask for 4 GB, and a few thousand brackets in a row end the process that
reads them: so that process is not ours.
"""

from __future__ import annotations

import json
import logging
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyoxigraph
from numpy.typing import NDArray

from bequest.core.child_process import allowed, command
from bequest.core.wording import pluralise
from bequest.errors import DataError

__all__ = ["RDF_FORMATS", "read_rdf"]

logger = logging.getLogger(__name__)

RDF_FORMATS = {
    ".nt": "application/n-triples",
    ".nq": "application/n-quads",
    ".ttl": "text/turtle",
    ".trig": "application/trig",
    ".n3": "text/n3",
    ".jsonld": "application/ld+json",
    ".rdf": "application/rdf+xml",
    ".owl": "application/rdf+xml",
}
_MEMORY = 2 * 2**30  # bytes of addresses that the process may take
_START = 30.0  # seconds that any file may take
_PACE = 2**20  # bytes that it may take another second for
_CHILD = str(Path(__file__).with_name("rdf_child.py"))


def read_rdf(
    source: Path | bytes,
    suffix: str,
    *,
    title: str,
    memory: int = _MEMORY,
    seconds: float | None = None,
) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Read the triples of RDF whose object is no literal; the graphs of quads become one.

    Gives the entities and the relations (IRIs; blank nodes are ``_:`` and a label), and int64
    triples (M, 3) of head, relation and tail. `suffix` is a key of `RDF_FORMATS`; `memory` is in
    bytes, where the system can limit it, `seconds` by default 30 and one for each MiB. `DataError`
    where it is no RDF of that format, or takes more to read than it may.

    Examples
    --------
    >>> text = b"@prefix e: <urn:e:> . e:paris e:in e:france ; e:people 2100000 ."
    >>> entities, relations, triples = read_rdf(text, ".ttl", title="places")
    >>> entities, relations, triples.tolist()
    (['urn:e:paris', 'urn:e:france'], ['urn:e:in'], [[0, 0, 1]])
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    limit = _START + size / _PACE if seconds is None else seconds
    try:
        with nullcontext() if isinstance(source, bytes) else source.open("rb") as file:
            done = subprocess.run(
                command(_CHILD, RDF_FORMATS[suffix], memory=memory, needs=pyoxigraph),
                input=source if isinstance(source, bytes) else None,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"{title} took longer than {limit:.0f} s to read and was given up: {size} bytes. "
            "As N-Triples (.nt) it is read fastest."
        ) from error
    first, _, rest = (b"" if done.returncode else done.stdout).partition(b"\n")
    head: dict[str, Any] = json.loads(first) if first else {"memory": True}
    if "syntax" in head:
        said = ascii(" ".join(head["syntax"].split()))[1:-1]
        raise DataError(f"{title} is no RDF ({suffix}): {said[:200]}")
    if "memory" in head:
        raise DataError(
            f"{title} ended the process that reads it: it is nested too deeply, or {size} bytes "
            f"unfold to more than {allowed(memory) / 2**30:.3g} GiB. Give it as N-Triples (.nt)."
        )
    if head["left_out"]:
        logger.info(
            "%s: %s with a literal left out: a value is no entity.",
            title,
            pluralise(head["left_out"], "triple"),
        )
    names = rest[: head["text"]].decode("utf-8").split("\n")[:-1]
    if len(names) != head["entities"] + head["relations"]:
        raise DataError(f"{title} has an IRI with a line break in it.")
    triples = np.frombuffer(rest[head["text"] :], dtype=np.int64).reshape(-1, 3)
    return names[: head["entities"]], names[head["entities"] :], triples
