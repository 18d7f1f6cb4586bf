"""What a model folder is, for a person who asks before using it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bequest.core import Card, Model, Predicts
from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.folder import check_files, foreign_config, load, own_part, read_json

__all__ = ["fact_lines", "folder_facts"]

SHORT = 12  # classes that are named


def folder_facts(place: Path) -> dict[str, Any]:
    """Name, kind, what it predicts and reads, licence, parents and size of a model folder.

    It is loaded, which checks its files. An adapter and a network of a person's own class, which do
    not load by themselves, are described by their cards.

    Raises
    ------
    ModelError
        It is no model folder, or damaged.
    """
    files = [path for path in place.rglob("*") if path.is_file()]
    found = {"bytes": sum(path.stat().st_size for path in files), "files": len(files)}
    try:
        model = load(place)
    except UnsafeModel:
        raise
    except ModelError as error:
        alone = _alone(place)
        if alone is None:
            raise
        kind, card = alone
        return {**_said(card), "kind": kind, "not loaded": str(error), **found}
    return {**_said(model.card), "kind": _kind(place), **_able(model), **found}


def _alone(place: Path) -> tuple[str, Card] | None:
    """Kind and card of a sound folder of ours that needs something else to be loaded."""
    own = own_part(place)
    try:
        config = read_json(own / "config.json")
    except (ModelError, OSError):
        return None
    kind, structure = str(config.get("kind")), config.get("structure")
    own_class = isinstance(structure, Mapping) and "import" in structure
    if not (kind == "adapter" or own_class):
        return None
    check_files(place, config["files"])
    return kind, Card.from_dict(read_json(own / "card.json"))


def _kind(place: Path) -> str:
    theirs = foreign_config(place)
    if theirs is None:
        return str(read_json(own_part(place) / "config.json")["kind"])
    if (place / "modules.json").is_file():
        return "sentence-transformers"
    named = theirs.get("architectures") or [theirs.get("model_type")]
    return f"Hugging Face, {named[0]}" if isinstance(named, list) else "Hugging Face"


def _said(card: Card) -> dict[str, Any]:
    return {
        "name": card.name,
        "licence": card.licence or "not known",
        "method": card.method,
        "made from": [str(parent) for parent in card.parents],
        "metrics": dict(card.metrics),
    }


def _able(model: Model) -> dict[str, Any]:
    does = "features" if not isinstance(model, Predicts) else model.kind
    return {"gives": does, "classes": list(model.classes), "inputs": asdict(model.spec)}


def fact_lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts as pairs of text; what is empty is left out."""
    for label, value in facts.items():
        if label == "inputs":
            yield label, _inputs(value)
        elif isinstance(value, list):
            if value:
                yield label, listed([str(one) for one in value], SHORT)
        elif isinstance(value, Mapping):
            yield from ((name, f"{number:.4g}") for name, number in value.items())
        elif value != "":
            yield label, str(value)


def _inputs(spec: Mapping[str, Any]) -> str:
    if spec["columns"]:
        return f"table of {listed(spec['columns'], SHORT)}"
    shape = f" of shape {tuple(spec['shape'])}" if spec["shape"] else ""
    return f"{spec['modality']}s{shape}"
