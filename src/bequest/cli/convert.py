"""`bequest convert`: the tensors of a pickle, as safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bequest.cli._options import COMMON, Common, command
from bequest.cli._progress import progress
from bequest.core.wording import pluralise
from bequest.frameworks.files.convert import convert_checkpoint

__all__ = ["app"]

app = command(
    "convert",
    "bequest convert pytorch_model.bin model.safetensors",
    "bequest convert last.ckpt model.safetensors --strip module. --drop head",
)
SHOWN = 8  # names of what was dropped


@app.default
def convert(
    checkpoint: Annotated[Path, Parameter(help="What torch.save wrote: .pt, .pth, .bin, .ckpt.")],
    out: Annotated[Path, Parameter(help="The .safetensors file to write; must not exist.")],
    /,
    *,
    key: str | None = None,
    strip: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    drop: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    common: Common = COMMON,
) -> None:
    """Take the tensors out of a checkpoint that is a pickle, without running any of it.

    Parameters
    ----------
    key
        Where in the checkpoint the tensors are; state_dict, model and their like are found.
    strip
        Beginning that names lose, such as module.; may be given several times.
    drop
        Tensor, or part, to leave out; may be given several times.
    """
    with progress("reading the checkpoint"):
        done = convert_checkpoint(
            checkpoint.expanduser(), out.expanduser(), key=key, strip=strip, drop=drop
        )
    values = asdict(done)
    tensors, size = pluralise(done.tensors, "tensor"), f"{done.numbers:,} values"
    common.answer(
        {"written": values.pop("path"), **values},
        f"Took {tensors} ({size}) from {done.key or 'the top'} of {checkpoint}.",
        *([f"Left behind: {_listed(done.dropped)}."] if done.dropped else []),
        f"Written: {out}",
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
