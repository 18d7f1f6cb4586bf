import json
import subprocess
import sys

import numpy as np
import pytest

import bequest as bq
from bequest.cli import run

COLUMNS = ("age", "pressure")


def rows(seed, n=60):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 2)).round(3)
    return inputs, np.where(inputs[:, 0] + 0.3 * inputs[:, 1] > 0, "ill", "well")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder; the exit code, and what it said."""
    monkeypatch.chdir(tmp_path)

    class Done:
        def __init__(self, *tokens):
            capsys.readouterr()
            self.code = run([str(token) for token in tokens])
            self.out, self.err = capsys.readouterr()

        @property
        def json(self):
            assert (self.code, self.err) == (0, "")
            return json.loads(self.out)

        @property
        def line(self):
            """The one line on stderr of a command that was refused."""
            assert self.out == ""
            assert self.err.startswith("bequest: ")
            assert self.err.count("\n") == 1
            return self.err

    return Done


@pytest.fixture
def csv(tmp_path):
    """Write a small table with its labels; the path."""

    def write(name="ward.csv", seed=0, n=60):
        inputs, labels = rows(seed, n)
        lines = [f"{a},{b},{label}" for (a, b), label in zip(inputs, labels, strict=True)]
        path = tmp_path / name
        path.write_text("\n".join([",".join((*COLUMNS, "outcome")), *lines]) + "\n")
        return path

    return write


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A model folder, trained on rows like those of `csv`."""
    inputs, labels = rows(1)
    task = bq.Task.from_table(
        {"age": inputs[:, 0], "pressure": inputs[:, 1], "outcome": labels}, "outcome", name="ward3"
    )
    folder = tmp_path_factory.mktemp("saved") / "ward3"
    bq.train(task, net="linear").save(folder)
    return folder


@pytest.fixture(scope="session")
def result(saved):
    """What one small transfer gives."""
    inputs, labels = rows(5, n=40)
    task = bq.Task.from_table(
        {"age": inputs[:, 0], "pressure": inputs[:, 1], "outcome": labels}, "outcome", name="ward"
    )
    return bq.transfer(task, [bq.load(saved)], methods=["reuse"], budget=None)


@pytest.fixture
def asked(monkeypatch, result):
    """Let `bq.transfer` and `bq.rank` give that result at once, and keep what they were asked."""
    calls = []

    def transfer(task, sources, **options):
        calls.append((task, sources, options))
        return result

    def rank(sources, task, **options):
        calls.append((task, sources, options))
        return result.ranking

    monkeypatch.setattr(bq, "transfer", transfer)
    monkeypatch.setattr(bq, "rank", rank)
    return calls


@pytest.fixture
def process(tmp_path):
    """Run a command in a process of its own."""

    def start(*tokens, **options):
        return subprocess.run(
            [sys.executable, "-m", "bequest", *map(str, tokens)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            **options,
        )

    return start
