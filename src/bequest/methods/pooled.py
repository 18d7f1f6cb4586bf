"""Pooled: one linear model of the target's rows and the source's together.

N rows of the target, M of the source, D columns, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from bequest.core import Card, Inputs, Model, Source, Table, Takes, Task, Texts, TransferMethod
from bequest.core.modality import GivesCodes
from bequest.data.splits import folds
from bequest.errors import NotApplicable
from bequest.frameworks.encoders.encoder import fit_encoder
from bequest.frameworks.encoders.unit_rows import UnitRows
from bequest.frameworks.sklearn.model import SklearnModel
from bequest.methods.families import UNIT_ROWS, not_unit_rows, sparse_vectors
from bequest.methods.provenance import check_setting, match_label, with_provenance
from bequest.training.pooled import fit_pooled

__all__ = ["Pooled"]

Array = NDArray[Any]
WEIGHTS = (1.0, 0.3, 0.1, 0.03)
FOLDS = 5


@final
@dataclass(frozen=True)
class Pooled(TransferMethod):
    """Fit one linear model to the rows of both, with a column that says which is whose.

    The column lets the two differ in level; what the inputs mean is learned from all rows. Needs
    the source's data and no model of it.

    Parameters
    ----------
    weight : float or None
        What a row of the source counts, where one of the target counts 1; None: of 1, 0.3, 0.1 and
        0.03 the one that predicts the target's own rows best in cross-validation.
    strength : float
        Inverse of the regularisation, scikit-learn's C, for texts a hundredth of it; regression
        picks its own by leave-one-out.
    scaling : {"standard", "l2"}
        Each column standardised, or, for vectors and images, each row brought to length one.

    References
    ----------
    Daumé III, Frustratingly Easy Domain Adaptation, ACL 2007 (weighted pooling is among its
    baselines).

    Examples
    --------
    >>> import bequest as bq
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> known = bq.Task.from_arrays(X, 3 * X[:, 0], kind="regression", name="last year")
    >>> task = bq.Task.from_arrays(X[:3], 3 * X[:3, 0] + 1, kind="regression")
    >>> model = Pooled().fit([bq.Source(data=known)], task, rng=np.random.default_rng(0))
    >>> model.predict([[2.0]]).round(1).tolist()
    [7.0]
    """

    name: ClassVar[str] = "pooled"
    citation: ClassVar[str] = (
        "@inproceedings{daume2007frustratingly, title={Frustratingly easy domain adaptation}, "
        "author={Daum{\\'e} III, Hal}, booktitle={ACL}, year={2007}}"
    )
    takes: ClassVar[Takes] = Takes(model=False, data=True)
    weight: float | None = None
    strength: float = 0.1
    scaling: Literal["standard", "l2"] = "standard"

    def __post_init__(self) -> None:
        sound = self.weight is None or self.weight > 0
        check_setting(self, "weight", sound, "None or above zero")
        check_setting(self, "strength", self.strength > 0, "above zero")
        known = self.scaling in ("standard", "l2")
        check_setting(self, "scaling", known, "'standard' or 'l2'")

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source's rows need labels, the target's columns, and all of its classes."""
        data = _data_of(sources)
        refused = task.spec.accepts(data.spec) or _of_other_inputs(task)
        if refused is not None:
            return NotApplicable(f"the source's data do not fit: {refused.reason}")
        if self.scaling == "l2" and task.modality not in UNIT_ROWS:
            return not_unit_rows()
        if not data.labelled:
            return NotApplicable("the source's rows have no labels.")
        if data.kind != task.kind:
            return NotApplicable(f"the source's data are a {data.kind}, the task is {task.kind}.")
        unknown = [label for label in task.classes if match_label(label, data.classes) is None]
        if unknown:
            said = ", ".join(map(str, unknown[:5]))
            return NotApplicable(f"the source's data lack the target's classes {said}.")
        return None

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Join the rows, of the source those of the target's classes, and fit."""
        self.check(sources, task)
        data = _data_of(sources)
        rows, labels = _shared_rows(data, task)
        inputs = _joined(task.inputs, data.inputs[rows])
        encoder: Any = UnitRows.fit(inputs) if self.scaling == "l2" else fit_encoder(inputs)
        encoded: Any = encoder.encode(inputs)
        if not issparse(encoded):
            encoded = encoded.reshape(len(inputs), -1)
        codes = len(encoder.cardinalities) if isinstance(encoder, GivesCodes) else 0
        width = encoded.shape[1]
        fit = partial(
            fit_pooled,
            kind=task.kind,
            strength=self.strength,
            scaling="none" if self.scaling == "l2" else "standard",
            categorical=[place >= width - codes for place in range(width)],
        )
        both = np.concatenate([task.labels, labels])
        weight = self.weight or _best_weight(fit, encoded, both, task, rng)
        own = np.arange(len(both)) < len(task)
        estimator = fit(encoded, both, weights=np.where(own, 1.0, weight), own=own)
        model = SklearnModel(
            estimator, spec=task.spec, classes=task.classes, card=Card(), encoder=encoder
        )
        moved = ({"part": "rows", "numbers": len(rows), "rule": f"weight {weight:g}"},)
        return with_provenance(model, self, sources, task, moved)

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """What belongs in an average; counts as rows of length one."""
        if task.kind == "regression":
            return (cls(),)
        if sparse_vectors(task):
            return tuple(cls(weight=w, strength=10.0, scaling="l2") for w in (0.3, 1.0))
        return (cls(weight=1.0, strength=0.03), cls(weight=0.3, strength=0.1))


