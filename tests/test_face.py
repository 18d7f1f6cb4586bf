"""The public face: light to import, and as it says it is."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import distributions

import pytest

import bequest
from bequest import errors


def test_the_face_is_sorted_and_everything_in_it_imports():
    assert list(bequest.__all__) == sorted(bequest.__all__)
    for name in bequest.__all__:
        assert getattr(bequest, name) is not None


def test_importing_the_face_imports_no_heavy_package():
    code = "import bequest, sys; print(*(m for m in sys.modules if m in 'torch numpy sklearn'))"
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.stdout.strip() == ""


def test_the_tree_in_the_errors_file_is_the_tree():
    named = re.findall(r"^[│├└─ ]*(\w+)", errors.__doc__.partition("\n\n")[2], re.M)
    classes = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert classes == set(errors.__all__) == classes & set(named)
    assert all(issubclass(getattr(errors, name), errors.BequestError) for name in classes)


@pytest.mark.parametrize("name", bequest.__all__)
def test_every_public_name_has_a_docstring(name):
    thing = getattr(bequest, name)
    assert inspect.getdoc(thing)


def test_no_cuda_package_came_along():
    found = [d.metadata["Name"] for d in distributions() if d.metadata["Name"]]
    assert not [name for name in found if name.lower().startswith("nvidia-")]
