"""An ONNX file as a model.

N samples, D features, C classes.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from bequest.core import Card, InputSpec, Label, Model, Table, as_inputs
from bequest.core.child_process import command
from bequest.core.deadline import check_time, time_left
from bequest.core.model import plain_labels
from bequest.core.table import ColumnKind, absent_columns
from bequest.core.validation import validate_path
from bequest.errors import DataError, ModelError, NotApplicable, OutOfTime, UnsafeModel
from bequest.frameworks.encoders.columns import Columns
from bequest.frameworks.files.folder import spec_from_config, write_folder
from bequest.frameworks.files.output import new_file
from bequest.frameworks.onnx.external import external_tensor
from bequest.optional import need

__all__ = ["CLASSES", "MOST", "OnnxModel", "load_onnx", "load_onnx_file", "onnx_place"]

Array = NDArray[Any]
FILE = "model.onnx"
MOST = 2 * 2**30  # bytes of a file: more needs external data, which is refused
ROOM, TIMES = 4 * 2**30, 8  # bytes of memory beyond, and for each byte of, the file
SECONDS = 120
CHILD = str(Path(__file__).with_name("child.py"))
BATCH = 256  # rows in one run
NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
TEXTS = "tensor(string)"
FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
CUSTOM = re.compile(r"([\w.:]+)\(-?\d+\) is not a registered|No Op registered for (\w+) with")
CLASSES = "bequest.classes"  # of the metadata of a file that we wrote: labels as JSON
MAPS = "seq(map("  # skl2onnx's ZipMap: of each row a mapping from labels to probabilities


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OnnxModel(Model):
    """The graph of an ONNX file, run by onnxruntime on one thread of the CPU.

    `bequest.load` makes one of a file that ends in ``.onnx``.

    Parameters
    ----------
    content : bytes
        The file.
    spec : InputSpec
    classes : tuple
        Labels in the order of the probabilities; empty for regression.
    card : Card
    inputs, outputs : sequence of (name, type, shape)
        As onnxruntime names them.
    predicts : str
        The output that is the prediction.
    logits : bool
        Whether it gives logits, and no probabilities.
    """

    content: bytes = field(kw_only=False)
    spec: InputSpec
    classes: tuple[Label, ...]
    card: Card
    inputs: Sequence[Sequence[Any]]
    outputs: Sequence[Sequence[Any]]
    predicts: str
    logits: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", plain_labels(self.classes))

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64; logits by the softmax.

        Raises
        ------
        DataError
            The graph cannot read `X`.
        ModelError
            It gives another shape, or values that are not finite.
        OutOfTime
            The deadline came first.
        """
        said = self._run(X, self.predicts)
        wanted = (len(said), len(self.classes)) if self.classes else (len(said), 1)
        if said.shape != wanted or not np.isfinite(said).all():
            raise ModelError(f"{self._title} gives values that are not finite, or not {wanted}.")
        if not self.classes:
            return said.reshape(-1)
        if self.logits:
            return np.asarray(softmax(said, axis=1))
        return np.asarray(said / np.maximum(said.sum(axis=1, keepdims=True), 1e-12))

    def features(self, X: Any, layer: str | None = None) -> Array:
        """Another output of the graph, flattened, shape (N, D), float64.

        Parameters
        ----------
        X
            As in `predict`.
        layer : str, optional
            Name of an output. Default: the first of numbers that is not the prediction.
        """
        others = [
            name for name, kind, _ in self.outputs if kind in FLOATS and name != self.predicts
        ]
        known = [name for name, kind, _ in self.outputs if kind in FLOATS]
        if layer is None and not others:
            raise NotApplicable(f"{self._title} has no output beside its prediction.")
        if layer is not None and layer not in known:
            raise NotApplicable(f"{self._title} has no output {layer!r}: {', '.join(known)}.")
        return self._run(X, layer or others[0])

    def _run(self, X: Any, output: str) -> Array:
        """One output of all rows, (N, D), a batch at a time."""
        inputs = as_inputs(X)
        if len(inputs) == 0:
            raise DataError("there are no rows to predict.")
        fixed = self.inputs[0][2][0] if self.inputs[0][2] else None
        size = fixed if isinstance(fixed, int) and fixed > 0 else BATCH
        parts = []
        for start in range(0, len(inputs), size):
            rows = np.arange(start, min(start + size, len(inputs)))
            # a graph whose batch is fixed takes so many rows and no fewer: the last one again
            taken = np.resize(rows, size) if size == fixed else rows
            check_time("running an ONNX file")
            said = self._asked(self._fed(inputs[taken]), output)
            if len(said) != len(taken):
                raise ModelError(f"{self._title} gives {len(said)} rows for {len(taken)}.")
            parts.append(said[: len(rows)])
        return np.concatenate(parts)

    def _asked(self, fed: dict[str, Any], output: str) -> Array:
        with _stopped_in_time() as options:
            try:
                [said] = self._session.run([output], fed, options)
            except Exception as error:  # onnxruntime's errors share no class
                if time_left() <= 0:
                    raise OutOfTime("running an ONNX file") from error
                line = " ".join(str(error).split())[:200]
                raise DataError(f"{self._title} cannot read the inputs: {line}") from error
        if isinstance(said, list):
            said = np.array([[row.get(label, np.nan) for label in self.classes] for row in said])
        array = np.asarray(said, dtype=np.float64)
        return array.reshape(len(array), -1)

    def _fed(self, inputs: Any) -> dict[str, Any]:
        """Rows by the names of the graph's inputs."""
        if self.spec.modality == "table" and self._one_matrix:
            inputs = Columns(self.spec.columns).encode(inputs)
        if self.spec.modality != "table" or self._one_matrix:
            [(name, kind, _)] = self.inputs
            return {name: np.asarray(inputs).astype(NUMBERS[kind])}
        if not isinstance(inputs, Table):
            raise DataError(f"{self._title} reads a table, not a {type(inputs).__name__}.")
        absent = [name for name in self.spec.columns if name not in inputs.columns]
        if absent:
            named = absent_columns(absent, inputs.names)
            raise DataError(f"the table lacks columns that the model reads: {named}.")
        kinds = dict(zip(self.spec.columns, self.spec.kinds, strict=True))
        table = inputs.cast(kinds)
        return {name: _column(table.columns[name], kind) for name, kind, _ in self.inputs}

    @property
    def _one_matrix(self) -> bool:
        """Whether it reads all columns side by side, and no input for each."""
        return len(self.inputs) == 1 and len(self.inputs[0][2]) == 2 and len(self.spec.columns) != 1

    @cached_property
    def _session(self) -> Any:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        return runtime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_session"}

    def _write(self, place: Path) -> None:
        (place / FILE).write_bytes(self.content)

    @property
    def _title(self) -> str:
        return self.name or "the ONNX file"

    @property
    def structure(self) -> Mapping[str, Any]:
        """The names of inputs and outputs."""
        return {
            "onnx": {
                "inputs": [list(one) for one in self.inputs],
                "outputs": [list(one) for one in self.outputs],
            }
        }

    def to_onnx(self, path: str | Path) -> None:
        """Write the file as it is; see `bequest.core.Model`."""
        with new_file(onnx_place(path)) as work:
            work.write_bytes(self.content)

    def save(self, folder: str | Path) -> None:
        """Write the file as it is, and what is known of it beside."""
        config = {
            "spec": asdict(self.spec),
            "classes": list(self.classes),
            "predicts": self.predicts,
            "logits": self.logits,
        }
        write_folder(
            folder,
            kind="onnx",
            config=config,
            card=self.card,
            write=self._write,
        )


