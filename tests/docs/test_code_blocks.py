"""Every ```python block of the documentation runs, page by page, as a reader would run it.

A page's blocks become one script with the page's own line numbers, run in an empty folder. A
```text block right after a python block is what it prints, `...` standing for anything. A page
whose first line is `<!-- slow -->` takes longer than ten seconds. What a page takes for granted is
made by `setup/PAGE.py`, where there is one.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SETUP = Path(__file__).parent / "setup"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
MARK = "\x1e"  # ends the output of a block
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def pages():
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        if any(language == "python" for language, _ in FENCE.findall(text)):
            marks = [pytest.mark.slow] if text.startswith("<!-- slow -->") else []
            name = path.relative_to(ROOT).as_posix()
            yield pytest.param(path, id=name.removeprefix("docs/"), marks=marks)


def script_of(text: str) -> tuple[str, list[str | None]]:
    """The blocks at the lines where they stand, and what each of them says it prints."""
    lines = [""] * (text.count("\n") + 1)
    expected: list[str | None] = []
    after = -1
    for match in FENCE.finditer(text):
        language, body = match.groups()
        if language == "python":
            start = text.count("\n", 0, match.start(2))
            code = body.splitlines()
            lines[start : start + len(code)] = code
            lines[start + len(code)] = f"print({MARK!r}, end='', flush=True)"
            expected.append(None)
            after = match.end()
        elif language == "text" and after >= 0 and not text[after : match.start()].strip():
            expected[-1] = body
    return "\n".join(lines), expected


def run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    code, _ = script_of(path.read_text(encoding="utf-8"))
    script = folder / path.name.replace(".md", ".py")
    prelude = SETUP / f"{path.stem}.py"
    first = f"exec(compile(open({str(prelude)!r}).read(), {str(prelude)!r}, 'exec')); "
    script.write_text((first if prelude.is_file() else "") + code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.parametrize("path", list(pages()))
def test_the_code_of_a_page_runs_and_prints_what_it_says(path, tmp_path):
    done = run(path, tmp_path)
    assert done.returncode == 0, f"{path}:\n{done.stderr[-3000:]}"
    _, expected = script_of(path.read_text(encoding="utf-8"))
    printed = done.stdout.split(MARK)[:-1]
    assert len(printed) == len(expected)
    for got, want in zip(printed, expected, strict=True):
        if want is not None:
            assert doctest.OutputChecker().check_output(want, got, LIKE), (
                f"{path} says\n{want}\nand it printed\n{got}"
            )


def test_a_block_keeps_its_line_and_is_told_apart_from_its_output():
    page = "# Title\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\nElse:\n\n```text\n2\n```\n"
    code, expected = script_of(page)
    assert code.splitlines()[3] == "print(1)"
    assert expected == ["1\n"]
