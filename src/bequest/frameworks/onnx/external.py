"""Whether an ONNX file names other files, read from its bytes alone.

onnxruntime reads them relative to the working folder where it is given bytes: a file could pull in
whatever lies there. ONNX is a protocol buffer; only the messages that can hold a tensor are walked.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["external_tensor"]

# of each message the fields that lead to a tensor: onnx.proto3
PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}  # fmt: skip
NAME, EXTERNAL_DATA, DATA_LOCATION = 8, 13, 14  # fields of a tensor
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5


def external_tensor(content: bytes) -> str | None:
    """The name of a tensor whose values lie in another file; None where there is none.

    Raises
    ------
    ValueError
        The bytes are no protocol buffer.

    Examples
    --------
    >>> external_tensor(b"") is None
    True
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            if (name := _external(message)) is not None:
                return name
            continue
        for number, value in _fields(message):
            part = PARTS[kind].get(number)
            if part is not None and isinstance(value, memoryview):
                waiting.append((part, value))
    return None


def _external(tensor: memoryview) -> str | None:
    name, outside = "", False
    for number, value in _fields(tensor):
        if number == NAME and isinstance(value, memoryview):
            name = ascii(bytes(value[:60]).decode(errors="replace"))[1:-1]
        outside |= number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)
    return name if outside else None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        wire = key & 7
        if wire == VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if wire not in (EIGHT, BYTES, FOUR):
            raise ValueError(f"no protocol buffer: wire type {wire}")
        size = {EIGHT: 8, FOUR: 4}.get(wire, 0)
        if wire == BYTES:
            size, place = _varint(message, place)
        if place + size > len(message):
            raise ValueError("no protocol buffer: it is truncated")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("no protocol buffer: it is truncated")