def onnx_place(path: str | Path) -> Path:
    """Where an ONNX file may be written: its name ends in .onnx, and nothing else lies there."""
    place = validate_path(path, "an ONNX file", ModelError)
    if place.suffix.lower() != ".onnx":
        raise ModelError(f"{place} does not end in .onnx: bequest.load knows such files by that.")
    if place.is_file():
        try:
            external_tensor(place.read_bytes())
        except ValueError as error:
            raise ModelError(f"{place} exists and is no ONNX file: it is left as it is.") from error
    return place


def load_onnx_file(
    path: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> OnnxModel:
    """Make a model of an ONNX file; what predicts, and what its classes are, is found out.

    Raises
    ------
    UnsafeModel
        It names files outside of itself, or operations that onnxruntime does not have.
    ModelError
        It is damaged, or takes or gives what no model here does.
    MissingExtra
        onnxruntime is not installed.
    """
    sides = _probe(path)
    spec = _spec(sides["inputs"], path)
    predicts = _prediction(sides["outputs"], path)
    classes, logits = _answers(sides["answers"][predicts], path)
    classes = _named(sides["metadata"], classes)
    return OnnxModel(
        path.read_bytes(),
        spec=spec,
        classes=classes,
        card=card,
        inputs=sides["inputs"],
        outputs=sides["outputs"],
        predicts=predicts,
        logits=logits,
    )


def load_onnx(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> OnnxModel:
    """Build the model of a folder whose config was read."""
    sides = _probe(folder / FILE)
    if config["predicts"] not in [name for name, _, _ in sides["outputs"]]:
        raise ModelError(f"{folder}/config.json names an output that {FILE} does not have.")
    return OnnxModel(
        (folder / FILE).read_bytes(),
        spec=spec_from_config(config["spec"]),
        classes=tuple(config["classes"]),
        card=card,
        predicts=str(config["predicts"]),
        logits=bool(config["logits"]),
        inputs=sides["inputs"],
        outputs=sides["outputs"],
    )


def _runtime() -> Any:
    return need("onnxruntime", extra="onnx", purpose="ONNX files")


def _probe(path: Path) -> dict[str, Any]:
    """What a child process finds in the file: inputs, outputs, and answers to a few rows."""
    runtime = _runtime()
    size = path.stat().st_size
    if size > MOST:
        raise ModelError(f"{path} is larger than 2 GiB: it is not loaded.")
    try:
        outside = external_tensor(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is no sound ONNX file: {error}.") from error
    if outside is not None:
        raise UnsafeModel(
            f"{path} keeps the tensor {outside!r} in another file (external data), which is not "
            "read. Save it as one file: onnx.save_model(onnx.load(path), path)."
        )
    line = command(CHILD, str(path.resolve()), memory=ROOM + TIMES * size, needs=runtime)
    try:
        done = subprocess.run(line, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path} is damaged: it does not open in {SECONDS} s.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _refusal(path, said[-1] if done.returncode == 1 and said else "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _refusal(path: Path, said: str) -> ModelError:
    if custom := CUSTOM.search(said):
        return UnsafeModel(
            f"{path} uses the operation {custom[1] or custom[2]}, which onnxruntime does not have: "
            "custom operations are code, and are not loaded."
        )
    reason = ascii(said)[1:-1] or "onnxruntime crashes on it"
    return ModelError(f"{path} is no sound ONNX file: {reason[:200]}.")


def _spec(inputs: list[list[Any]], path: Path) -> InputSpec:
    """One array of numbers, or one column for each input."""
    if len(inputs) == 1 and inputs[0][1] in NUMBERS and len(inputs[0][2]) in (2, 4):
        shape = inputs[0][2][1:]
        whole = all(isinstance(length, int) and length > 0 for length in shape)
        size = tuple(shape) if whole else None
        return InputSpec("image" if len(shape) == 3 else "vector", size)
    columns = [(n, k) for n, k, s in inputs if k in (*NUMBERS, TEXTS) and s[1:] in ([1], [])]
    if not inputs or len(columns) < len(inputs):
        said = ", ".join(f"{name} {kind} {shape}" for name, kind, shape in inputs[:5])
        raise ModelError(
            f"{path} takes {said}: one array (N, D) or (N, C, H, W) is read, or columns (N, 1)."
        )
    kinds: list[ColumnKind] = ["category" if kind == TEXTS else "number" for _, kind in columns]
    return InputSpec("table", None, tuple(name for name, _ in columns), tuple(kinds))


def _prediction(outputs: list[list[Any]], path: Path) -> str:
    """Probabilities, else the first output of numbers."""
    maps = [name for name, kind, _ in outputs if kind.startswith(MAPS)]
    floats = [name for name, kind, _ in outputs if kind in FLOATS]
    named = [name for name in floats if "proba" in name.lower()]
    found = [*maps, *named, *floats]
    if not found:
        raise ModelError(f"{path} has no output of numbers that could be its prediction.")
    return str(found[0])


def _answers(answer: Any, path: Path) -> tuple[tuple[Label, ...], bool]:
    """Classes, and whether it gives logits, from what it answered to some rows."""
    if isinstance(answer, list):
        return tuple(answer), False
    if not isinstance(answer, dict):
        raise ModelError(f"{path} does not give one array of numbers as its prediction.")
    if answer["width"] == 1:
        return (), False
    return tuple(range(answer["width"])), not answer["probabilities"]


def _named(metadata: Mapping[str, str], classes: tuple[Label, ...]) -> tuple[Label, ...]:
    """The labels that `Model.to_onnx` wrote, where they fit the prediction."""
    try:
        labels = json.loads(metadata.get(CLASSES, "[]"))
    except (ValueError, RecursionError):
        return classes
    plain = isinstance(labels, list) and all(isinstance(x, str | int | float) for x in labels)
    fits = plain and classes and len(set(labels)) == len(labels) == len(classes)
    return tuple(labels) if fits else classes


def _column(values: Array, kind: str) -> Array:
    if kind == TEXTS:
        return np.array(["" if cell is None else cell for cell in values], dtype=object)[:, None]
    return values.astype(NUMBERS[kind])[:, None]


@contextmanager
def _stopped_in_time() -> Iterator[Any]:
    """Options of a run that ends at the deadline."""
    options = _runtime().RunOptions()
    left = time_left()
    if left == float("inf"):
        yield options
        return

    def stop() -> None:
        options.terminate = True

    timer = threading.Timer(max(left, 0.0), stop)
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()
