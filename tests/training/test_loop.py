import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bequest.core.deadline import due_in
from bequest.errors import ModelError, OutOfTime
from bequest.training.augment import flip, shift
from bequest.training.fit import seeded
from bequest.training.loop import Loop, _batches, run


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def data(rows=50):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, 4, generator=generator), torch.arange(rows) % 3


def test_the_loop_takes_the_steps_of_a_hand_written_one():
    X, y = data()
    ours, by_hand = network(), network()
    loop = Loop(steps=20, batch=16, lr=1e-2)
    run(ours, lambda r: (X[r], y[r]), 50, functional.cross_entropy, loop,
        generator=torch.Generator().manual_seed(2))  # fmt: skip
    optimiser = torch.optim.AdamW(by_hand.parameters(), lr=1e-2, weight_decay=1e-2)
    batches = _batches(50, 16, torch.Generator().manual_seed(2))
    for step in range(20):
        pace = (step + 1) / 2 if step < 2 else 0.5 * (1 + np.cos(np.pi * (step - 2) / 18))
        optimiser.param_groups[0]["lr"] = 1e-2 * pace
        rows = next(batches)
        optimiser.zero_grad()
        functional.cross_entropy(by_hand(X[rows]), y[rows]).backward()
        optimiser.step()
    for mine, theirs in zip(ours.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_every_row_comes_once_before_any_comes_twice():
    batches = _batches(10, 4, torch.Generator().manual_seed(0))
    drawn = torch.cat([next(batches) for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10)) == sorted(drawn[10:].tolist())


def test_a_batch_larger_than_the_data_is_all_rows():
    batch = next(_batches(3, 32, torch.Generator().manual_seed(0)))
    assert sorted(batch.tolist()) == [0, 1, 2]


def test_training_that_diverges_says_so():
    X, y = data()
    X[0] = float("inf")
    with pytest.raises(ModelError, match="diverged"):
        run(network(), lambda r: (X[r], y[r]), 50, functional.cross_entropy, Loop(steps=5),
            generator=torch.Generator().manual_seed(0))  # fmt: skip


def test_seeded_leaves_the_global_state_as_it_was():
    before = torch.random.get_rng_state()
    with seeded(np.random.default_rng(0)):
        torch.rand(5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_shift_moves_whole_images_by_at_most_an_eighth():
    images = torch.arange(64.0).view(1, 1, 8, 8).repeat(40, 2, 1, 1)
    moved = shift(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    centre = moved[:, :, 1:-1, 1:-1] - images[:, :, 1:-1, 1:-1]
    by = {float(step) for step in centre.amax(dim=(1, 2, 3))}
    assert torch.equal(centre.amin(dim=(1, 2, 3)), centre.amax(dim=(1, 2, 3)))
    assert by <= {8.0 * down + right for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert len(by) > 4


def test_flip_mirrors_about_half_of_the_images():
    ramp = torch.arange(16.0).repeat(16, 1).view(1, 1, 16, 16).repeat(200, 1, 1, 1)
    turned = flip(ramp, torch.Generator().manual_seed(0))
    falling = (turned[:, 0, 8, 8] < turned[:, 0, 8, 7]).float().mean()
    assert 0.4 < falling < 0.6
    moved = {float(row.abs().min()) for row in turned[:, 0, 8, 6:10]}
    assert len(moved) > 4  # mirrored or not, they are shifted


def trained_by_a_clock(seconds, steps, due=100.0):
    """Steps that were done before time ran out, and what they would have needed in all."""
    now, done = [0.0], []

    def fetch(rows):
        now[0] += seconds(len(done))
        done.append(len(rows))
        X, y = data()
        return X[rows], y[rows]

    with pytest.raises(OutOfTime) as given_up, due_in(due, clock=lambda: now[0]):
        run(network(), fetch, 50, functional.cross_entropy, Loop(steps=steps),
            generator=torch.Generator().manual_seed(0))  # fmt: skip
    return len(done), given_up.value.needed


def test_training_that_does_not_fit_is_given_up_after_its_first_steps():
    done, needed = trained_by_a_clock(lambda step: 10.0 if step == 0 else 2.0, steps=50)
    assert done == 3  # the first step is slow and is not counted
    assert needed == pytest.approx(10 + 49 * 2)


def test_training_that_slows_down_is_given_up_when_that_is_seen():
    done, needed = trained_by_a_clock(lambda step: 1.0 if step < 20 else 10.0, steps=50)
    assert 20 < done < 30
    assert needed > 100


def test_training_ends_when_the_deadline_passes_in_its_first_step():
    done, needed = trained_by_a_clock(lambda step: 101.0, steps=50)
    assert done == 1
    assert np.isnan(needed)


def test_a_step_whose_first_half_takes_too_long_is_not_finished():
    now, module = [0.0], network()
    before = [weight.clone() for weight in module.parameters()]

    def slow(output, targets):
        now[0] += 40.0  # of 100 s: forward fits, and going back would take 80 s
        return functional.cross_entropy(output, targets)

    X, y = data()
    with pytest.raises(OutOfTime), due_in(100.0, clock=lambda: now[0]):
        run(module, lambda rows: (X[rows], y[rows]), 50, slow, Loop(steps=1),
            generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert now[0] == 40.0
    assert all(map(torch.equal, module.parameters(), before))


def test_training_that_fits_is_bit_for_bit_what_it_is_without_a_deadline():
    X, y = data()

    def trained(clock):
        module = network()
        with due_in(1e6, clock=clock) if clock else nullcontext():
            run(module, lambda r: (X[r], y[r]), 50, functional.cross_entropy, Loop(steps=20),
                generator=torch.Generator().manual_seed(0))  # fmt: skip
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    ticks = itertools.count()
    assert torch.equal(trained(None), trained(lambda: float(next(ticks))))
    assert next(ticks) > 20  # the clock was read


def test_the_module_is_back_on_the_cpu_after_training():
    X, y = data()
    module = network()
    run(module, lambda r: (X[r], y[r]), 50, functional.cross_entropy, Loop(steps=2),
        generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert {p.device.type for p in module.parameters()} == {"cpu"}
