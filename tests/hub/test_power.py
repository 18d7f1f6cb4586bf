"""Power lost at any moment: what was acknowledged is there, and nothing half is seen."""

from __future__ import annotations

import shutil

import pytest
from hub_power import power

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace records what is asked")


@pytest.mark.slow
def test_no_loss_of_power_loses_what_was_acknowledged_or_shows_what_is_half(tmp_path):
    counts = power(tmp_path / "sound", 60)
    assert counts["acknowledged"] == 11
    assert counts["states"] >= 60
    assert (counts["lost"], counts["half"], counts["unusable"]) == (0, 0, 0)


def test_a_disk_that_forgets_folders_would_be_noticed(tmp_path):
    assert power(tmp_path / "lying", 25, honest=False)["lost"] > 0
