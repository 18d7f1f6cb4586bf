"""`bequest map`: which parameters of a source go where in a target."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

import bequest as bq
from bequest.cli._early import check_model
from bequest.cli._inputs import read_example
from bequest.cli._options import COMMON, Common, command
from bequest.cli._paths import is_model, new_file, read_record
from bequest.cli._progress import progress
from bequest.cli._sources import model_folder
from bequest.core import Model
from bequest.errors import BequestError, MapError, ModelError
from bequest.frameworks.hugging_face.name import is_huggingface_name
from bequest.mapping.sources.files import opened, weights_in
from bequest.report import write_map

__all__ = ["app"]

app = command(
    "map",
    "bequest map bert/ ours/ --skip head --html map.html",
    "bequest map model.safetensors ours/ --json > map.json",
    "bequest map bert/ ours/ --example batch.npz --plan map.json",
    "bequest map dino.safetensors ours/ --prefix teacher",
)


@app.default
def map_(
    source: Annotated[
        Path,
        Parameter(help="A model folder, ours or Hugging Face's, a .safetensors file or an index."),
    ],
    target: Annotated[Path, Parameter(help="The model folder whose network is to be filled.")],
    /,
    *,
    example: Path | None = None,
    skip: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    depth: Literal["even", "first", "last"] = "even",
    prefix: str | None = None,
    plan: Path | None = None,
    html: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Show which parameters of a source would go where in a target; nothing is written into either.

    Parameters
    ----------
    example
        What both networks take, as .npy, .npz or .safetensors: several arrays go in by their names.
    skip
        Tensor, or part of the target, that keeps its own parameters; may be given several times.
    depth
        Where blocks are repeated more or less often: which of the source's each gets.
    prefix
        Part of the source that is meant, where a file holds several networks; '' is all of it.
    plan
        A map that --json gave: is it still what the two suggest?
    html
        The page to write: the map as a table to search in.
    """
    parse = bq.ParameterMap.from_json
    stored = None if plan is None else read_record(plan.expanduser(), "map", MapError, parse)
    given = None if example is None else read_example(example.expanduser())
    if (
        html is not None
        and html.exists()
        and any(map(html.samefile, _there(source, plan, example)))
    ):
        raise MapError(f"{html} is what is read: give the page another name.")
    with nullcontext() if html is None else new_file(html) as page:
        with progress("reading the two"):
            one, other = _source(source), _target(target)
        with progress("mapping"):
            made = bq.map_parameters(
                one, other, example=given, skip=skip, depth=depth, prefix=prefix, plan=stored
            )
        if page is not None:
            write_map(made, page, source=_name(one, source), target=_name(other, target))
    common.answer(
        made.to_dict() | ({} if html is None else {"written": html}),
        made,
        *([] if html is None else [f"Written: {html}"]),
    )
    if made.contradiction:
        raise MapError(made.contradiction)
    if made.discrepancies:
        raise MapError(
            f"{plan} is not what the two suggest, in {len(made.discrepancies)} of "
            f"{len(made.entries)} tensors: {made.discrepancies[0]}"
        )


def _source(path: Path) -> Model | Path:
    place = check_model(path)
    if place.exists() and not (place.is_file() or place.is_dir()):
        raise ModelError(f"{path} is neither a file nor a folder.")
    return place if place.is_file() else _loaded(model_folder(place))


def _there(*paths: Path | None) -> list[Path]:
    return [path for path in paths if path is not None and path.exists()]


def _loaded(folder: Path) -> Model:
    if is_huggingface_name(folder):
        return bq.load(folder)
    try:
        return bq.load(folder)
    except ModelError as error:
        try:
            opened(folder)
        except BequestError as refused:
            raise (error if is_model(folder) else refused) from error
        hint = f"To map by names and shapes alone, name {weights_in(folder)}."
        raise type(error)(f"{error} {hint}") from error


def _target(path: Path) -> Model:
    place = check_model(path)
    if place.is_file():
        raise ModelError(
            f"{path} is a file: parameters are mapped into a network, name its folder."
        )
    return bq.load(model_folder(place))


def _name(given: Any, path: Path) -> str:
    return (given.name if isinstance(given, Model) else "") or path.name or str(path)
