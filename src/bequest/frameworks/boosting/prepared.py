"""Boosted trees at the end of a pipeline of scikit-learn.

N rows, C classes, L leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from bequest.core import Card, InputSpec, Label, Model, as_inputs
from bequest.core.model import plain_labels
from bequest.errors import DataError, ModelError
from bequest.frameworks.boosting.model import BoostedTrees, wrap_boosted
from bequest.frameworks.combined.nested import load_inside, save_inside
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.frameworks.files.folder import spec_from_config, write_folder
from bequest.frameworks.sklearn.file import read_estimator, write_estimator
from bequest.frameworks.sklearn.model import estimator_spec
from bequest.frameworks.sklearn.parts import described, estimator_inputs, title

__all__ = ["PreparedTrees", "load_prepared", "wrap_prepared"]

Array = NDArray[Any]
FILE = "steps.skops"
TREES = "trees"


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PreparedTrees(Model):
    """Trees that read what the fitted steps before them in a pipeline make of a row.

    `bequest.wrap` makes one.

    Parameters
    ----------
    trees : BoostedTrees
    steps : Pipeline
        The fitted steps before the trees, transformers all of them.
    spec : InputSpec
        What the first step takes.
    card : Card
    """

    trees: BoostedTrees = field(kw_only=False)
    steps: Any
    spec: InputSpec
    card: Card
    classes: tuple[Label, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", self.trees.classes)

    def rows(self, X: Any) -> Any:
        """The samples as the trees read them: a matrix, or a DataFrame where the steps make one.

        Raises
        ------
        DataError
            The steps cannot read `X`.
        """
        inputs = X if isinstance(X, np.ndarray) and X.ndim == 2 else as_inputs(X)
        if len(inputs) == 0:
            raise DataError("there are no rows to predict.")
        with self._reading():
            made = self.steps.transform(estimator_inputs(self.steps, inputs))
        return _dense(made, self.trees.library) if issparse(made) else made

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError) as error:
            problem = " ".join(str(error).split())[:200]
            raise DataError(
                f"{self.name or 'the model'} cannot read the inputs: {problem}"
            ) from error

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64, as the trees predict them."""
        return self.trees.output(self.rows(X))

    def features(self, X: Any, layer: str | None = None) -> Array:
        """The leaves of the trees, (N, L), as `BoostedTrees.features`."""
        return self.trees.features(self.rows(X), layer)

    @property
    def structure(self) -> Mapping[str, Any]:
        """The trees', and the steps before them."""
        steps = {name: described(step) for name, step in self.steps.steps}
        return {**self.trees.structure, "steps": steps}

    def parts(self) -> tuple[object, ...]:
        """The trees' object."""
        return self.trees.parts()

    def inner(self) -> tuple[Model, ...]:
        """The trees."""
        return (self.trees,)

    def save(self, folder: str | Path) -> None:
        """Write the steps as skops, and the trees into a folder of their own inside this one."""

        def write(place: Path) -> None:
            write_estimator(place / FILE, self.steps)
            save_inside(self.trees, place / TREES)

        config = {"spec": asdict(self.spec)}
        write_folder(folder, kind="prepared-trees", config=config, card=self.card, write=write)


def _dense(made: Any, library: str) -> Array:
    """A sparse matrix (N, D) as the library reads it: what is absent is missing to XGBoost."""
    if library != "xgboost":
        return np.asarray(made.toarray(), dtype=np.float64)
    entries = made.tocoo()
    dense = np.full(made.shape, np.nan)
    dense[entries.row, entries.col] = entries.data
    return dense


def wrap_prepared(
    trained: Any, *, name: str, classes: Sequence[Label] | None = None, example: Any = None
) -> Model | None:
    """Make a model of a fitted pipeline that ends in boosted trees; None where it is none.

    Of a finished search (`GridSearchCV` and its like) the best estimator is taken, trees alone too.

    Raises
    ------
    ModelError
        `classes` are not those of the trees.
    """
    if isinstance(trained, BaseSearchCV):
        best = getattr(trained, "best_estimator_", None)
        alone = None if best is None else wrap_boosted(best, name=name)
        return alone or wrap_prepared(best, name=name, classes=classes, example=example)
    if not isinstance(trained, Pipeline) or len(trained.steps) < 2:
        return None
    trees = wrap_boosted(trained.steps[-1][1], name=name)
    if trees is None:
        return None
    spec = estimator_spec(trained, example)
    model = PreparedTrees(trees, steps=trained[:-1], spec=spec, card=Card(name=name))
    if example is not None:
        model.output(example)
    return model if classes is None else _in_order(model, plain_labels(classes))


def _in_order(model: PreparedTrees, classes: tuple[Label, ...]) -> Model:
    if sorted(map(str, classes)) != sorted(map(str, model.classes)):
        raise ModelError(
            f"{title(model.steps)} predicts {list(model.classes)[:10]}, classes names "
            f"{list(classes)[:10]}."
        )
    if classes == model.classes:
        return model
    columns = [model.classes.index(label) for label in classes]
    even = [1.0] * len(classes)
    return Relabelled(model, classes=classes, columns=columns, weights=even, card=model.card)


def load_prepared(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> PreparedTrees:
    """Load the steps, checked as an estimator's, then the trees.

    Raises
    ------
    ModelError
        Either of them is damaged, or is no such thing.
    """
    steps = read_estimator(folder / FILE)
    trees = load_inside(folder, TREES)
    if not isinstance(steps, Pipeline) or not isinstance(trees, BoostedTrees):
        raise ModelError(f"{folder} holds no pipeline that ends in trees.")
    return PreparedTrees(trees, steps=steps, spec=spec_from_config(config["spec"]), card=card)
