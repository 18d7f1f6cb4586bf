"""Which values of a checkpoint are the tensors, and whether a model file can hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from bequest.core.wording import listed
from bequest.errors import ModelError

__all__ = ["DEEPEST", "SEEN", "TIMES", "Found", "check_tensors", "find_tensors", "flat"]

KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights",
)  # fmt: skip
TIMES = 4  # the file read, cloned, and written; numbers that share memory are stored apart
SLACK = 2**20  # bytes; a small tensor may be one number that is repeated
DEEPEST = 4  # dictionaries inside each other
MOST = 2**20  # values that are looked at; names that lead to one dictionary multiply
SEEN = 80  # characters of a stranger's text in a line of ours


@final
@dataclass(frozen=True)
class Found:
    """The tensors of a checkpoint, the `key` that they stood under, and what was left out."""

    tensors: Mapping[str, torch.Tensor]
    key: str
    dropped: tuple[str, ...]


def find_tensors(
    content: Any, key: str | None = None, strip: Sequence[str] = (), drop: Sequence[str] = ()
) -> Found:
    """The tensors in what a checkpoint holds, under the names that they are to have.

    They are at `key` (names joined by dots), at the top, under one of `KEYS`, or under the only
    name that has some. Names lose the beginnings `strip`; `drop` names tensors, or parts, to leave
    out.

    Examples
    --------
    >>> found = find_tensors({"state_dict": {"a.weight": torch.ones(2)}, "epoch": 3})
    >>> list(found.tensors), found.key, found.dropped
    (['a.weight'], 'state_dict', ('epoch',))
    """
    where, chosen, beside = _chosen(content, key)
    values = {".".join(path): value for path, value in flat(chosen)}
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    others = [name for name in values if name not in tensors]
    for part in drop:
        inside = [name for name in tensors if name == part or name.startswith(f"{part}.")]
        if not inside:
            raise ModelError(f"there is no {_short(part)} to drop. {_names(tensors)}")
        others += inside
        tensors = {name: value for name, value in tensors.items() if name not in inside}
    if not tensors:
        raise ModelError(f"it holds no tensors by name. {_names(values)}")
    return Found(_stripped(tensors, strip), where, (*beside, *others))


def _chosen(content: Any, key: str | None) -> tuple[str, Mapping[Any, Any], list[str]]:
    """Where the tensors are, the dictionary there, and what stands beside it."""
    if isinstance(content, torch.Tensor):
        raise ModelError("it is one tensor without a name: save it as {'name': tensor}.")
    if not isinstance(content, Mapping):
        raise ModelError(f"it holds a {type(content).__name__}, not a dictionary of tensors.")
    if key is not None:
        return _at(content, key)
    if any(isinstance(value, torch.Tensor) for value in content.values()):
        return "", content, []
    having = [name for name, value in content.items() if _has_tensors(value)]
    known = [name for name in KEYS if name in having]
    if len(having) > 1 and not known:
        raise ModelError(
            f"it has tensors under several names, {_listed(having)}: say which with --key."
        )
    if not having:
        raise ModelError(f"it holds no tensors by name. {_names(content)}")
    where = known[0] if known else having[0]
    return str(where), content[where], [str(name) for name in content if name != where]


def _at(content: Mapping[Any, Any], key: str) -> tuple[str, Mapping[Any, Any], list[str]]:
    here: Any = content
    for name in [key] if key in content else key.split("."):
        if not isinstance(here, Mapping) or name not in here:
            raise ModelError(f"there is no {_short(key)} in it. {_names(content)}")
        here = here[name]
    if not isinstance(here, Mapping):
        raise ModelError(f"{_short(key)} is a {type(here).__name__}, not a dictionary of tensors.")
    return key, here, [str(name) for name in content if name != key.partition(".")[0]]


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, torch.Tensor) for _, v in flat(value))


def flat(values: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values by the path of their names through the dictionaries inside each other.

    `ModelError` where there are too many; a dictionary too deep is a value.

    Examples
    --------
    >>> list(flat({"a": 1, "b": {"c.d": 2}}))
    [(('a',), 1), (('b', 'c.d'), 2)]
    """
    waiting: list[tuple[tuple[str, ...], Any]] = [((), values)]
    seen = 0
    while waiting:
        path, value = waiting.pop()
        seen += 1
        if seen > MOST:
            raise ModelError(f"more than {MOST} values are in it.")
        if not isinstance(value, Mapping) or len(path) > DEEPEST:
            yield path, value
            continue
        waiting += reversed([((*path, str(name)), inner) for name, inner in value.items()])


def _stripped(tensors: Mapping[str, Any], strip: Sequence[str]) -> dict[str, Any]:
    names = {name: name for name in tensors}
    for given in strip:
        prefix = given if given.endswith(".") else f"{given}."
        if not any(name.startswith(prefix) for name in names.values()):
            raise ModelError(f"no name begins with {_short(prefix)}. {_names(tensors)}")
        names = {name: new.removeprefix(prefix) for name, new in names.items()}
    if len(set(names.values())) < len(names):
        raise ModelError(f"without {_listed(strip)} two tensors have the same name.")
    return {names[name]: tensor for name, tensor in tensors.items()}


def check_tensors(tensors: Mapping[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """The tensors as a model file can hold them, before a byte of them is copied.

    `ModelError` where one cannot be stored, or all are larger than their file of `size` bytes
    explains.
    """
    for name, tensor in tensors.items():
        what = _unfit(tensor)
        if what:
            raise ModelError(f"{_short(name)} is {what}, or leave it out: --drop {name[:SEEN]}.")
    whole = sum({_place(t): t.numel() * t.element_size() for t in tensors.values()}.values())
    if whole > TIMES * size + SLACK:
        raise ModelError(
            f"its tensors would take {whole} bytes, the file has {size}: numbers are repeated in "
            "it without being there."
        )
    return {name: tensor.detach().resolve_neg() for name, tensor in tensors.items()}


def _unfit(tensor: torch.Tensor) -> str:
    if tensor.is_quantized:
        return f"quantised ({tensor.dtype}): dequantise it where it was made"
    if tensor.layout != torch.strided:
        return f"stored as {tensor.layout}: make it dense where it was made"
    if tensor.is_meta:
        return "on the meta device, without numbers: save it with them"
    return ""


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr() if tensor.numel() else 0, tuple(tensor.shape), tensor.stride()


def _names(values: Iterable[Any]) -> str:
    return f"It has: {_listed(values)}."


def _listed(values: Iterable[Any]) -> str:
    return listed(map(_short, values), 6) or "nothing"


def _short(value: object) -> str:
    """A stranger's text on one line, and not more of it than a line takes."""
    text = ascii(value if isinstance(value, str | int) else str(value))
    return text if len(text) <= SEEN else text[:SEEN] + "..."
