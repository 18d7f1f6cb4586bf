"""A model folder: written whole or not at all, checked before anything is built from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from bequest.core import Card, InputSpec, Model, Registry
from bequest.core.disk import flush, sync_folder
from bequest.core.plain_values import escaped, json_fault, quoted
from bequest.core.validation import validate_path
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.absent import absent
from bequest.frameworks.files.model_card import model_card
from bequest.frameworks.files.not_a_folder import is_onnx, is_timm, single_file, timm_folder
from bequest.frameworks.files.temporary import clean_up, sibling
from bequest.frameworks.hugging_face.name import is_huggingface_name
from bequest.frameworks.pretrained.catalogue import pretrained_named
from bequest.optional import need

__all__ = [
    "FOREIGN",
    "FORMAT",
    "KINDS",
    "OWN",
    "check_files",
    "file_digest",
    "foreign_config",
    "is_documentation",
    "load",
    "own_part",
    "read_json",
    "spec_from_config",
    "unsynced",
    "with_name",
    "write_folder",
]

FORMAT = 1
CONFIG_LIMIT = 16 * 2**20  # bytes; a config is text that a person could read
FOREIGN = "hugging-face-hub"  # of a folder that says nothing of us
PEFT = "peft-adapter"  # of a folder with an adapter of peft
ONNX_FILE = "onnx-file"  # no folder: one file
OWN = "bequest"  # folder with what is ours, inside of one that came from elsewhere and is kept

Loader = Callable[..., Model]  # folder, config, card, modules; an adapter's takes a base too
KINDS: Registry[Loader] = Registry(
    "kind of model",
    {
        "torch": "bequest.frameworks.torch.model:load_torch",
        "sklearn": "bequest.frameworks.sklearn.model:load_sklearn",
        "stacked": "bequest.frameworks.combined.stacked:load_stacked",
        "relabelled": "bequest.frameworks.combined.relabelled:load_relabelled",
        "shared": "bequest.frameworks.combined.nested:load_shared",
        "ensemble": "bequest.frameworks.combined.ensemble:load_ensemble",
        "label-posterior": "bequest.frameworks.combined.label_posterior:load_label_posterior",
        PEFT: "bequest.frameworks.hugging_face.peft_folder:load_peft",
        "adapter": "bequest.frameworks.torch.adapter:load_adapter",
        "huggingface": "bequest.frameworks.hugging_face.model:load_huggingface",
        "boosted-trees": "bequest.frameworks.boosting:load_boosted",
        "prepared-trees": "bequest.frameworks.boosting.prepared:load_prepared",
        "entities": "bequest.frameworks.combined.entities:load_entities",
        "onnx": "bequest.frameworks.onnx.model:load_onnx",
        ONNX_FILE: "bequest.frameworks.onnx.model:load_onnx_file",
        FOREIGN: "bequest.frameworks.hugging_face.model:load_foreign",
        "original-folder": "bequest.frameworks.files.original_folder:load_original",
    },
    group="bequest.model_kinds",
)
_DURABLE: ContextVar[bool] = ContextVar("durable", default=True)


@contextmanager
def unsynced() -> Iterator[None]:
    """Write new folders straight into place and do not wait for the disk.

    For a caller in whose own hidden place they are made, and who syncs their files himself.
    """
    before = _DURABLE.set(False)
    try:
        yield
    finally:
        _DURABLE.reset(before)


def write_folder(
    folder: str | Path,
    *,
    kind: str,
    config: Mapping[str, Any],
    card: Card,
    write: Callable[[Path], None],
    inside: str = "",
) -> None:
    """Write a model folder beside its place, sync it, and move it there in one step.

    A model folder, or an empty one, is replaced; one that holds something else is a `ModelError`.
    `config` is the architecture as plain values; `write` writes the weights into the folder given;
    config and card go into the folder `inside` of it.
    """
    place = validate_path(folder, "a model folder", ModelError)
    card.checked()  # what cannot be read back is not written
    if place.exists() and not _replaceable(place):
        raise ModelError(f"{place} exists and is no model folder: it is left as it is.")
    if not (_DURABLE.get() or (place.exists() and any(place.iterdir()))):
        place.mkdir(parents=True, exist_ok=True)
        return _fill(place, kind, config, card, write, inside)
    place.parent.mkdir(parents=True, exist_ok=True)
    work = sibling(place)
    work.mkdir()
    try:
        _fill(work, kind, config, card, write, inside)
        _sync(work)
        _swap(work, place)
        clean_up(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fill(
    work: Path,
    kind: str,
    config: Mapping[str, Any],
    card: Card,
    write: Callable[[Path], None],
    inside: str,
) -> None:
    write(work)
    own = work / inside
    own.mkdir(exist_ok=True)
    (own / "card.json").write_text(_json(card.to_dict()), encoding="utf-8")
    (own / "README.md").write_text(model_card(card, kind), encoding="utf-8")
    paths = {p.relative_to(work).as_posix(): p for p in sorted(work.rglob("*")) if p.is_file()}
    files = {n: file_digest(path) for n, path in paths.items() if not is_documentation(n, paths)}
    whole = {"format": FORMAT, "bequest": _version(), "kind": kind, **config, "files": files}
    whole["digest"] = _digest(whole)
    (own / "config.json").write_text(_json(whole), encoding="utf-8")


def load(
    folder: str | Path,
    *,
    modules: Sequence[type] = (),
    base: Model | str | Path | None = None,
    pooling: Literal["mean", "first", "last"] | None = None,
) -> Model:
    """Load a model folder; runs no code from it and unpickles nothing.

    Parameters
    ----------
    folder : path or str
        What `Model.save` or a transfer wrote, a folder of the Hugging Face Hub, or an ONNX file; ``hf://org/name``
        or ``hf://org/name@revision`` for a model on the Hub, which is fetched into the cache of
        huggingface_hub and checked; where there is none of that name, a pretrained source of
        `bequest.pretrained`.
    modules : sequence of classes
        Your own network classes that the folder may name; no other class is ever imported.
    base : Model, path or str, optional
        For the folder of an adapter, ours or peft's: the model that it was made on, its folder,
        or its name on the Hub. peft's LoRA adapters are folded into a copy of it. A base that is
        not given is never fetched; one of peft's that was fetched before is taken from the cache.
    pooling : {"mean", "first", "last"}, optional
        For a Hugging Face network of texts without a head, such as a language model: which of its
        last hidden states are the features, the mean of all tokens or the first or last token's.
        Default: what the folder says, else the mean.

    Returns
    -------
    Model

    Raises
    ------
    UnsafeModel
        It is a pickle, or names code that may not be built.
    ModelError
        It is no model folder; the Hub has no such model or revision, does not show it without
        another token, or cannot be reached and the cache does not hold it; a file is missing or
        altered, it was written by a newer format, it is an adapter and `base` is missing or another
        model than the one it was made on, or `pooling` is given where features are made in another
        way.
    MissingExtra
        It is a pretrained source whose package is not installed, or on the Hub, and the extra
        ``hf`` is not.
    """
    if is_huggingface_name(folder):
        hub = need("bequest.frameworks.hugging_face.load", extra="hf", purpose="models of the Hub")
        named: Model = hub.load_by_name(folder, modules=modules, base=base, pooling=pooling)
        return named
    place = with_name(validate_path(folder, "a model folder", ModelError))
    if not place.exists():
        installed = pretrained_named(place)
        if pooling is not None:
            raise ModelError(f"{place} says how its features are made: load it without pooling=.")
        return installed.load()
    if is_onnx(place):
        return KINDS[ONNX_FILE](place, {}, Card(name=place.stem))
    if place.is_file():
        raise single_file(place)
    if isinstance(base, str | Path):
        base = load(base, modules=modules)
    if is_peft(place):
        if pooling is not None:
            raise ModelError(f"{place} is an adapter: load its base with pooling=.")
        return KINDS[PEFT](place, read_json(place / "adapter_config.json"), None, modules, base)
    theirs = foreign_config(place)
    if theirs is not None and base is not None:
        raise ModelError(f"{place} is a whole model, no adapter: load it without base=.")
    if theirs is not None:
        return KINDS[FOREIGN](place, theirs, None, pooling=pooling)
    if pooling is not None:
        raise ModelError(f"{place} says how its features are made: load it without pooling=.")
    place = _of_result(place)
    config = _config(place)
    check_files(place, config["files"])
    try:
        card = Card.from_dict(read_json(own_part(place) / "card.json"))
        loader = KINDS[config["kind"]]
        if config["kind"] == "adapter":
            return loader(place, config, card, modules, base)
        if base is not None:
            raise ModelError(f"{place} is a whole model, no adapter: load it without base=.")
        return loader(place, config, card, modules)
    except ModelError:
        raise
    except RecursionError as error:
        raise ModelError(f"{place} holds models too deep inside of each other.") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        own = own_part(place)
        raise ModelError(f"{own}/config.json is damaged: {quoted(error, 200)}.") from error


def with_name(place: Path) -> Path:
    """The path of a folder under its name, which ``.`` and ``..`` do not say."""
    return place if place.name not in ("", "..") else place.resolve()


def _of_result(place: Path) -> Path:
    """The folder itself, or the model in it where it is what a transfer left."""
    inside = place / "model"
    result = (place / "outcome.json").is_file() and not (place / "config.json").is_file()
    return inside if result and (own_part(inside) / "config.json").is_file() else place


def is_peft(place: Path) -> bool:
    """Whether a folder holds an adapter of peft, and no whole model."""
    whole = (place / "config.json").is_file() and (place / "model.safetensors").is_file()
    return (place / "adapter_config.json").is_file() and not whole and own_part(place) == place


def own_part(place: Path) -> Path:
    """Where config and card of a model folder lie: in it, or inside of one that was kept."""
    return place / OWN if (place / OWN / "config.json").is_file() else place


def check_files(place: Path, files: Mapping[str, str]) -> None:
    """Raise `ModelError` unless every file is there with the content that the config names.

    A `README.md` of ours may be edited or missing: it is made from the card, and nothing reads it.
    """
    for name, digest in files.items():
        path = place / name
        if not path.is_file() or path.is_symlink():
            raise ModelError(f"the model folder {place} lacks its file {escaped(name)}.")
        if file_digest(path) != digest:
            raise ModelError(f"{place}/{escaped(name)} was altered since the model was saved.")


def is_documentation(name: str, names: Collection[str]) -> bool:
    """Whether this file of a model folder, or of a model inside of it, is text for people only.

    That is the README.md beside a card of ours; `names` are those of all files. In a folder that
    was kept, the README.md of its authors is a file as any other.
    """
    path = PurePosixPath(name)
    sibling, ours = (str(path.parent / other) for other in ("card.json", f"{OWN}/card.json"))
    return path.name == "README.md" and sibling in names and ours not in names


def spec_from_config(config: Mapping[str, Any]) -> InputSpec:
    """The input spec whose plain values were written."""
    shape = config["shape"]
    size = None if shape is None else tuple(int(length) for length in shape)
    columns = tuple(map(str, config["columns"]))
    return InputSpec(config["modality"], size, columns, tuple(config["kinds"]))


def foreign_config(place: Path) -> dict[str, Any] | None:
    """The config of a Hugging Face folder; None where it is none, ours included.

    One of sentence-transformers may keep its network, and that config, in a folder inside.
    """
    listed = (place / "modules.json").is_file()
    if own_part(place) != place:
        return None
    _check_own_part(place)
    if not (place / "config.json").is_file():
        return {} if listed else None
    config = read_json(place / "config.json")
    named = listed or "model_type" in config or "architectures" in config
    return config if named and "format" not in config else None


def _check_own_part(place: Path) -> None:
    """Refuse what stands where our part of a kept folder was: its files would go unchecked."""
    own = place / OWN
    theirs = own.is_dir() and any(own.iterdir()) and not (own / "card.json").exists()
    if os.path.lexists(own) and not theirs:
        raise ModelError(
            f"{own} is not the folder with config.json and card.json that bequest wrote into "
            f"{place.name}: restore it, or take it out if the files are to be read as they are."
        )


def _config(place: Path) -> dict[str, Any]:
    if not place.exists():
        raise ModelError(absent(place))
    own = own_part(place)
    if not (own / "config.json").is_file():
        raise ModelError(f"{place} is no model folder: it has no config.json.")
    config = read_json(own / "config.json")
    if fault := json_fault(config):
        raise ModelError(f"{own}/config.json is unsound: ${fault}.")
    if is_timm(config):
        raise timm_folder(place, config)
    if config.get("format") is None:
        raise ModelError(
            f"{own}/config.json names neither a format, as bequest's model.save does, nor a "
            "model_type, as Hugging Face does: what the model is cannot be known."
        )
    if config["format"] != FORMAT:
        raise ModelError(
            f"{place} has model format {quoted(config['format'])}, this version reads {FORMAT}."
        )
    if config.pop("digest", None) != _digest(config):
        raise ModelError(f"{own}/config.json was altered since the model was saved.")
    files = config.get("files")
    card = (own / "card.json").relative_to(place).as_posix()
    if not isinstance(files, dict) or card not in files:
        raise ModelError(f"{own}/config.json lists no files: it is damaged.")
    for name, digest in files.items():
        parts = Path(str(name)).parts
        if not isinstance(digest, str):
            raise ModelError(f"{own}/config.json has no sound digest of {quoted(name)}.")
        if Path(name).is_absolute() or ".." in parts:
            raise UnsafeModel(
                f"{own}/config.json names a file outside of the folder: {quoted(name)}."
            )
        if "\0" in name:
            raise ModelError(f"{own}/config.json names a file as no file is named: {quoted(name)}.")
    return config


def read_json(path: Path, limit: int = CONFIG_LIMIT) -> dict[str, Any]:
    """The object in a JSON file; `ModelError` where it is none, or larger than so many bytes."""
    if path.stat().st_size > limit:
        raise ModelError(f"{path} is larger than {limit} bytes: it is no config.")
    try:
        # editors on Windows put a mark before the text
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds no object of names and values, but {quoted(values)}.")
    return values


@cache
def _version() -> str:
    return version("bequest")


def _replaceable(place: Path) -> bool:
    """Whether it is an empty folder, or a model folder with nothing else in it."""
    if not place.is_dir() or place.is_symlink():
        return False
    there = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    if not there:
        return not any(place.iterdir())
    config = (own_part(place) / "config.json").relative_to(place).as_posix()
    try:
        ours = {config, *_config(place)["files"]}
    except ModelError:
        return False
    return {name for name in there if not is_documentation(name, there)} <= ours


def _swap(work: Path, place: Path) -> None:
    old = None
    if place.exists():
        old = sibling(place)
        old.mkdir()
        os.replace(place, old / "model")
    try:
        os.replace(work, place)
    except OSError:
        if old is not None:
            os.replace(old / "model", place)
        raise
    sync_folder(place.parent)
    if old is not None:
        shutil.rmtree(old)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb+") as file:  # Windows syncs what is open for writing
                flush(file.fileno())
    sync_folder(folder)


def file_digest(path: Path) -> str:
    """The sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _json(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
