"""Open an untrusted ONNX file and run it once: a script for `bequest.core.child_process`.

What crashes here, or never ends, would otherwise do so in the process that loads.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROWS = 4
PIXELS = 224  # along an axis whose length is free, which most networks for photos take
FREE = 16  # columns, where their number is free


def probe(content: bytes) -> dict[str, Any]:
    """Inputs and outputs of the graph by name, type and shape, and what it answers to a few rows.

    Metadata are the texts by name that whoever wrote the file added.

    An answer is the list of labels that it maps to probabilities, or how many numbers a row has
    and whether they are probabilities.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    sides = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    found: dict[str, Any] = {
        side: [[one.name, one.type, list(one.shape or ())] for one in listed]
        for side, listed in sides.items()
    }
    found["metadata"] = session.get_modelmeta().custom_metadata_map
    fed = {name: _rows(kind, shape) for name, kind, shape in found["inputs"]}
    said = session.run(None, fed)
    names = [name for name, _, _ in found["outputs"]]
    found["answers"] = {name: _answer(one) for name, one in zip(names, said, strict=True)}
    return found


def _rows(kind: str, shape: list[Any]) -> Any:
    numpy = importlib.import_module("numpy")
    free = PIXELS if len(shape) == 4 else FREE
    first = shape[0] if shape and isinstance(shape[0], int) and shape[0] > 0 else ROWS
    size = [first, *(one if isinstance(one, int) and one > 0 else free for one in shape[1:])]
    if kind == "tensor(string)":
        return numpy.full(size, "a", dtype=object)
    types = {"float": "float32", "double": "float64"}
    name = kind.removeprefix("tensor(").removesuffix(")")
    return abs(numpy.random.default_rng(0).normal(size=size)).astype(types.get(name, name))


def _answer(said: Any) -> Any:
    if isinstance(said, list):
        return list(said[0]) if said and isinstance(said[0], dict) else None
    if said.dtype.kind != "f":
        return None
    rows = said.reshape(len(said), -1).astype("float64")
    likely = rows.min() >= 0 and bool((abs(rows.sum(axis=1) - 1) < 1e-3).all())
    return {"width": rows.shape[1], "probabilities": bool(likely)}


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(probe(Path(sys.argv[1]).read_bytes())))
    except Exception as error:  # the library's own words, in one line
        sys.exit(" ".join(str(error).split())[:300] or type(error).__name__)
