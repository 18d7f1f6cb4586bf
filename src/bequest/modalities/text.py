"""Texts: N strings of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import ENCODERS
from bequest.core.modality import Encoder, Inputs, Modality, dense, digests
from bequest.core.table import plain_array
from bequest.core.texts import Texts
from bequest.data.near_duplicates import text_fingerprints
from bequest.errors import DataError
from bequest.optional import need

__all__ = ["TEXT", "Text"]

Array = NDArray[Any]
DENSE_COLUMNS = 1000  # words and runs of characters, the most frequent ones
BUCKETS = 2**12  # of words and pairs of words in the common space


@final
class Text(Modality):
    """`Texts`, made of a list, an array or a DataFrame's column of strings."""

    name = "text"
    encoder = "text"
    networks = ("linear", "naive-bayes")

    def recognise(self, samples: Any) -> Inputs | None:
        """`Texts`; of a list one string suffices, `DataError` where the others are none."""
        if isinstance(samples, Texts):
            return samples
        if isinstance(samples, str | bytes):
            kind = type(samples).__name__
            raise DataError(
                f"the inputs are not numbers; one {kind} is a text: put it into a list."
            )
        if _is_column(samples):
            samples = plain_array(samples)
        if isinstance(samples, np.ndarray):
            strings = samples.dtype.kind == "U" or (samples.dtype.kind == "O" and _any(samples))
            return Texts(samples.tolist()) if samples.ndim == 1 and strings else None
        return Texts(samples) if isinstance(samples, list | tuple) and _any(samples) else None

    def holds(self, inputs: Inputs) -> bool:
        """Whether they are `Texts`."""
        return isinstance(inputs, Texts)

    def vectors(self, inputs: Inputs) -> Array:
        """What from scratch reads: counts of words and of runs of characters."""
        return dense(self.fit_encoder(inputs), inputs)

    def row_digests(self, inputs: Any) -> Array:
        """Of the characters."""
        return digests(text.encode() for text in inputs)

    def fingerprints(self, inputs: Any) -> NDArray[np.uint64]:
        """Of the words in their order."""
        return text_fingerprints(inputs)

    def fit_dense_encoder(self, inputs: Inputs) -> Encoder:
        """Of 1,000 words and runs of characters: their counts are held whole."""
        encoder: Encoder = ENCODERS["text"].fit(inputs, most=DENSE_COLUMNS)
        return encoder

    def points(self, inputs: Any, direction: Callable[[str], Array]) -> Array:
        """Of each text its hashed words and pairs of words."""
        sklearn = need("sklearn.feature_extraction.text", extra="", purpose="points of texts")
        words = sklearn.HashingVectorizer(
            n_features=BUCKETS, ngram_range=(1, 2), alternate_sign=False
        )
        names = [f"word {bucket}" for bucket in range(BUCKETS)]
        points: Array = words.transform(inputs.tolist()) @ np.stack(list(map(direction, names))) * 2
        return points


def _any(samples: Any) -> bool:
    return any(isinstance(sample, str) for sample in samples)


def _is_column(samples: Any) -> bool:
    """Whether it is one column of a DataFrame, not a frame."""
    if not (hasattr(samples, "__arrow_c_stream__") or hasattr(samples, "__arrow_c_array__")):
        return False
    return not any(hasattr(samples, name) for name in ("__dataframe__", "columns", "schema"))


TEXT = Text()
