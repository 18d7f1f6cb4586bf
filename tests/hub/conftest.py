import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import hub_places
import hub_tiny

from bequest.hub import Hub


@pytest.fixture(autouse=True)
def known_kind():
    hub_tiny.register()


@pytest.fixture
def tiny():
    return hub_tiny.TinyModel


@pytest.fixture(scope="session")
def s3_server():
    yield from hub_places.serve()


@pytest.fixture
def s3(request, s3_server, tmp_path):
    """A place on an S3 server for this test alone."""
    return hub_places.Shared(f"s3://bucket/{tmp_path.name}", s3_server, tmp_path)


@pytest.fixture
def hub(request, tmp_path):
    kind = getattr(request, "param", "folder")
    if kind == "folder":
        return Hub(tmp_path / "hub")
    if kind == "s3":
        return request.getfixturevalue("s3").hub()
    (tmp_path / "bucket").mkdir()
    return Hub((tmp_path / "bucket").as_uri(), cache=tmp_path / "hub")
