"""Write docs/cli.md anew from the help of every command."""

from test_help import REFERENCE, help_of

from bequest.cli._app import COMMANDS

HEAD = """# The command line

The same verbs as in Python. Every command has `--help` with examples, and `--json` for machines;
results go to stdout, everything else to stderr. A progress bar is shown on a terminal only.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused or failed, with one line on stderr that says why and what to do |
| 2 | wrong usage |
| 130, 143 | interrupted or ended: nothing was written |

Output is written under another name and moved into place when it is whole. A folder that bequest
did not write is never replaced. No traceback is shown without `--debug`.

`python -m bequest` is the same as `bequest`.
"""

if __name__ == "__main__":
    parts = [HEAD]
    parts += [f"## bequest {name}\n\n```text\n{help_of(name)}\n```\n" for name in COMMANDS]
    REFERENCE.write_text("\n".join(parts), encoding="utf-8")
