"""The folder of a result: the model, the outcome, the page, and which model is the best single one.

`bequest transfer --out` and `Result.save` write it, `load_result` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bequest.core import Card, Model, Outcome
from bequest.core.model import HasMembers
from bequest.core.plain_values import quoted
from bequest.core.validation import validate_path
from bequest.errors import DataError, ModelError
from bequest.frameworks.combined.nested import same_model
from bequest.frameworks.files.folder import load, read_json
from bequest.frameworks.files.output import BEST_SINGLE, is_result, new_folder, read_record
from bequest.report import write_report

if TYPE_CHECKING:
    from bequest.api.result import Result

__all__ = ["best_single_of", "read_parts", "save_result", "write_result"]


def save_result(result: Result, folder: str | Path) -> None:
    """Write the folder whole or not at all; only an empty folder or a result is replaced."""
    place = validate_path(folder, "a result's folder", DataError)
    with new_folder(place, ours=is_result) as work:
        write_result(result, work)


def write_result(result: Result, folder: Path) -> None:
    """Write what `is_result` knows into an empty folder."""
    about = {"member": _member(result), "card": result.best_single.card.to_dict()}
    result.model.save(folder / "model")
    (folder / "outcome.json").write_text(result.outcome.to_json() + "\n", encoding="utf-8")
    (folder / BEST_SINGLE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    write_report(result.outcome, folder / "report.html")


def read_parts(
    folder: str | Path, modules: Sequence[type] = ()
) -> tuple[Model, Outcome, Mapping[str, Any]]:
    """The model and the outcome of such a folder, and what is said of the best single model."""
    place = validate_path(folder, "a result's folder", DataError).expanduser()
    if not place.is_dir():
        raise DataError(f"there is no folder {place}.")
    if not (place / "outcome.json").is_file():
        raise DataError(f"{place} has no outcome.json: it is not what transfer left.")
    outcome = read_record(place / "outcome.json", "outcome", DataError, Outcome.from_json)
    if not (place / BEST_SINGLE).is_file():
        raise DataError(
            f"{place} has no {BEST_SINGLE}: take its model, bequest.load('{place}/model')."
        )
    return load(place / "model", modules=modules), outcome, read_json(place / BEST_SINGLE)


def best_single_of(model: Model, about: Mapping[str, Any]) -> Model:
    """The model itself or one of its members, under the card that is told."""
    number = about.get("member")
    if number is None:
        return model
    members = model.members if isinstance(model, HasMembers) else ()
    if type(number) is not int or not 0 <= number < len(members):
        raise ModelError(
            f"{BEST_SINGLE} names member {quoted(number)}, the model has {len(members)}."
        )
    try:
        card = Card.from_dict(about["card"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{BEST_SINGLE} is damaged: {quoted(error, 200)}.") from error
    return members[number].with_card(card)


def _member(result: Result) -> int | None:
    """The place of the best single model among the members; None where it is the model itself."""
    if same_model(result.best_single, result.model):
        return None
    members = result.model.members if isinstance(result.model, HasMembers) else ()
    for place, member in enumerate(members):
        if same_model(result.best_single, member):
            return place
    raise ModelError("best_single is neither the model nor one of its members: save it by itself.")
