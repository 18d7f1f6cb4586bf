"""Fitted scikit-learn estimators on disk, in skops' format, read as a stranger's file.

skops builds nothing but types that are allowed, but it takes compressed entries of any size, and
lets every allowed type come through every door. Here the archive is held against its own size, its
schema against a table of doors, and what the doors lead to against `sklearn_trust`.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.exceptions import InconsistentVersionWarning

from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.sklearn.parts import title
from bequest.frameworks.sklearn.trust import (
    check_fitted_parts,
    check_tree,
    parts_of,
    rebuild_search_trees,
)

__all__ = ["read_estimator", "write_estimator"]

ENTRY_LIMIT = 500_000  # arrays; a forest of 10,000 trees has 50,000
SCHEMA_LIMIT = 512 * 2**20  # bytes; a forest of 1,000 trees has 15 MB
NPY_HEADER_LIMIT = 4096  # characters; numpy's own limit is 10,000

TRUSTED = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{kernel}"
        for kernel in ("ConstantKernel", "DotProduct", "Exponentiation", "Matern", "Product",
                       "RBF", "RationalQuadratic", "Sum", "WhiteKernel")
    ),
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)  # fmt: skip
"""What skops does not trust by itself and an ordinary fitted model holds."""

ESTIMATORS = (
    r"sklearn\.(calibration|compose|cross_decomposition|discriminant_analysis|dummy"
    r"|ensemble\._(bagging|forest|gb|hist_gradient_boosting|stacking|voting|weight_boosting)"
    r"|feature_selection|gaussian_process|impute|isotonic|kernel_approximation|kernel_ridge"
    r"|linear_model|metrics\._scorer|mixture|model_selection|multiclass|naive_bayes|neighbors"
    r"|neural_network|pipeline|preprocessing|random_projection|svm|tree\._classes"
    r"|decomposition\._(incremental_pca|pca|truncated_svd)|_loss\.(link|loss))\b[\w.]*"
)
BOOSTED = re.compile(r"\b(lightgbm|xgboost|catboost|_catboost)\.")
TREES = ", wrap the boosted trees alone or as the last step of a Pipeline"
DOORS = {
    name: re.compile(pattern)
    for name, pattern in {
        "DTypeNode": r"numpy\.dtype",
        "DefaultDictNode": r"collections\.defaultdict",
        "DictNode": r"builtins\.dict|collections\.OrderedDict|sklearn\.utils\._bunch\.Bunch",
        "FunctionNode": r"(numpy|scipy)\b[\w.]*|sklearn\.utils\.validation\.check_array",
        "JsonNode": r"builtins\.\w+",
        "ListNode": r"builtins\.list",
        "LossNode": r"(sklearn\._loss\.)?_loss\.Cy\w+|sklearn\.linear_model\._sgd_fast\.\w+",
        "MaskedArrayNode": r"numpy\.ma\b[\w.]*",
        "NdArrayNode": r"numpy\.[a-z]+[a-z0-9_]*",
        "ObjectNode": ESTIMATORS,
        "PartialNode": r"functools\.partial",
        "RandomGeneratorNode": r"numpy\.random\b[\w.]*",
        "RandomStateNode": r"numpy\.random\b[\w.]*",
        "SetNode": r"builtins\.set",
        "SliceNode": r"builtins\.slice",
        "TreeNode": r"sklearn\.tree\._tree\.Tree",
        "TupleNode": r"builtins\.tuple",
        "TypeNode": r"builtins\.\w+|numpy\.\w+",
    }.items()
}
"""Which types may come through which of skops' loaders; its own audit follows on this one."""

BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError,
    MemoryError, NotImplementedError, OSError, RecursionError, TypeError, ValueError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip


def write_estimator(path: str | Path, estimator: Any) -> None:
    """Write a fitted estimator as a skops file that `read_estimator` takes.

    Search trees of nearest-neighbour models are left out, for they hold raw memory; reading builds
    them again from their rows. `ModelError` names the types that a model file cannot hold.
    """
    try:
        content = skops.io.dumps(_without_search_trees(estimator))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{title(estimator)} cannot be saved: {_line(error)}") from error
    try:
        _check_archive(content)
    except UnsafeModel as error:
        raise ModelError(
            f"{title(estimator)} would not load again: {error} Build it of scikit-learn's own "
            f"parts{TREES if BOOSTED.search(str(error)) else ''}, or keep it as a function: "
            "bequest.wrap(model.predict_proba, classes=...)."
        ) from error
    Path(path).write_bytes(content)


