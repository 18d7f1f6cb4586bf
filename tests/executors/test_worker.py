"""A worker process, without a process."""

import pickle

import cloudpickle
import pytest

from bequest.core.registry import additions
from bequest.executors import worker


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the parent process has written; this worker has read nothing of it."""
    monkeypatch.setattr(worker, "_held", {})
    (tmp_path / worker.ADDITIONS).write_bytes(cloudpickle.dumps(additions()))
    (tmp_path / "number").write_bytes(pickle.dumps(20))
    return str(tmp_path)


def test_a_new_process_in_the_place_of_another_learns_what_is_registered_first(folder, monkeypatch):
    """loky replaces a worker that has grown, and nobody is told."""
    installed = []
    monkeypatch.setattr(worker, "install", installed.append)
    job = cloudpickle.dumps(lambda fetch: fetch("number"))
    assert [worker.run_job(folder, job) for _ in range(2)] == [20, 20]
    assert len(installed) == 1
