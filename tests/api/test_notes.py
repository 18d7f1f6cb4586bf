"""The notes of an outcome hold what is news; what is expected stands in the list of arms."""

import numpy as np
from torch import nn

import bequest as bq
from bequest.cli._outcome import NOTED, print_result
from bequest.core import Card, InputSpec
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.torch.model import TorchModel

X = np.random.default_rng(0).normal(size=(40, 3))
TASK = bq.Task.from_arrays(X, X[:, 0] > 0, name="signs")
SOURCE = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")


def test_a_method_that_does_not_suit_a_source_is_no_note_where_nobody_named_it():
    outcome = bq.transfer(TASK, [SOURCE], budget=None).outcome
    assert not any("knows gives predictions only" in note for note in outcome.notes)
    [probe] = [arm for arm in outcome.arms if arm.method == "probe"]
    assert probe.reason == "knows gives predictions only, no features."
    assert not probe.used
    again = bq.transfer(TASK, [SOURCE], budget=None, arms=outcome.arms)
    assert again.outcome.verdict == outcome.verdict


def test_a_named_method_that_does_not_suit_the_source_is_news():
    outcome = bq.transfer(TASK, [SOURCE], methods=["reuse", "probe"], budget=None).outcome
    assert "probe from knows: knows gives predictions only, no features." in outcome.notes


def test_the_verdicts_notes_come_first_and_a_terminal_shows_a_few(capsys):
    sources = [SOURCE, bq.train(TASK, net="linear", name="seen")]
    result = bq.transfer(
        TASK, sources, methods=["probe", "fine-tune", "lora", "features"], budget=None
    )
    notes = result.outcome.notes
    assert notes[0].startswith("No source applies") or "verdict" in notes[0].lower()
    assert len(notes) > NOTED
    print_result(result)
    said = capsys.readouterr().out
    assert said.count("Note: ") == NOTED
    assert f"{len(notes) - NOTED} more note" in said


def test_a_source_that_fails_after_the_race_is_a_note():
    calls = []

    def once(x):
        calls.append(len(x))
        if len(calls) > 2:  # wrapped and asked for all rows; afterwards the rows are remembered
            raise RuntimeError("the connection is lost")
        return np.where(x[:, 0] > 0, "pos", "neg")

    X = np.random.default_rng(0).normal(size=(60, 3))
    task = bq.Task.from_arrays(X, np.where(X[:, 0] > 0, "pos", "neg"))
    source = bq.wrap(once, classes=["neg", "pos"], name="far")
    result = bq.transfer(task, [source], methods=["reuse"], budget=20.0)
    assert result.outcome.selected == "transfer"
    [note] = [note for note in result.outcome.notes if "does not run any more" in note]
    assert "the connection is lost" in note


def test_images_smaller_than_what_a_source_reads_are_news():
    rng = np.random.default_rng(0)
    images = rng.random((20, 3, 8, 8), dtype=np.float32)
    task = bq.Task.from_arrays(images, images[:, 0, 0, 0] > 0.5)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    told = {}
    for side in (8, 32):
        source = TorchModel(
            network,
            spec=InputSpec("image"),
            classes=(False, True),
            card=Card(name=f"reads {side}"),
            encoder=Pixels(side, (side, side), (0.5,), (0.5,)),
            head="2",
        )
        outcome = bq.transfer(task, [source], methods=["probe"], budget=60).outcome
        told[side] = [note for note in outcome.notes if "reads images of" in note]
    assert told[8] == []
    assert told[32] == [
        "reads 32 reads images of 32 pixels, these have 8: where yours are larger, size=32 shows "
        "it more of them."
    ]
