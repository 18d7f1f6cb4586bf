"""Texts as weighted counts: what scikit-learn would count, and nothing that a config can break."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from bequest.core import Texts
from bequest.errors import DataError, ModelError
from bequest.frameworks.encoders.encoder import encoder_from_config, fit_encoder
from bequest.frameworks.encoders.text_encoder import TextEncoder

TEXTS = Texts(["A good book, a GOOD film", "bad book", "größer als 中文", ""])


def test_the_words_are_weighted_as_scikit_learn_weighs_them():
    encoder = fit_encoder(TEXTS)
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True
    ).fit(TEXTS.tolist())
    wanted = vectorizer.transform(TEXTS.tolist()).toarray()
    encoded = encoder.encode(TEXTS).toarray()
    assert list(encoder.words) == vectorizer.get_feature_names_out().tolist()
    np.testing.assert_allclose(encoded[:, : len(encoder.words)], wanted)


def test_each_half_of_a_row_has_length_one_or_nothing_to_count():
    encoder = TextEncoder.fit(TEXTS)
    encoded = encoder.encode(Texts(["good", "", "zzzz"])).toarray()
    halves = np.split(encoded, [len(encoder.words)], axis=1)
    lengths = [np.linalg.norm(half, axis=1).round(9).tolist() for half in halves]
    assert lengths == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_the_most_frequent_are_kept():
    encoder = TextEncoder.fit(TEXTS, most=6)
    assert (len(encoder.words), len(encoder.characters), encoder.width) == (3, 3, 6)
    assert "film" not in encoder.words  # once, the others twice


def test_it_survives_json_to_the_last_bit():
    encoder = TextEncoder.fit(TEXTS)
    again = encoder_from_config(json.loads(json.dumps(encoder.to_config())))
    np.testing.assert_array_equal(again.encode(TEXTS).toarray(), encoder.encode(TEXTS).toarray())


@pytest.mark.parametrize(
    "words", [[["a"], []], [["a", "a"], [1, 1]], [["a"], [float("nan")]], [["a"], ["x"]], 3, None]
)
def test_a_damaged_config_is_one_line(words):
    with pytest.raises(ModelError, match="encoder"):
        encoder_from_config({"encoder": "text", "words": words, "characters": [[], []]})


def test_numbers_are_no_texts():
    with pytest.raises(DataError, match="list of str"):
        TextEncoder.fit(TEXTS).encode(np.eye(3))
