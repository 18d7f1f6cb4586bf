import sys

import pytest

# Lowers its own limit for good, gives up the right to raise it again, and becomes Python.
LOWERED = """#!{python}
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({most}, {most}))
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


@pytest.fixture
def little_memory(tmp_path, monkeypatch):
    """Every Python that is started may have 1.5 GiB of addresses, and cannot change that."""
    if sys.platform != "linux":
        pytest.skip("only Linux has capabilities to give up")
    place = tmp_path / "python"
    place.write_text(LOWERED.format(python=sys.executable, most=3 * 2**29))
    place.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(place))


# folders of tests to which it does not matter what from scratch averages
QUICK = {"api", "cli", "contracts", "core", "executors", "extending", "frameworks", "hub"}


@pytest.fixture(autouse=True, scope="module")
def two_linear_models_from_scratch(request):
    """Tests of the verbs compare with two linear models: forests take most of their time."""
    if request.path.parent.name not in QUICK:
        yield
        return
    two = ({"net": "linear", "strength": 1.0}, {"net": "linear", "strength": 0.01})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bequest.methods.from_scratch.averaged", lambda task: two)
        yield
