"""A call that hangs is abandoned, and what it had changed is as before."""

import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from bequest.core.deadline import due_in, time_left
from bequest.core.feature_cache import FeatureCache, cached
from bequest.core.timeout import undone, with_timeout, without_timeouts
from bequest.errors import OutOfTime
from bequest.frameworks.torch.unchanged import evaluating
from bequest.training.fit import seeded


def hangs(seconds=4.0):
    time.sleep(seconds)


def test_a_call_gives_its_value_or_raises_as_without_a_limit():
    assert with_timeout(lambda: 3, 60.0, "it") == 3
    with pytest.raises(ZeroDivisionError):
        with_timeout(lambda: 1 / 0, 60.0, "it")
    with pytest.raises(KeyboardInterrupt):
        with_timeout(_interrupted, 60.0, "it")


def _interrupted():
    raise KeyboardInterrupt


def test_without_a_limit_it_runs_in_the_callers_own_thread():
    assert with_timeout(threading.current_thread, float("inf"), "it") is threading.current_thread()
    assert with_timeout(threading.current_thread, 60.0, "it") is not threading.current_thread()


def test_a_call_that_hangs_is_given_up_with_the_seconds_that_it_had():
    start = time.monotonic()
    with pytest.raises(OutOfTime, match=r"^asking it did not end within 1 s\.$") as given_up:
        with_timeout(lambda: hangs(60.0), 1.0, "asking it")
    assert given_up.value.waited == 1.0
    assert time.monotonic() - start < 30.0


def test_without_timeouts_a_call_runs_to_its_end_in_the_callers_own_thread():
    with without_timeouts():
        assert with_timeout(threading.current_thread, 0.0, "it") is threading.current_thread()
    assert with_timeout(threading.current_thread, 60.0, "it") is not threading.current_thread()


def test_python_code_that_never_ends_is_ended():
    ended = threading.Event()

    def spins():
        try:
            while True:
                pass
        except Exception:  # what a person's code catches does not keep it alive
            pass
        finally:
            ended.set()

    with pytest.raises(OutOfTime):
        with_timeout(spins, 1.0, "it")
    assert ended.wait(5.0)


def test_the_deadline_around_a_call_holds_inside_it():
    with due_in(5.0):
        assert with_timeout(time_left, 60.0, "it") <= 5.0


def test_a_network_whose_pass_hangs_is_as_before_at_once_and_stays_so():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)).train()
    back = threading.Event()

    def runs():
        try:
            with evaluating(net):
                net[1].register_forward_hook(lambda *_: None)
                hangs(2.5)
        finally:
            back.set()

    with pytest.raises(OutOfTime):
        with_timeout(runs, 1.0, "it")
    assert net.training
    assert net[0].training
    assert not net[1]._forward_hooks
    net.eval()  # its owner goes on with it
    net[0].running_mean += 3.0
    assert back.wait(20.0)
    assert not net.training
    assert net[0].running_mean.tolist() == [3.0, 3.0]


def test_an_abandoned_training_leaves_torchs_random_state_alone_once_it_comes_back():
    before, back = torch.get_rng_state(), threading.Event()

    def trains():
        try:
            with seeded(np.random.default_rng(0)):
                hangs(2.5)
        finally:
            back.set()

    with pytest.raises(OutOfTime):
        with_timeout(trains, 1.0, "it")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    now = torch.get_rng_state()
    assert back.wait(20.0)
    assert torch.equal(torch.get_rng_state(), now)
    torch.set_rng_state(before)


def test_what_a_block_has_changed_is_undone_once():
    calls = []
    with undone(lambda: calls.append("outside")):
        pass
    with_timeout(lambda: _block(calls), 60.0, "it")
    assert calls == ["outside", "inside"]


def _block(calls):
    with undone(lambda: calls.append("inside")):
        pass


def test_a_source_that_hangs_does_not_keep_another_ones_features():
    X = np.arange(4.0)[:, None]

    def slow(rows):
        hangs()
        return rows

    def quick(rows):
        return 2 * rows

    with FeatureCache() as cache, cache.used():
        cache.add(slow)
        cache.add(quick)
        with pytest.raises(OutOfTime):
            with_timeout(lambda: cached(slow, "", X, slow), 1.0, "it")
        found = with_timeout(lambda: cached(quick, "", X, quick), 4.0, "it")
    assert found.ravel().tolist() == [0.0, 2.0, 4.0, 6.0]


def test_an_import_is_not_cut_off_and_its_package_can_be_imported_later(tmp_path, monkeypatch):
    """What torch imports at its first optimiser takes seconds, and half of it would stay behind."""
    package = tmp_path / "slow_to_import"
    package.mkdir()
    (package / "inner.py").write_text("value = 3\n")
    (package / "__init__.py").write_text(
        "import threading, slow_to_import.inner\n"
        "while not threading.go_on.wait(0.01): pass\n"
        "value = slow_to_import.inner.value\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(threading, "go_on", threading.Event(), raising=False)
    after = []

    def late():
        import slow_to_import

        while True:  # out of the import it is ended, as any Python code is
            after.append(slow_to_import.value)
            time.sleep(0.01)

    with pytest.raises(OutOfTime, match=r"^importing did not end"):
        with_timeout(late, 1.0, "importing")
    threading.go_on.set()
    import slow_to_import

    assert slow_to_import.value == 3
    before = -1
    while before != len(after) or not after:
        before = len(after)
        time.sleep(0.5)
