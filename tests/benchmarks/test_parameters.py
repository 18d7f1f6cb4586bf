import numpy as np
import pytest
from benchmarks.parameters import SIZES, STARTS, cells, draw, interval, parts, summary


def runs(over: float):
    """Three seeds of one task whose map is better by `over` on every row."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        base = rng.normal(size=400)
        rows = {f"{size}, {start}": base for size in SIZES for start in STARTS}
        rows |= {f"{size}, map": base + over for size in SIZES} | {"source, fine-tuned": base}
        score = {key: float(values.mean()) for key, values in rows.items()}
        said = {"task": "t", "labels": 5, "metric": "accuracy", "seed": seed, "score": score}
        yield said, rows


@pytest.mark.parametrize(("over", "above", "below"), [(0.1, 3, 0), (0.0, 0, 0), (-0.1, 0, 3)])
def test_cells_that_win_and_lose_are_counted(over, above, below):
    said = summary(cells(list(runs(over))))["all"]["from scratch"]
    assert (said["above"], said["below"], said["cells"]) == (above, below, 3)
    assert said["mean"] == pytest.approx(over)


def test_the_interval_of_a_cell_knows_that_seeds_differ():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1, 500)).repeat(3, axis=0) * 0.01
    seeds = np.array([[-0.1], [0.0], [0.1]])
    narrow, wide = interval(rows, rng), interval(rows + seeds, rng)
    assert narrow["high"] - narrow["low"] < 0.005
    assert wide["high"] - wide["low"] > 0.1


def test_no_training_row_stands_among_the_test_rows():
    name = "digits 0-4 to 5-9"
    _, pool, test = parts(name)
    seen = {row.tobytes() for row in np.asarray(test.inputs)}
    rows = [row.tobytes() for row in np.asarray(pool.inputs)]
    assert not any(row in seen for row in rows)
    few = draw(name, 5, 0)
    assert few.test.inputs.shape == test.inputs.shape
    assert all(row.tobytes() in set(rows) for row in np.asarray(few.inputs))
