import hashlib

import numpy as np
import pytest
from benchmarks.hub_made import outcome_like, task_of

from bequest.core import Task
from bequest.errors import Damaged
from bequest.hub.sketches.task_sketch import similarity, sketch
from bequest.hub.storage.row_hash import Altered, seal_of, sealed, unaltered


def test_a_seal_is_the_hash_of_the_text_and_is_told_of_anything():
    assert seal_of('{"a": "é"}') == hashlib.sha256('{"a": "é"}'.encode()).hexdigest()
    assert len({seal_of(strange) for strange in (1, None, b"{}", "{}", "\ud800")}) == 5


def test_what_is_whole_is_read_and_what_is_not_is_named():
    assert sealed("[1, 2]", seal_of("[1, 2]")) == [1, 2]
    assert unaltered("no JSON", seal_of("no JSON")) == "no JSON"
    with pytest.raises(ValueError, match="Expecting"):
        sealed("no JSON", seal_of("no JSON"))
    with pytest.raises(Altered, match=r"^the row of a@1 was altered$"):
        sealed("[1]", seal_of("[2]"), "the row of a@1")


@pytest.mark.parametrize("what", ["1", "x'7b7d'", "'{}'", "char(55296)"])
def test_whoever_reads_an_altered_row_says_the_same(hub, tiny, caplog, what):
    hub.publish(tiny([1.0]), "one", licence="MIT")
    hub.publish(tiny([1.0]), "two", licence="MIT")
    hub.record(outcome_like(task_of(1)))
    with hub._store.records.writing() as db:
        db.execute(f"UPDATE entries SET record = {what} WHERE name = 'two'")
    assert [entry.name for entry in hub.list()] == ["one"]
    assert hub.query("SELECT (COUNT(?m) AS ?n) { ?m a fair4ml:MLModel }") == [{"n": 1}]
    assert [one.name for one in hub.suggest(task_of(2))] == ["one@1"]
    assert caplog.text.count("altered") == 3
    with hub._store.records.writing() as db:
        db.execute(f"UPDATE outcomes SET record = {what}")
    for read in (hub.outcomes, lambda: type(hub)(hub.folder).suggest(task_of(2))):
        with pytest.raises(Damaged, match=r"the outcome \w{12} in the registry was altered\."):
            read()


def test_the_cosine_of_two_embeddings_is_their_similarity():
    rng = np.random.default_rng(0)
    one, other = (
        sketch(Task.from_arrays(rng.normal(size=(200, 3)) + shift, np.arange(200) % 2), rng=rng)
        for shift in (0.0, 0.5)
    )
    assert one.embedding.dtype == np.float32
    np.testing.assert_allclose(one.embedding @ other.embedding, similarity(one, other), atol=1e-5)
