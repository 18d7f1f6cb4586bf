"""The benchmark of a hub's storage compares like with like."""

from __future__ import annotations

import json

import numpy as np
from benchmarks.hub import Bare, Numbers, listed, opened, publish

from bequest.hub import Hub


def test_the_bare_limit_keeps_the_same_bytes_and_the_same_records(tmp_path):
    hub, bare = Hub(tmp_path / "hub"), Bare(tmp_path / "bare")
    figures = publish(hub, bare, blocks=1, each=3)
    assert figures["publish_per_s"] > 0
    assert figures["publish_ratio"] == figures["publish_per_s"] / figures["bare_per_s"]
    objects = {p.parent.name + p.name: p.read_bytes() for p in hub.folder.glob("objects/*/*")}
    assert objects == {p.name: p.read_bytes() for p in bare.folder.glob("??/*")}
    kept = {name: json.loads(record) for name, record in bare.db.execute("SELECT * FROM kept")}
    assert kept == {str(entry): json.loads(json.dumps(entry.to_dict())) for entry in hub.list()}


def test_opening_and_listing_are_measured_on_the_hub_that_is_there(tmp_path):
    hub = Hub(tmp_path / "hub")
    for name in ("a/one", "b/two"):
        hub.publish(Numbers(np.ones(2)), name, licence="MIT")
    assert set(opened(hub.folder, "a/one")) == {"open_s", "open_bare_s"}
    figures = listed(hub.folder, "a/")
    assert (figures["list_all_entries"], figures["list_prefix_entries"]) == (2, 1)
