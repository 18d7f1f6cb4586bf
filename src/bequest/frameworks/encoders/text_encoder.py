"""Texts as numbers: weighted counts of words and of runs of characters.

N samples, W words and pairs of words, G runs of characters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from bequest.core import Inputs, Texts, as_inputs
from bequest.errors import DataError, ModelError

__all__ = ["TextEncoder", "as_texts"]

MOST = 20_000  # words and runs of characters; a config of about 1 MB
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    # single letters are words too: "I" and "a", and most words of Chinese
    "words": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b", "sublinear_tf": True},
    "characters": {"analyzer": "char_wb", "ngram_range": (3, 5), "sublinear_tf": True},
}


@final
@dataclass(frozen=True)
class TextEncoder:
    """Counts of words, pairs of words, and runs of 3 to 5 characters, weighted by TF-IDF.

    Case does not matter. The runs of characters catch endings, compounds and typing errors that
    were not seen as words; the two halves of a row each have length one, or zero where a text
    has nothing that was seen in training.

    Parameters
    ----------
    words, characters : mapping of str to float
        What is counted, and its inverse document frequency, in the order of the columns.

    References
    ----------
    Sparck Jones, A Statistical Interpretation of Term Specificity, Journal of Documentation 1972;
    Wang and Manning, Baselines and Bigrams, ACL 2012 (words and pairs with a linear model).

    Examples
    --------
    >>> encoder = TextEncoder.fit(Texts(["good book", "bad book"]))
    >>> encoder.encode(Texts(["A GOOD film", ""])).shape == (2, encoder.width)
    True
    """

    words: Mapping[str, float]
    characters: Mapping[str, float]

    @classmethod
    def fit(cls, inputs: Inputs, *, most: int = MOST) -> TextEncoder:
        """Learn from training rows what to count, the `most` frequent, half of each sort."""
        texts = as_texts(inputs).tolist()
        return cls(*(_fitted(sort, texts, most // 2) for sort in SETTINGS))

    @property
    def width(self) -> int:
        """W + G, and one at least: the columns of `encode`."""
        return max(1, len(self.words) + len(self.characters))

    def encode(self, inputs: Inputs) -> Any:
        """Sparse float64 matrix, shape (N, W + G); linear models read it as it is."""
        texts = as_texts(inputs).tolist()
        blocks = [vectorizer.transform(texts) for vectorizer in self._vectorizers]
        if not blocks:
            return sparse.csr_matrix((len(texts), 1), dtype=np.float64)
        return sparse.hstack(blocks, format="csr")

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "encoder": "text",
            "words": [list(self.words), list(self.words.values())],
            "characters": [list(self.characters), list(self.characters.values())],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TextEncoder:
        """The encoder that `to_config` described, else a `ModelError`."""
        return cls(*(_weights(config[sort], sort) for sort in SETTINGS))

    @cached_property
    def _vectorizers(self) -> list[Any]:
        made = []
        for sort, weights in (("words", self.words), ("characters", self.characters)):
            if weights:
                vectorizer = TfidfVectorizer(vocabulary=list(weights), **SETTINGS[sort])
                vectorizer.idf_ = np.array(list(weights.values()), dtype=np.float64)
                made.append(vectorizer)
        return made


def as_texts(inputs: Any) -> Texts:
    """The inputs, held to be texts."""
    texts = as_inputs(inputs)
    if not isinstance(texts, Texts):
        raise DataError("the model reads texts: a list of str.")
    return texts


def _fitted(sort: str, texts: Sequence[str], most: int) -> dict[str, float]:
    """What is counted and its weight; nothing where no text has anything to count."""
    vectorizer = TfidfVectorizer(max_features=most, **SETTINGS[sort])
    analyse = vectorizer.build_analyzer()
    if not any(analyse(text) for text in texts):
        return {}
    vectorizer.fit(texts)
    names = vectorizer.get_feature_names_out().tolist()
    return dict(zip(names, vectorizer.idf_.tolist(), strict=True))


def _weights(values: Sequence[Sequence[Any]], sort: str) -> dict[str, float]:
    names, weights = values
    known = {str(name): float(w) for name, w in zip(names, weights, strict=True)}
    if len(known) < len(names) or not all(map(math.isfinite, known.values())):
        raise ModelError(f"the model's encoder counts {sort} twice, or its weights are no numbers.")
    return known
