import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import hub_tiny

from bequest.hub import Hub


@pytest.fixture(autouse=True)
def known_kind():
    hub_tiny.register()


@pytest.fixture
def tiny():
    return hub_tiny.TinyModel


@pytest.fixture
def hub(tmp_path):
    return Hub(tmp_path / "hub")
