"""Load a model of the Hugging Face Hub by its name, under a card that says which commit it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bequest.core import Model
from bequest.errors import ModelError
from bequest.frameworks.files.folder import load
from bequest.frameworks.files.original_folder import stored_at
from bequest.frameworks.hugging_face.cache import fetched, resolved
from bequest.frameworks.hugging_face.name import HuggingFaceName

__all__ = ["load_by_name"]


def load_by_name(given: Any, *, local: bool = False, **asked: Any) -> Model:
    """The model of a name such as ``hf://org/name``; `asked` and errors are as in `load`.

    With `local` it comes from the cache, and the Hub is not asked.
    """
    name = resolved(HuggingFaceName.parse(given), local=local)
    with fetched(name, local=local) as (folder, kept), stored_at(kept):
        try:
            model = load(folder, **asked)
        except ModelError as error:  # the folder is gone when a person reads of it
            raise type(error)(str(error).replace(str(folder), str(name))) from error
    parents = tuple(dict.fromkeys([*model.card.parents, str(name)]))
    return model.with_card(replace(model.card, name=str(name), parents=parents))
