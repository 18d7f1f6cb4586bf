import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

import bequest as bq
from bequest.cli import run
from bequest.cli._app import COMMANDS, app
from bequest.cli._console import plain, tidy
from bequest.errors import DataError


def test_a_refusal_is_one_line_on_stderr_and_code_1(cli):
    done = cli("train", "none.csv", "--target", "outcome", "--out", "model")
    assert done.code == 1
    assert "there is no file or folder none.csv" in done.line


@pytest.mark.parametrize(
    "tokens",
    [
        ["nosuch"],
        ["train"],
        ["train", "a.csv"],
        ["train", "a.csv", "--out"],
        ["train", "a.csv", "--out", "b", "--seed", "x"],
        ["train", "a.csv", "--out", "b", "--colour", "red"],
        ["list", "a", "b"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(cli, csv, tokens):
    csv("a.csv")
    done = cli(*tokens)
    assert done.code == 2
    assert "--help" in done.line


def test_a_missing_target_and_options_of_other_data_are_wrong_usage(cli, csv):
    csv()
    done = cli("train", "ward.csv", "--out", "model")
    assert (done.code, "--target" in done.line) == (2, True)
    done = cli("train", "ward.csv", "--target", "outcome", "--size", 3, "--out", "model")
    assert (done.code, "--size does not go with a table" in done.line) == (2, True)
    done = cli("rank", "ward.csv", "--target", "outcome")
    assert (done.code, "No source" in done.line) == (2, True)


def test_a_line_break_in_an_error_does_not_break_the_line(cli, csv, monkeypatch):
    def train(*args, **options):
        raise DataError("one\ntwo")

    monkeypatch.setattr(bq, "train", train)
    csv()
    done = cli("train", "ward.csv", "--target", "outcome", "--out", "model")
    assert done.line == "bequest: one two\n"


def test_a_bug_is_one_line_too_and_its_traceback_is_there_on_demand(cli, csv, monkeypatch):
    def train(*args, **options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(bq, "train", train)
    csv()
    tokens = ("train", "ward.csv", "--target", "outcome", "--out", "model")
    done = cli(*tokens)
    assert done.code == 1
    assert "unexpected ZeroDivisionError" in done.line
    done = cli(*tokens, "--debug")
    assert done.code == 1
    assert "Traceback" in done.err
    assert not os.path.exists("model")


def test_an_interruption_says_so_and_leaves_nothing(cli, csv, monkeypatch):
    def train(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(bq, "train", train)
    csv()
    done = cli("train", "ward.csv", "--target", "outcome", "--out", "new/model")
    assert done.code == 130
    assert "interrupted" in done.line
    assert os.listdir() == ["ward.csv"]


def test_an_output_that_is_not_ours_is_refused_before_any_work(cli, csv, monkeypatch):
    monkeypatch.setattr(bq, "train", lambda *args, **options: pytest.fail("work began"))
    csv()
    os.mkdir("thesis")
    open("thesis/chapter1.tex", "w").close()
    done = cli("train", "ward.csv", "--target", "outcome", "--out", "thesis")
    assert done.code == 1
    assert "not ours" in done.line
    assert os.listdir("thesis") == ["chapter1.tex"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_the_work_leaves_nothing(tmp_path, number):
    code = (
        "import signal, time, bequest as bq\n"
        # a shell starts what runs in the background with this signal ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Slow:\n"
        "    def __len__(self): return 1\n"
        "bq.train = lambda *a, **o: (print('working', flush=True), time.sleep(60))\n"
        "import bequest.cli.train as command\n"
        "command.read_task = lambda data, options: Slow()\n"
        "from bequest.cli import main\n"
        "main()\n"
    )
    (tmp_path / "x.csv").touch()
    tokens = ["train", "x.csv", "--out", "a/model"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *tokens],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "working\n"
    assert sorted(os.listdir(tmp_path)) == ["a", "x.csv"]
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_reader_that_leaves_is_no_error(tmp_path, saved):
    bq.Hub(tmp_path / "hub").publish(saved, "ward3", licence="MIT")
    child = subprocess.Popen(
        [sys.executable, "-m", "bequest", "show", "ward3", "--hub", tmp_path / "hub"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 141
    assert said == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_error_and_no_file_takes_their_place(closed, tmp_path, saved):
    hub = tmp_path / "hub"
    bq.Hub(hub).publish(saved, "ward3", licence="MIT")
    for words in ("list", f"publish {saved} ward4 --licence MIT"):
        done = subprocess.run(
            f"{sys.executable} -m bequest {words} --hub {hub} {closed}",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert bq.Hub(hub).verify() == ()


def test_a_real_process_ends_with_the_same_codes(process):
    start = time.perf_counter()
    assert process("--version").stdout.strip() == "0.1.0.dev0"
    assert time.perf_counter() - start < 20
    refused = process("show", "nothing", "--hub", "nowhere")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("bequest: there is no hub")
    assert refused.stderr.count("\n") == 1
    assert process("show").returncode == 2


def test_a_terminal_is_not_steered_by_what_others_wrote():
    assert tidy("a\x1b[2Jb\x07") == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}"
    assert tidy("π\n\tß 76\N{NO-BREAK SPACE}%") == "π\n\tß 76\N{NO-BREAK SPACE}%"


def test_json_is_strict():
    import numpy as np

    values = {"a": [float("nan"), np.float32(0.5), np.int64(3)], 1: (None, True)}
    assert plain(values) == {"a": [None, 0.5, 3], "1": [None, True]}


def with_empty_paths(app):
    """Of each argument of a command that is a path: what is given where that one alone is empty."""
    arguments = list(app.assemble_argument_collection())
    needed = [one for one in arguments if one.field_info.required and one.parse]
    for path in arguments:
        if Path in (path.hint, *get_args(path.hint)):
            given = {one.name: "" if one is path else _sound(one) for one in (*needed, path)}
            by_place = [one.name for one in arguments if one.index is not None]
            yield [
                *(given[name] for name in by_place if name in given),
                *(f"{name}={value}" for name, value in given.items() if name not in by_place),
            ]


def _sound(argument):
    return get_args(argument.hint)[0] if get_origin(argument.hint) is Literal else "a"


GROUPS = {"hub": ("verify", "record", "export", "rebuild-graph", "bundle", "unbundle")}
EMPTY = [
    (name, *part, *given)
    for name in COMMANDS
    for part in ([(one,) for one in GROUPS[name]] if name in GROUPS else [()])
    for given in with_empty_paths(app[name][part[0]] if part else app[name])
]


@pytest.mark.parametrize("tokens", EMPTY, ids=" ".join)
def test_an_empty_path_is_wrong_usage_and_never_the_current_folder(cli, tokens):
    """As a shell gives it for a variable that is not set."""
    for empty in ("", " "):
        done = cli(*(token if token and token[-1] != "=" else token + empty for token in tokens))
        assert (done.code, "is empty: name a file or folder" in done.line) == (2, True)
        assert os.listdir() == []


def test_there_are_paths_to_try():
    assert ("rank", "a", "--source=") in EMPTY
    assert ("hub", "bundle", "a", "") in EMPTY
    assert len(EMPTY) > 25


@pytest.mark.parametrize("tokens", [["show", ""], ["list", "--hub", ""], ["show", " "]])
def test_an_empty_name_or_hub_is_refused_too(cli, tokens):
    done = cli(*tokens)
    assert done.code == 1
    assert "is empty" in done.line


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["train", "nowhere.csv", "--target", "y", "--out", "m"], "no file or folder nowhere.csv"),
        (["predict", "m", "nowhere.csv"], "no file or folder nowhere.csv"),
        (["rank", "ward.csv", "--target", "outcome", "--source", "no/where"], "no/where"),
        (["transfer", "ward.csv", "--source=efficientnet", "--out", "m"], "efficientnet-lite0"),
        (["transfer", "ward.csv", "--test", "later.csv", "--out", "m"], "later.csv, which --test"),
        (["transfer", "ward.csv", "--budget", "0", "--out", "m"], "number of seconds above zero"),
        (["transfer", "ward.csv", "--budget", "nan", "--out", "m"], "number of seconds above zero"),
    ],
)
def test_what_is_plainly_wrong_is_told_before_the_libraries_are_imported(tokens, said, csv):
    place = csv().parent
    script = (
        "import sys; from bequest.cli import run\n"
        f"code = run({tokens!r})\n"
        "print(code, sorted({'torch', 'sklearn', 'scipy'} & {*sys.modules}))"
    )
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, cwd=place, capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_budget_counts_from_the_start_of_the_process(cli, csv):
    table = csv()
    given = ("--target", "outcome", "--out")
    assert cli("train", csv("other.csv", seed=1), *given, "old").code == 0
    asked = ["--source", "old", "--budget", "1000", "--method", "reuse"]
    assert run(["transfer", str(table), *given, "new", *asked], age=5000.0) == 0
    late = bq.Outcome.from_json(Path("new/outcome.json").read_text())
    assert any(note.startswith("No verdict: the time was too short") for note in late.notes)
    assert late.cost["seconds"] > 5000
    assert run(["transfer", str(table), *given, "third", *asked]) == 0
    early = bq.Outcome.from_json(Path("third/outcome.json").read_text())
    assert not any("the time was too short" in note for note in early.notes)


def test_a_call_that_still_runs_ends_with_the_process(tmp_path):
    code = (
        "import atexit, sys, time, bequest.cli._run as door\n"
        "from bequest.core.timeout import with_timeout\n"
        "from bequest.errors import OutOfTime\n"
        "def run(tokens, age):\n"
        "    try: with_timeout(lambda: time.sleep(300), 1.0, 'sleeping')\n"
        "    except OutOfTime: print('given up')\n"
        "    return 7\n"
        "door.run = run\n"
        "atexit.register(print, 'tidied')\n"
        "try: door.main()\n"
        "except SystemExit: print('left in the usual way')\n"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout == "given up\ntidied\n"
