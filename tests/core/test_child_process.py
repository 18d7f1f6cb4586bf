import subprocess
import sys

import pytest

from bequest.core import child_process

resource = pytest.importorskip("resource")
ASKED = """
import resource, sys
if __name__ == "__main__":
    import packaging  # installed beside pytest
    print(resource.getrlimit(resource.RLIMIT_AS)[0], *sys.argv[1:], "site" in sys.modules)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(ASKED)
    return str(path)


def ran(script, memory):
    done = child_process.command(script, "one", "two words", memory=memory, needs=pytest)
    return subprocess.run(done, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux surely takes the limit")
def test_a_script_has_its_limit_its_arguments_and_the_packages_that_it_needs(script):
    assert ran(script, 2**30) == f"{2**30} one two words False\n"


def test_where_less_may_be_had_it_has_that(script, little_memory):
    assert ran(script, 2**31).startswith(f"{3 * 2**29} one")
    assert ran(script, 2**30).startswith(f"{2**30} one")


@pytest.mark.parametrize("error", [ValueError("not here"), OSError(22, "not here")])
def test_a_system_that_takes_no_limit_on_addresses_is_let_be(monkeypatch, error):
    kinds = []

    def refuse(kind, limits):
        kinds.append(kind)
        raise error

    monkeypatch.setattr(resource, "setrlimit", refuse)
    child_process._limit(2**30)
    assert kinds == [resource.RLIMIT_AS, resource.RLIMIT_CORE]


def test_what_may_be_had_is_told_before_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**20, 2**30))
    assert (child_process.allowed(2**31), child_process.allowed(2**29)) == (2**30, 2**29)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**20, resource.RLIM_INFINITY))
    assert child_process.allowed(2**31) == 2**31