def read_estimator(path: str | Path) -> Any:
    """Read a skops file that anybody may have written.

    Its arrays are consistent enough that compiled code does not read outside of them; `UnsafeModel`
    where they are not, or where it holds types that are not known to be harmless.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        _check_archive(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            estimator = skops.io.loads(content, trusted=list(TRUSTED))
    except ModelError as error:
        raise type(error)(f"{path}: {error}") from error
    except BROKEN as error:
        raise ModelError(f"{path} cannot be built: {_line(error)}") from error
    check_fitted_parts(estimator)
    rebuild_search_trees(estimator)
    return estimator


def _without_search_trees(estimator: Any) -> Any:
    if not any(getattr(part, "_tree", None) is not None for part in parts_of(estimator)):
        return estimator
    lighter = copy.deepcopy(estimator)
    for part in parts_of(lighter):
        if getattr(part, "_tree", None) is not None:
            part._tree = None
    return lighter


def _check_archive(content: bytes) -> None:
    """Raise unless the archive is what skops writes, of allowed types, with sound arrays."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > ENTRY_LIMIT or len({e.filename for e in entries}) < len(entries):
            raise UnsafeModel(f"it has {len(entries)} entries, too many or some of one name.")
        # Stored entries cannot inflate, and their sum shows whether they overlap.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise UnsafeModel("it is compressed, and could inflate without limit.")
        if sum(entry.file_size for entry in entries) > len(content):
            raise UnsafeModel("its entries overlap.")
        if archive.getinfo("schema.json").file_size > SCHEMA_LIMIT:
            raise UnsafeModel(f"its schema is larger than {SCHEMA_LIMIT} bytes.")
        arrays = {e.filename: archive.read(e) for e in entries if e.filename != "schema.json"}
        for name, array in arrays.items():
            _check_npy(name, array)
        schema = json.loads(archive.read("schema.json"))
    _check_schema(schema, arrays)


def _check_npy(name: str, content: bytes) -> None:
    """An array's header must name no objects, and as many numbers as follow."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if not name.endswith(".npy") or version not in ((1, 0), (2, 0)):
        raise UnsafeModel(f"its entry {ascii(name)[:60]} is no plain array.")
    read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, _, dtype = read(stream, max_header_size=NPY_HEADER_LIMIT)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise UnsafeModel(f"its array {ascii(name)[:60]} has another size than its header says.")


def _check_schema(schema: Any, arrays: Mapping[str, bytes]) -> None:
    refused: set[str] = set()
    _check_ids(schema, arrays)
    for state in _states(schema):
        kind, name = state["__loader__"], f"{state['__module__']}.{state['__class__']}"
        if kind not in DOORS or not DOORS[kind].fullmatch(name):
            refused.add(name)
        if kind == "PartialNode" and state["content"]["func"]["__class__"] != "check_array":
            refused.add("functools.partial")
        if kind == "TreeNode":
            _check_tree_state(state, arrays)
    if refused:
        names = listed(ascii(name)[1:-1][:120] for name in sorted(refused))
        raise UnsafeModel(f"it holds types that are not known to be safe: {names}.")


def _check_ids(schema: Any, arrays: Mapping[str, bytes]) -> None:
    """Objects of one id must be equal: skops builds the first and takes it for all of them."""
    files = {name: hashlib.sha256(content).digest() for name, content in arrays.items()}
    seen: dict[Any, bytes] = {}

    def digest(value: Any) -> bytes:
        whole = hashlib.sha256()
        if isinstance(value, list):
            whole.update(b"list" + b"".join(map(digest, value)))
        elif not isinstance(value, dict):
            whole.update(repr(value).encode("utf-8", "backslashreplace"))
        else:
            for key in sorted(value.keys() - {"__id__"}):
                inner = files[value[key]] if key == "file" else digest(value[key])
                whole.update(digest(key) + inner)
            if value.get("__id__"):
                first = seen.setdefault(value["__id__"], whole.digest())
                if first != whole.digest():
                    raise UnsafeModel("two different objects in it have the same id.")
        return whole.digest()

    digest(schema)


def _states(value: Any) -> Iterator[dict[str, Any]]:
    """Every object's description in a schema, wherever it hides."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if "__loader__" in item:
                yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _check_tree_state(state: Mapping[str, Any], arrays: Mapping[str, bytes]) -> None:
    """Hold a decision tree's arrays against each other before compiled code sees them."""
    n_features, classes, n_outputs = state["__reduce__"]["args"]["content"]
    content = state["content"]["content"]
    check_tree(
        n_features=_number(n_features),
        n_classes=_array(classes, arrays),
        n_outputs=_number(n_outputs),
        node_count=_number(content["node_count"]),
        nodes=_array(content["nodes"], arrays),
        values=_array(content["values"], arrays),
    )


def _number(state: Mapping[str, Any]) -> int:
    if state["__loader__"] == "NdArrayNode":
        raise UnsafeModel("a tree's sizes are stored as arrays.")
    value = json.loads(state["content"])
    if type(value) is not int:
        raise UnsafeModel("a tree's sizes are no whole numbers.")
    return value


def _array(state: Mapping[str, Any], arrays: Mapping[str, bytes]) -> NDArray[Any]:
    if f"{state['__module__']}.{state['__class__']}" != "numpy.ndarray":
        raise UnsafeModel("a tree's arrays are of another type.")
    return np.asarray(np.load(io.BytesIO(arrays[state["file"]]), allow_pickle=False))


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 300 else text[:300] + "..."
