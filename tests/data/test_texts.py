"""Texts and labels become a task that everything else takes."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import bequest as bq
from bequest.data.near_duplicates import overlap, row_fingerprints
from bequest.data.splits import folds
from bequest.errors import BequestError, DataError, NotApplicable
from bequest.methods.from_scratch import FromScratch

GOOD = ["a lovely film", "wonderful story", "great acting", "I love it", "superb and moving"]
BAD = ["a boring film", "terrible story", "awful acting", "I hate it", "dull and slow"]


def reviews(rows, seed=0):
    rng = np.random.default_rng(seed)
    labels = [("bad", "good")[row % 2] for row in range(rows)]
    texts = [
        f"{' '.join(rng.choice(GOOD if label == 'good' else BAD, 2))} {rng.integers(99)}"
        for label in labels
    ]
    return texts, labels


def write(path, texts, labels):
    columns = {"id": list(range(1, len(texts) + 1)), "body": texts, "stars": labels}
    if path.suffix in (".csv", ".tsv"):
        pd.DataFrame(columns).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    elif path.suffix == ".jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        pa.parquet.write_table(pa.table(columns), path)
    return path


def test_lists_become_a_task():
    task = bq.Task.from_text(*reviews(20), name="reviews", test=reviews(6, seed=1))
    assert (task.modality, task.classes, len(task)) == ("text", ("bad", "good"), 20)
    assert len(task.test) == 6
    assert task.take([1, 3]).inputs.tolist() == [task.inputs.tolist()[row] for row in (1, 3)]
    assert task.fingerprint == bq.Task.from_arrays(*reviews(20)).fingerprint


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_file_with_two_columns_is_the_same_task(tmp_path, suffix):
    texts = ['say "no", twice', "42", "zwei\nZeilen", "größer"]
    path = write(tmp_path / f"reviews{suffix}", texts, [5, 1, 4, 1])
    task = bq.Task.from_text(path, target="stars", text="body", test=path)
    assert task.name == "reviews"
    assert task.fingerprint == bq.Task.from_text(texts, [5, 1, 4, 1]).fingerprint
    assert task.test.fingerprint == task.fingerprint


def test_frames_and_mappings_have_the_names_of_the_hubs_data_sets():
    texts, labels = reviews(6)
    columns = {"text": texts, "label": labels, "who": [1, 1, 2, 2, 3, 3]}
    for table in (columns, pd.DataFrame(columns), pa.table(columns)):
        task = bq.Task.from_text(table, groups="who")
        assert task.classes == ("bad", "good")
        assert task.groups.tolist() == columns["who"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((["a", "b"], [1, 0, 1]), "2 texts and 3 labels"),
        ((["a", "b"], None), "labels are missing"),
        (([], []), "the inputs are empty"),
        (([["a"], ["b"]], [0, 1]), "shape"),
        ((["a", "b"], [0, float("nan")]), "missing"),
        ((["a", "b"], ["x", "x"]), "two classes"),
        (("one text", [1]), "put it into one"),
        (("none.csv",), "there is no file"),
        (({"text": ["a"], "labels": ["b"]},), "Did you mean 'labels'"),
        (({"text": [1, 2], "label": [1, 2]},), "no strings"),
    ],
)
def test_what_makes_no_task_of_texts_is_one_line(arguments, said):
    with pytest.raises(DataError, match=said) as caught:
        bq.Task.from_text(*arguments)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_of_lines_of_json_is_one_line(tmp_path):
    path = tmp_path / "broken.jsonl"
    for content in ('{"text": "a", "label": 1}\n{"text": ', "", "\0\0", "[1, 2]\n"):
        path.write_text(content)
        with pytest.raises(DataError):
            bq.Task.from_text(path)


def test_near_duplicates_do_not_look_at_case_blanks_and_punctuation():
    own = bq.Task.from_text(["A good, film!", "bad", "..."], [1, 0, 0])
    other = bq.Task.from_text(["a  Good film", "bad film", "!!!"], [1, 0, 0])
    assert overlap(row_fingerprints(own), row_fingerprints(other)) == 1


def test_folds_of_texts_keep_the_classes():
    task = bq.Task.from_text(*reviews(20))
    [pairs] = folds(task, 5, rng=np.random.default_rng(0))
    assert [sorted(set(task.take(test).labels.tolist())) for _, test in pairs] == [
        ["bad", "good"]
    ] * 5


def test_from_scratch_learns_texts_and_survives_the_disk(tmp_path):
    model = bq.train(bq.Task.from_text(*reviews(40)))
    texts, labels = reviews(40, seed=1)
    assert np.mean(model.predict(texts) == labels) > 0.9
    model.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))


@pytest.mark.parametrize("texts", [["", "  "], ["!!", "?"], ["a", "b"], ["x" * 100_000, "y"]])
def test_texts_without_words_are_learned_as_far_as_they_go(texts):
    model = bq.train(bq.Task.from_text(texts * 4, ["one", "two"] * 4))
    assert np.isfinite(model.predict_proba(texts)).all()


def test_from_scratch_of_values_learns_the_length():
    texts = ["word " * length for length in range(1, 31)]
    task = bq.Task.from_text(texts, [len(text) + 0.5 for text in texts])
    assert task.kind == "regression"
    assert np.isfinite(bq.train(task).predict(["", "word"])).all()


@pytest.mark.parametrize("net", ["mlp", "boosting", "resnet"])
def test_networks_of_columns_and_pixels_do_not_apply_to_texts(net):
    with pytest.raises(NotApplicable, match="text"):
        bq.train(bq.Task.from_text(*reviews(6)), net=net)


def test_ranking_puts_the_source_that_knows_above_the_one_that_does_not():
    old, new = (bq.Task.from_text(*reviews(60, seed=seed)) for seed in (0, 1))
    shuffled = np.random.default_rng(0).permutation(old.labels)
    knows = bq.train(old, name="knows")
    guesses = bq.train(bq.Task.from_text(old.inputs, shuffled), name="guesses")
    assert [entry.source for entry in bq.rank([guesses, knows], new)] == ["knows", "guesses"]


def test_the_race_runs_on_texts_and_reports_rows_seen_before():
    old = bq.Task.from_text(*reviews(60), name="old")
    target = bq.Task.from_text(*reviews(24, seed=1))
    target = bq.Task.from_text(
        [*old.inputs.tolist()[:10], *target.inputs.tolist()], [*old.labels[:10], *target.labels]
    )
    result = bq.transfer(target, [bq.train(old)], methods=["reuse", "stack"], budget=None)
    assert result.verdict.kind in ("helps", "undecided", "hurts")
    note = "old was trained on 10 of the 34 rows: these do not judge."
    assert note in result.outcome.notes
    assert set(result.model.predict(["a lovely film", "dull"])) <= {"bad", "good"}


def test_every_arm_from_scratch_applies_to_texts():
    task = bq.Task.from_text(*reviews(12))
    arms = FromScratch.arms(task)
    assert len(arms) > 1
    assert [arm.applies(task) for arm in arms] == [None] * len(arms)


def test_a_model_of_texts_refuses_an_array():
    model = bq.train(bq.Task.from_text(*reviews(6)))
    with pytest.raises(BequestError, match="list of str"):
        model.predict(np.eye(3))


def test_texts_may_have_time_weights_and_unlabelled_ones_in_a_list_or_a_table():
    texts, labels = ["good", "bad", "fine"], ["+", "-", "+"]
    held = ["poor", "great"], ["-", "+"]
    roles = {"day": [3, 1, 2], "count": [1.0, 2.0, 4.0]}
    table = {"text": texts, "label": labels, **roles}
    listed = bq.Task.from_text(
        texts, labels, time=roles["day"], weights=roles["count"], unlabelled=["so so"],
        test=(*held, [1.0, 3.0]),
    )  # fmt: skip
    read = bq.Task.from_text(
        table, time="day", weights="count", unlabelled={"text": ["so so"]},
        test={"text": held[0], "label": held[1], "count": [1.0, 3.0]},
    )  # fmt: skip
    for task in (listed, read):
        assert task.time.tolist() == [3, 1, 2]
        assert task.weights.tolist() == [1, 2, 4]
        assert len(task.unlabelled) == 1
        assert task.test.weights.tolist() == [1, 3]
        assert task.test.time is None


def test_texts_without_a_target_are_an_unlabelled_task():
    assert not bq.Task.from_text(["good", "bad"], target=None).labelled
    assert not bq.Task.from_text({"text": ["good", "bad"]}, target=None).labelled


def test_a_held_out_table_of_a_list_of_texts_has_the_target_that_was_named():
    held = {"text": ["poor"], "queue": ["-"]}
    task = bq.Task.from_text(["good", "bad"], ["+", "-"], target="queue", test=held)
    assert task.test.labels.tolist() == ["-"]