def _best_weight(
    fit: Callable[..., Any], encoded: Any, labels: Array, task: Task, rng: np.random.Generator
) -> float:
    """The weight whose models err least on the target's rows that they were not fitted to."""
    loss = dict.fromkeys(WEIGHTS, 0.0)
    if len(task) < 2 * FOLDS or (task.groups is not None and len(set(task.groups)) < FOLDS):
        return WEIGHTS[1]
    [pairs] = folds(task, FOLDS, rng=rng)
    for _, test in pairs:
        rest = np.setdiff1d(np.arange(len(labels)), test)
        own = rest < len(task)
        for weight in WEIGHTS:
            model = fit(encoded[rest], labels[rest], weights=np.where(own, 1.0, weight), own=own)
            loss[weight] += _squared_error(model, encoded[test], labels[test], task.kind)
    return min(loss, key=lambda weight: loss[weight])


def _squared_error(model: Any, rows: Any, labels: Array, kind: str) -> float:
    """Summed over rows: of values, or of probabilities (Brier)."""
    if kind == "regression":
        return float(((labels - model.predict(rows)) ** 2).sum())
    hits = labels[:, None] == model.classes_[None, :]
    return float(((hits - model.predict_proba(rows)) ** 2).sum())


def _data_of(sources: Sequence[Source]) -> Task:
    [source] = sources
    if source.data is None:
        raise NotApplicable(f"it needs the source's data, and {source.name} brings a model only.")
    return source.data


def _of_other_inputs(task: Task) -> NotApplicable | None:
    """Only inputs that can be put below each other: a plug-in's are of its own kind."""
    if isinstance(task.inputs, Table | Texts) or hasattr(task.inputs, "__array__"):
        return None
    return NotApplicable(f"{task.modality} inputs cannot be joined.")


def _shared_rows(data: Task, task: Task) -> tuple[NDArray[np.int64], Array]:
    """The source's rows of the target's classes, shape (M,), and their labels as the target's."""
    if task.kind == "regression":
        return np.arange(len(data)), data.labels
    place_Z = np.full(len(data.classes), -1)
    for place, label in enumerate(task.classes):
        place_Z[match_label(label, data.classes)] = place
    places = place_Z[data.targets]
    rows = np.flatnonzero(places >= 0)
    names = np.array([*task.classes, None], dtype=object)[:-1].astype(task.labels.dtype)
    return rows, names[places[rows]]


def _joined(first: Any, second: Any) -> Inputs:
    """Rows of one below those of the other; of tables the first one's columns."""
    if isinstance(first, Table):
        columns = ((n, (c, second.columns[n])) for n, c in first.columns.items())
        return Table({name: np.concatenate(both) for name, both in columns})
    if isinstance(first, Texts):
        return Texts([*first.tolist(), *second.tolist()])
    both: Inputs = np.concatenate([np.asarray(first), np.asarray(second)])
    return both
