"""Texts on the command line."""

from pathlib import Path

import numpy as np
import pytest

from bequest.cli._task import TaskOptions, read_task
from bequest.errors import DataError

GOOD, BAD = ["lovely film", "great story", "I love it"], ["boring film", "awful story", "I hate it"]


@pytest.fixture
def reviews(tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f'"{rng.choice(GOOD if row % 2 else BAD)}, {row}",{("bad", "good")[row % 2]},{row}'
        for row in range(40)
    ]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["body,stars,id", *lines]) + "\n")
    return path


def test_texts_are_learned_and_predicted(cli, reviews, tmp_path):
    trained = cli(
        "train", reviews, "--target", "stars", "--text", "body", "--out", "model", "--json"
    )
    assert trained.json["card"]["task"]["modality"] == "text"
    (tmp_path / "new.csv").write_text("body,id\nlovely film,1\nawful,2\n")
    predicted = cli("predict", "model", "new.csv", "--json")
    assert predicted.json == {"prediction": ["good", "bad"]}
    named = cli("predict", "model", reviews, "--text", "body", "--json")
    assert len(named.json["prediction"]) == 40
    assert "2 columns of text: name one with --text" in cli("predict", "model", reviews).line
    assert "Did you mean 'body'" in cli("predict", "model", reviews, "--text", "bodi").line


def test_options_that_texts_do_not_have_are_wrong_usage(cli, reviews):
    wrong = cli(
        "train", reviews, "--target", "stars", "--text", "body", "--drop", "id", "--out", "model"
    )
    assert (wrong.code, "--drop does not go with --text" in wrong.err) == (2, True)


def test_a_column_of_texts_that_is_missing_is_named(reviews):
    with pytest.raises(DataError, match="Did you mean 'body'"):
        read_task(reviews, TaskOptions(target="stars", text="bdy"))


def test_a_source_that_reads_texts_asks_for_the_column(cli):
    words = ["good day sun", "fine warm sea", "bad cold rain", "grim fog mud"]
    rows = "".join(f"{words[n % 4]} {n},{'low' if n % 4 > 1 else 'high'}\n" for n in range(40))
    Path("mails.csv").write_text("body,mood\n" + rows)
    assert cli("train", "mails.csv", "--text", "body", "--target", "mood", "--out", "t").code == 0
    given = ("transfer", "mails.csv", "--target", "mood", "--source", "t", "--budget", 5)
    refused = cli(*given, "--out", "out")
    assert refused.code == 1
    assert "--text COLUMN" in refused.line
    assert not Path("out").exists()


def test_a_source_that_reads_arrays_asks_for_the_columns(cli, csv):
    import bequest as bq

    table = csv()
    rows = np.random.default_rng(0).normal(size=(40, 2))
    bq.train(bq.Task.from_arrays(rows, rows[:, 0] > 0)).save("arrays")
    given = ("transfer", table, "--target", "outcome", "--source", "arrays", "--budget", 5)
    refused = cli(*given, "--out", "out")
    assert refused.code == 1
    assert "bequest.wrap(model, columns=[...])" in refused.line
