"""Put a model on the Hugging Face Hub, in a folder that the Hub shows well."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from bequest.core import Model
from bequest.core.timeout import with_timeout
from bequest.errors import HubError
from bequest.frameworks.files.file_formats import PICKLES
from bequest.frameworks.files.folder import OWN, load
from bequest.frameworks.hugging_face.client import client, translated
from bequest.frameworks.hugging_face.name import HuggingFaceName
from bequest.hub.publishing.cards import published_card
from bequest.hub.records.licences import checked_licence
from bequest.optional import need

__all__ = ["push"]

ANSWER = 10.0  # seconds in which the Hub says whether it has a repository
README = "README.md"


def push(name: str, model: Model | str | Path, *, licence: str, private: bool = True) -> str:
    """Put a model on the Hugging Face Hub, in one commit.

    The repository gets what `Model.save` writes: weights, config and card, and a ``README.md`` with
    the metadata that the Hub shows: licence, base model, tags, metrics. To look at it first, save
    the model into a folder. It needs a token that may write (``hf auth login``, or ``HF_TOKEN``).

    Parameters
    ----------
    name : str
        ``hf://org/name``. A repository of that name that is there already gets a further commit;
        files of it with other names stay.
    model : Model, path or str
        A model, or what `load` takes.
    licence : str
        SPDX identifier, such as ``"Apache-2.0"``, or ``LicenseRef-NAME``.
    private : bool
        Whether only you, or your organisation, may see a repository that is made here. One that is
        there stays as it is, and is refused where it is public and this is True.

    Returns
    -------
    str
        ``hf://org/name@commit``, by which `load` finds exactly this model.

    Raises
    ------
    HubError
        The licence is not known or not the card's, the model holds a pickle, the repository is
        public though `private` is True, no token is given that may write, or the Hub cannot be
        reached or refuses the commit.
    ModelError
        `name` names no repository, or the model cannot be saved.
    MissingExtra
        huggingface_hub is not installed.

    Examples
    --------
    >>> push("hf://org/name", "ward7/", licence="of my own")
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: no licence 'of my own' is known...
    """
    place = HuggingFaceName.parse(name)
    if place.revision:
        raise HubError(f"a push makes a new revision: give hf://{place.repo} without @.")
    known = checked_licence(licence)
    given = model if isinstance(model, Model) else load(model)
    card = published_card(given.card, str(place), known, ())
    with TemporaryDirectory(prefix="bequest-") as work:
        folder = Path(work) / "model"
        given.with_card(card).save(folder)
        commit = _send(place, _files(folder), private)
    return str(place.at(commit))


def _files(folder: Path) -> dict[str, Path]:
    """What is sent, by the path that it gets; no pickle is among it."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    pickles = [path for path in files if PurePosixPath(path).suffix.lower() in PICKLES]
    if pickles:
        raise HubError(
            f"the model's folder holds a pickle, {pickles[0]}: opening it can run code, and none "
            "is sent. Load the model from a folder without it."
        )
    ours = f"{OWN}/{README}"
    if README not in files and ours in files:  # the Hub shows the one at the top
        files[README] = files[ours]
    return files


def _send(place: HuggingFaceName, files: dict[str, Path], private: bool) -> str:
    """Make the repository where there is none, and the commit; gives its 40 hex digits."""
    hub = need("huggingface_hub", extra="hf", purpose="sending a model to the Hub")
    api = client()
    with translated(place, HubError, "sent"):
        if not _is_there(api, place, private):
            api.create_repo(place.repo, private=private, exist_ok=True)
        operations = [hub.CommitOperationAdd(path, file) for path, file in files.items()]
        made = api.create_commit(place.repo, operations, commit_message="Add a model of bequest")
        return str(made.oid)


def _is_there(api: Any, place: HuggingFaceName, private: bool) -> bool:
    """Whether the repository exists; `HubError` where it is seen by more people than is wanted."""
    errors = need("huggingface_hub.errors", extra="hf", purpose="sending a model to the Hub")
    try:
        found = with_timeout(partial(api.repo_info, place.repo), ANSWER, "the Hub's answer")
    except errors.RepositoryNotFoundError:
        return False
    if private and not found.private:
        raise HubError(
            f"{place} is there and public: everybody would see the model. Give private=False, or "
            "another name."
        )
    return True
