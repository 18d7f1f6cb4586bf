"""`Result.save` and `load_result`: the folder that the command line writes, too."""

import os

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import bequest as bq
from bequest.core import Card
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.frameworks.combined.ensemble import Ensemble

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
y = np.where(X[:, 0] > 0, "ill", "well")


@pytest.fixture(scope="module")
def result():
    model = bq.wrap(LogisticRegression().fit(X, y), name="ward 3")
    task = bq.Task.from_arrays(X, y, name="ward 7")
    return bq.transfer(task, [model], methods=["reuse", "stack"], budget=None)


def test_a_result_comes_back_from_its_folder(result, tmp_path):
    result.save(tmp_path / "ward7")
    assert {path.name for path in (tmp_path / "ward7").iterdir()} == {
        "model", "outcome.json", "report.html", "best_single.json",
    }  # fmt: skip
    again = bq.load_result(tmp_path / "ward7")
    assert again.outcome == result.outcome
    assert again.verdict == result.verdict
    assert str(again.ranking) == str(result.ranking)
    np.testing.assert_allclose(again.model.predict_proba(X), result.model.predict_proba(X), 1e-6)
    np.testing.assert_allclose(
        again.best_single.predict_proba(X), result.best_single.predict_proba(X), 1e-6
    )
    assert again.best_single.card == result.best_single.card


@pytest.mark.parametrize("place", [0, 1, None])
def test_the_best_single_model_is_the_one_that_was(result, tmp_path, place):
    members = [bq.wrap(LogisticRegression(C=c).fit(X, y), name=f"C = {c}") for c in (0.01, 100)]
    model = Ensemble(tuple(members), card=Card(name="both"))
    best = model if place is None else members[place].with_card(Card(name="the best"))
    given = bq.Result(model, result.outcome, result.ranking, best)
    given.save(tmp_path / "out")
    again = bq.load_result(tmp_path / "out")
    assert again.best_single.name == best.name
    np.testing.assert_allclose(again.best_single.predict_proba(X), best.predict_proba(X))


def test_a_best_single_model_that_is_no_member_is_refused(result, tmp_path):
    other = bq.wrap(LogisticRegression().fit(X, y))
    with pytest.raises(ModelError, match="neither the model nor one of its members"):
        bq.Result(result.model, result.outcome, result.ranking, other).save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_earlier_result_is_replaced_and_nothing_else_is(result, tmp_path):
    result.save(tmp_path / "out")
    result.save(tmp_path / "out")
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="exists and is not ours to replace"):
        result.save(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="exists and is not ours to replace"):
        result.save(tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == ["file", "out"]


def test_a_model_that_cannot_be_saved_leaves_nothing(result, tmp_path):
    function = bq.wrap(lambda X: X[:, 0], name="slope")
    with pytest.raises(NotApplicable, match="holds no code"):
        bq.Result(function, result.outcome, result.ranking, function).save(
            tmp_path / "deep" / "out"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("outcome.json", None, DataError, "has no outcome.json: it is not what transfer left"),
        ("outcome.json", "{", DataError, "outcome.json"),
        ("best_single.json", None, DataError, "has no best_single.json"),
        ("best_single.json", "[]", ModelError, "holds no object"),
        ("best_single.json", '{"member": 99}', ModelError, "names member 99"),
        ("best_single.json", '{"member": true}', ModelError, "names member True"),
        ("best_single.json", '{"member": "../0"}', ModelError, "names member"),
        ("best_single.json", '{"member": 0, "card": 3}', ModelError, "damaged"),
        ("best_single.json", '{"member": 0}', ModelError, "damaged"),
    ],
)
def test_a_damaged_folder_is_one_line(result, tmp_path, name, text, error, said):
    members = tuple(bq.wrap(LogisticRegression(C=c).fit(X, y)) for c in (1.0, 2.0))
    model = Ensemble(members, card=Card())
    bq.Result(model, result.outcome, result.ranking, members[0]).save(tmp_path / "out")
    path = tmp_path / "out" / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=said) as refused:
        bq.load_result(tmp_path / "out")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", [3, None, "", "\0"])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(DataError):
        bq.load_result(given)


def test_what_the_command_writes_is_a_result(tmp_path, monkeypatch, capsys):
    from bequest.cli import run

    monkeypatch.chdir(tmp_path)
    lines = [f"{a},{b},{label}" for (a, b, _), label in zip(X, y, strict=True)]
    (tmp_path / "ward.csv").write_text("\n".join(["age,pressure,outcome", *lines]) + "\n")
    task = bq.Task.from_table(tmp_path / "ward.csv", target="outcome")
    bq.train(task).save(tmp_path / "old")
    tokens = "transfer ward.csv --target outcome --source old --method reuse --allow-overlap"
    assert run([*tokens.split(), "--budget", "60", "--out", "new"]) == 0
    again = bq.load_result("new")
    assert len(again.best_single.predict(task.inputs)) == len(task)


def test_a_result_prints_as_the_command_line_shows_it(result):
    shown = str(result).splitlines()
    assert shown[0].split() == ["source", "score", "interval"]
    assert any("building on" in line.lower() for line in shown)
    assert repr(result).startswith(f"Result({result.verdict.kind}, source=")
    assert len(repr(result)) < 200
