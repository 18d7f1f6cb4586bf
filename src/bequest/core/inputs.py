"""From what a person holds to inputs, and what the inputs are; the modalities decide.

Shapes: N samples, D features, C channels, H and W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from bequest.core.modality import MODALITIES, Inputs, InputSpec, Modality
from bequest.core.plain_values import quoted
from bequest.core.table import Table
from bequest.core.texts import Texts
from bequest.errors import BequestError, DataError

__all__ = [
    "InputSpec",
    "Inputs",
    "Table",
    "Texts",
    "as_inputs",
    "fingerprint",
    "modality_of",
    "spec_of",
]

T = TypeVar("T")
BUILT_IN = ("text", "table", "image", "vector")  # in this order; vector takes any numbers


def as_inputs(samples: Any) -> Inputs:
    """Turn what a person holds into what a model reads.

    Parameters
    ----------
    samples : array, tensor, sparse matrix, Table, mapping of columns, DataFrame, list of str
        Arrays have shape (N, D) or (N, C, H, W); a list, an array or a DataFrame's column of
        strings are N texts. Modalities of plug-ins are asked before the others.

    Returns
    -------
    Inputs
        A float32 array, a `Table`, `Texts`, what a plug-in gives, or `samples` itself where it is
        lazily read already.

    Raises
    ------
    DataError
        No modality recognises the samples, an array is not of 2 or 4 dimensions, or a plug-in
        fails.

    Examples
    --------
    >>> as_inputs([[1, 2]]).dtype, as_inputs(["good", "bad"])
    (dtype('float32'), Texts(2 texts))
    """
    for modality in _modalities():
        inputs = _asked(modality, modality.recognise, samples)
        if inputs is None:
            continue
        if modality.name not in BUILT_IN and not _asked(modality, modality.holds, inputs):
            raise DataError(
                f"the modality {modality.name!r} recognises a {type(samples).__name__} and gives a "
                f"{type(inputs).__name__} that it does not hold."
            )
        return inputs
    raise _unknown(samples)


def modality_of(inputs: Inputs) -> Modality:
    """The modality that holds these inputs; `DataError` where none does.

    Examples
    --------
    >>> modality_of(Texts(["good"])).name
    'text'
    """
    for modality in _modalities():
        if _asked(modality, modality.holds, inputs):
            return modality
    raise _unknown(inputs)


def spec_of(inputs: Inputs) -> InputSpec:
    """Describe samples: their modality, and the shape or the columns of one of them."""
    return modality_of(inputs).describe(inputs)


def _modalities() -> list[Modality]:
    """Those of plug-ins first: a built-in one may recognise their samples, too."""
    return [MODALITIES[name] for name in sorted(MODALITIES, key=BUILT_IN.__contains__)]


def _asked(modality: Modality, question: Callable[[Any], T], samples: Any) -> T:
    try:
        return question(samples)
    except BequestError:
        raise
    except Exception as error:  # a plug-in's own fault, which must name it
        raise DataError(
            f"the modality {modality.name!r} fails on a {type(samples).__name__}: "
            f"{quoted(error, 200)}."
        ) from error


def _unknown(samples: Any) -> DataError:
    return DataError(
        f"no modality recognises a {type(samples).__name__}: give samples of "
        f"{', '.join(MODALITIES)}, or add yours to bequest.core.MODALITIES."
    )


def fingerprint(*parts: Any) -> str:
    """Content address of inputs, arrays and plain values: the first 16 hex digits of a sha256.

    Examples
    --------
    >>> fingerprint(np.arange(3)) == fingerprint(np.arange(3))
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()[:16]


def _feed(digest: Any, part: Any) -> None:
    if isinstance(part, Table):
        for name, values in part.columns.items():
            _feed(digest, name)
            _feed(digest, values)
    elif hasattr(part, "content_digest"):
        digest.update(part.content_digest().encode())
    elif isinstance(part, np.ndarray) and part.dtype.kind != "O":
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, np.ndarray):
        digest.update(f"O{part.shape}{part.tolist()!r}".encode())
    elif isinstance(part, tuple | list):
        digest.update(f"[{len(part)}".encode())
        for item in part:
            _feed(digest, item)
    elif isinstance(part, Inputs) and not isinstance(part, str | bytes | Mapping):
        modality = modality_of(part)
        _feed(digest, modality.name)
        digest.update(b"".join(modality.row_digests(part)))
    else:
        digest.update(repr(part).encode())
        digest.update(b"\0")
