"""What turns texts into the input of a Hugging Face network.

N samples, T tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Inputs
from bequest.errors import ModelError
from bequest.frameworks.encoders.text_encoder import as_texts
from bequest.optional import need

__all__ = ["PADDING", "UNCUT", "Tokens"]

Array = NDArray[Any]
PADDING = -1  # where a text has no token any more
KEPT = 4  # tokenizers in memory: a folder that is loaded again is not parsed again
UNCUT = 2**31 - 1  # tokens: a text of any length
LETTERS = 64  # characters a token that are looked at first; nearly all texts need no more


@final
@dataclass(frozen=True)
class Tokens:
    """Texts as token numbers, by a ``tokenizer.json``.

    Parameters
    ----------
    content : str
        The file's text. It names the algorithm and its tables; no code comes from it.
    length : int
        Most tokens of a text.
    filler : int
        Stands for a text without any token; `PADDING`, which does not count, where none does.
    special : mapping of str to str
        Text of the padding token and its like, for transformers' own tokenizers.
    side : {"right", "left"}
        Where a longer text is cut.
    prompt : str
        Stands before every text.
    markers : bool
        Whether the tokenizer adds tokens of its own, such as one at the start and at the end.
    """

    content: str
    length: int
    filler: int = 0
    special: Mapping[str, str] = field(default_factory=dict)
    side: Literal["right", "left"] = "right"
    prompt: str = ""
    markers: bool = True

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any]) -> Tokens:
        """The encoder that `to_config` described, its tables from the folder."""
        content = (folder / "tokenizer.json").read_text(encoding="utf-8")
        return cls(
            content,
            int(config["length"]),
            int(config["filler"]),
            dict(config["special"]),
            "left" if config["side"] == "left" else "right",
            str(config["prompt"]),
            bool(config.get("markers", True)),
        )

    def encode(self, inputs: Inputs) -> Array:
        """Int64 (N, T), T that of the longest of these texts; `PADDING` behind the shorter ones."""
        rows = [self._numbers(self.prompt + text) for text in as_texts(inputs)]
        encoded = np.full((len(rows), max(map(len, rows), default=1)), PADDING, dtype=np.int64)
        for row, numbers in zip(encoded, rows, strict=True):
            row[: len(numbers)] = numbers
        return encoded

    @cached_property
    def highest(self) -> int:
        """The largest token number."""
        return _tokenizer(self.content, self.length, self.side)[1]

    def to_config(self) -> dict[str, Any]:
        """Plain values; the tokenizer is named by its content address."""
        digest = hashlib.sha256(self.content.encode()).hexdigest()
        # the default is not written: addresses of networks that are known stay the same
        markers = {} if self.markers else {"markers": False}
        return {
            **markers,
            "encoder": "tokens",
            "tokenizer": digest,
            "length": self.length,
            "filler": self.filler,
            "special": dict(self.special),
            "side": self.side,
            "prompt": self.prompt,
        }

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, without the special one that would end it."""
        if not self.prompt:
            return 0
        numbers = self._numbers(self.prompt)
        ends = {self._tokenizer.token_to_id(token) for token in self.special.values()}
        return len(numbers) - (numbers[-1] in ends)

    def _numbers(self, text: str) -> list[int]:
        # One by one: in a batch the tokenizer starts threads, which a later fork complains of.
        letters = LETTERS * self.length
        with _translated():
            encoding = self._encoding(text, letters)
            # what is not cut off has all its tokens before the end of what was looked at
            while letters < len(text) and not encoding.overflowing:
                letters *= 8
                encoding = self._encoding(text, letters)
        return list(encoding.ids) or [self.filler]

    def _encoding(self, text: str, letters: int) -> Any:
        cut = text[:letters] if self.side == "right" else text[-letters:]
        return self._tokenizer.encode(cut, add_special_tokens=self.markers)

    def cut_as_stored(self) -> Tokens:
        """The same, with texts cut where the file itself says so; not at all where it does not."""
        tokenizers = need("tokenizers", extra="hf", purpose="reading a tokenizer.json")
        with _translated():
            told = tokenizers.Tokenizer.from_str(self.content).truncation or {}
        side: Any = told.get("direction", "right")
        return replace(self, length=told.get("max_length", UNCUT), side=side)

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizer(self.content, self.length, self.side)[0]

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


@lru_cache(maxsize=KEPT)
def _tokenizer(content: str, length: int, side: str) -> tuple[Any, int]:
    """The library's tokenizer, which is not changed once it is made, and its largest number."""
    tokenizers = need("tokenizers", extra="hf", purpose="reading a tokenizer.json")
    with _translated():
        tokenizer = tokenizers.Tokenizer.from_str(content)
        tokenizer.no_padding()
        tokenizer.enable_truncation(length, direction=side)
        return tokenizer, max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1)


@contextmanager
def _translated() -> Iterator[None]:
    """What goes wrong inside of the tokenizer's library as one line."""
    try:
        yield
    except BaseException as error:
        # The library raises bare Exception, and its panics (pyo3's) are not even that.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        problem = " ".join(str(error).split())[:200]
        raise ModelError(f"the tokenizer.json cannot be read: {problem}.") from error
