"""A wider network keeps the function, or the map is refused before it is applied."""

from __future__ import annotations

import pytest
from benchmarks.map_widths import FACTORS, NETWORKS, widened


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_wider_network_is_the_same_function_or_refused(name, factor):
    found = widened(name, factor)
    assert found["outcome"] in ("kept", "refused"), found


@pytest.mark.parametrize("name", ["ViT", "BERT", "ConvNeXt", "MobileNet-like"])
def test_twice_the_width_is_not_refused(name):
    assert widened(name, 2.0)["outcome"] == "kept"
