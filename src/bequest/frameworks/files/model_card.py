"""README.md of a model folder: the card for people, with the front matter that the Hub reads.

Names of models and tasks are other people's text: in the front matter they only stand as JSON
strings, which YAML reads as such.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bequest.core import Card, TaskSummary
from bequest.core.wording import pluralise
from bequest.errors import ModelError
from bequest.frameworks.hugging_face.name import HuggingFaceName, is_huggingface_name

__all__ = ["model_card"]

PIPELINES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("text", "classification"): "text-classification",
        ("text", "regression"): "text-classification",  # the Hub's name for one value of a text too
        ("image", "classification"): "image-classification",
        ("table", "classification"): "tabular-classification",
        ("table", "regression"): "tabular-regression",
        ("vector", "classification"): "tabular-classification",
        ("vector", "regression"): "tabular-regression",
    }
)
ON_THE_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")  # a name that base_model may hold
IDENTIFIER = re.compile(r"[a-z0-9.+-]+")
GNU = re.compile(r"([al]?gpl-[0-9.]+)-(?:only|or-later)")


def model_card(card: Card, kind: str) -> str:
    """The text of a folder's README.md; `kind` is a name of its `KINDS`.

    Examples
    --------
    """
    front = _front(card, kind)
    lines = ["---", *front, "---", "", f"# {' '.join(card.name.split()) or 'A model'}", ""]
    task = card.task
    if task != TaskSummary():
        lines += [f"Trained on *{task.name}*: {pluralise(task.rows, 'row')}, {task.kind}."]
    if card.parents and kind == "ensemble":
        lines += [f"An ensemble of models that were made from {', '.join(card.parents)}."]
    elif card.parents and not card.method:
        lines += [f"Taken from {', '.join(card.parents)}."]
    elif card.parents:
        lines += [f"Made by *{card.method}* from {', '.join(card.parents)}."]
    lines += [f"- {name}: {value:.4g}" for name, value in card.metrics.items()]
    place = json.dumps(card.name if is_huggingface_name(card.name) else "this-folder")
    given = f"{place}, base=model" if kind == "adapter" else place
    lines += ["", "```python", "import bequest as bq", f"model = bq.load({given})", "```"]
    lines += ["", f"Loading needs bequest ({kind} model) and runs no code from this folder."]
    if kind == "huggingface":
        lines += [
            "It needs the extra `hf`. The Auto classes of transformers read the folder as well."
        ]
    if kind == "original-folder":
        lines += [
            "It is the folder above this one, which is as its authors left it; what they say of it "
            "stands there. It needs the extra `hf`."
        ]
    lines += [""]
    return "\n".join(lines)


def _front(card: Card, kind: str) -> list[str]:
    front = []
    if card.licence:
        front += _licence(card.licence)
    front += ["library_name: bequest", "tags:", "- bequest", "- transfer-learning"]
    pipeline = PIPELINES.get((card.task.modality, card.task.kind))
    if pipeline:
        front += [f"pipeline_tag: {pipeline}"]
    own = _on_the_hub(card.name)
    bases = [
        base for base in dict.fromkeys(map(_on_the_hub, card.parents)) if base not in ("", own)
    ]
    if bases:
        front += ["base_model:", *(f"- {name}" for name in bases)]
        # The Hub has no word for an ensemble, whose merges are of weights, nor for a mere copy.
        if kind not in ("ensemble", "original-folder"):
            front += [f"base_model_relation: {'adapter' if kind == 'adapter' else 'finetune'}"]
    if pipeline and card.metrics:
        front += [f"model-index: {json.dumps([_results(card, pipeline)])}"]
    return front


def _results(card: Card, pipeline: str) -> dict[str, Any]:
    """What was measured, as the Hub shows it beside a model."""
    metrics = [
        {"type": name.split()[-1], "value": value, "name": name}
        for name, value in card.metrics.items()
    ]
    data = {"name": card.task.name, "type": card.task.fingerprint}
    result = {"task": {"type": pipeline}, "dataset": data, "metrics": metrics}
    return {"name": card.name or "model", "results": [result]}


def _licence(licence: str) -> list[str]:
    """A licence as the Hub knows it: GNU's without the ending, one's own as "other" by its name."""
    known = licence.lower()
    if known.startswith("licenseref-"):
        return ["license: other", f"license_name: {json.dumps(known.removeprefix('licenseref-'))}"]
    known = GNU.sub(r"\1", known)
    return [f"license: {known if IDENTIFIER.fullmatch(known) else json.dumps(known)}"]


def _on_the_hub(parent: str) -> str:
    """The name of a parent as base_model may hold it; empty where it can be on no Hub."""
    if not is_huggingface_name(parent):
        return parent if ON_THE_HUB.fullmatch(parent) else ""
    try:
        return HuggingFaceName.parse(parent).repo
    except ModelError:  # a card may say anything
        return ""
