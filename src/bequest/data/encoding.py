"""Text of whatever encoding becomes UTF-8, or one line that says what it is not."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from bequest.errors import DataError

__all__ = ["utf8_bytes"]

MOST_UNPACKED = 4 * 2**30  # bytes of a file that is packed

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BLOCK = 2**24  # bytes decoded at a time, so that checking a large file takes little memory


def utf8_bytes(path: Path) -> bytes:
    """Read a text file, UTF-8 or UTF-16 with a byte-order mark, as UTF-8 without a mark.

    Other encodings cannot be told from each other and are refused, not guessed: a wrong guess
    garbles names without a word.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ward.csv"
    >>> _ = path.write_text("åge", encoding="utf-16")
    >>> utf8_bytes(path).decode()
    'åge'
    """
    data = _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    if data.startswith(UTF16_MARKS):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is damaged UTF-16 text: {error}.") from error
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        raise DataError(
            f"{path} is not text: its byte {data.index(0)} is zero. If it is UTF-16 without a "
            "mark, save it as UTF-8."
        )
    _check_utf8(path, data)
    return data


def _check_utf8(path: Path, data: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, max(len(data), 1), BLOCK):
        kept = len(decoder.getstate()[0])  # bytes of a character that the last block cut
        try:
            decoder.decode(data[start : start + BLOCK], final=start + BLOCK >= len(data))
        except UnicodeDecodeError as error:
            place = start - kept + error.start
            line = data.count(b"\n", 0, place) + 1
            raise DataError(
                f"{path} is not UTF-8: byte 0x{data[place]:02x} at position {place}, line {line}. "
                "If it comes from an older Windows program, convert it: "
                f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
            ) from error


def _unpacked(path: Path) -> bytes:
    """The content of a .gz file, of which a small one may hold more than the memory does."""
    try:
        with gzip.open(path) as file:
            data = file.read(MOST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}.") from error
    if len(data) > MOST_UNPACKED:
        raise DataError(f"{path} holds more than {MOST_UNPACKED // 2**30} GiB: unpack it first.")
    return data
