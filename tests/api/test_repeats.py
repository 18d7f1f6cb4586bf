"""Copies of rows are no new observations: the verdict is that of the rows given once."""

import numpy as np

import bequest as bq

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X @ [1.0, -1.0, 0.5, 0.0] + RNG.normal(size=60) > 0).astype(int)


def test_a_table_given_three_times_gets_the_verdict_of_the_table_given_once():
    truth = RNG.normal(size=(4000, 4))
    label = (truth @ [1.0, -1.0, 0.5, 0.0] + RNG.normal(size=4000) > 0).astype(int)
    source = bq.train(bq.Task.from_arrays(truth, label, name="knows"), net="linear")
    said = {}
    for copies in (1, 3):
        rows = np.tile(np.arange(40), copies)
        task = bq.Task.from_arrays(X[rows], Y[rows], name="few")
        result = bq.transfer(task, [source], methods=["reuse", "stack"], budget=None)
        said[copies] = result.outcome
    once, thrice = said[1].verdict, said[3].verdict
    assert said[3].selected == said[1].selected
    assert thrice.kind == once.kind
    # three copies are no three observations: the interval is not a good deal narrower
    assert thrice.score_high - thrice.score_low > 0.7 * (once.score_high - once.score_low)
    assert any("80 of the 120 rows" in note for note in said[3].notes)
