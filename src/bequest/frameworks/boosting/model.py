"""Boosted trees of LightGBM, XGBoost or CatBoost as a model.

N rows, D columns, C classes, T trees.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Card, Inputs, InputSpec, Label, Model, Table, Task, as_inputs
from bequest.core.feature_cache import cached
from bequest.core.model import plain_labels
from bequest.core.table import ColumnKind, absent_columns
from bequest.errors import BequestError, DataError, ModelError, NotApplicable
from bequest.frameworks.boosting.catboost_trees import CatBoost
from bequest.frameworks.boosting.files import library_module, read_trees
from bequest.frameworks.boosting.library import Booster, Growth, TreeLibrary
from bequest.frameworks.boosting.lightgbm_trees import LightGBM
from bequest.frameworks.boosting.rows import columns_in, rows_of
from bequest.frameworks.boosting.xgboost_trees import XGBoost
from bequest.frameworks.encoders.columns import table_spec
from bequest.frameworks.files.folder import spec_from_config, write_folder

__all__ = ["BoostedTrees", "load_boosted", "wrap_boosted"]

Array = NDArray[Any]
LIBRARIES: Mapping[str, TreeLibrary] = {
    one.name: one for one in (LightGBM(), XGBoost(), CatBoost())
}
WIDEST = 512  # columns of features


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BoostedTrees(Model):
    """Fitted trees with the columns, categories and labels that they know.

    `bequest.wrap` makes one.

    Parameters
    ----------
    booster : Booster
        The trees, and what they read; its classes stand in the order of the probabilities.
    library : str
        lightgbm, xgboost or catboost.
    card : Card
    classes : tuple, optional
        Labels in place of the booster's own, in its order.

    Examples
    --------
    >>> import numpy as np, lightgbm
    >>> X, y = np.arange(40.0)[:, None], np.arange(40) >= 20
    >>> trees = lightgbm.LGBMClassifier(min_child_samples=5, verbosity=-1).fit(X, y)
    >>> model = wrap_boosted(trees, name="trees").labelled({False: "low", True: "high"})
    >>> model.predict([[3.0], [33.0]]).tolist()
    ['low', 'high']
    """

    booster: Booster = field(kw_only=False)
    library: str
    card: Card
    classes: tuple[Label, ...] = ()
    spec: InputSpec = field(init=False)

    def __post_init__(self) -> None:
        labels = plain_labels(self.classes) or self.booster.classes
        if len(labels) != len(self.booster.classes):
            raise ModelError(
                f"the trees know {len(self.booster.classes)} classes, {len(labels)} are named."
            )
        object.__setattr__(self, "classes", labels)
        object.__setattr__(self, "spec", _spec(self.booster))

    def no_network(self) -> str:
        """What the trees are."""
        return f"{self.name or 'this model'} is made of trees of {self.library}, no torch network"

    def to_onnx(self, path: str | Path) -> None:
        """Refused: `NotApplicable` that says what converts trees."""
        own = 'model.booster.trees.save_model("trees.onnx", format="onnx")'
        other = f"onnxmltools.convert_{self.library} converts them"
        raise NotApplicable(f"{self.no_network()}: {own if self.library == 'catboost' else other}.")

    def with_columns(self, columns: Sequence[str]) -> BoostedTrees:
        """The same trees with these names for the columns that they read, in their order."""
        known = self.booster
        names = table_spec(columns, known.width, self._title).columns
        levels = dict(zip(known.columns, names, strict=False))
        categories = {levels[one]: of for one, of in known.categories.items()}
        return replace(self, booster=replace(known, columns=names, categories=categories))

    def labelled(self, labels: Mapping[Any, Label]) -> BoostedTrees:
        """The same trees under other labels; each of the classes has one."""
        return replace(self, classes=tuple(labels[one] for one in self.classes))

    def named_as(self, example: Inputs) -> BoostedTrees:
        """The same trees with their columns named as in a table that they can read."""
        self.output(example)
        if not isinstance(example, Table):
            return self
        known = self.booster
        found = columns_in(known.columns, example.names, self._library.plain_name)
        names = dict(zip(known.columns, map(str, found), strict=True))
        if tuple(names.values()) == known.columns:
            return self
        categories = {names[one]: levels for one, levels in known.categories.items()}
        booster = replace(known, columns=tuple(names.values()), categories=categories)
        return replace(self, booster=booster)

    @property
    def _library(self) -> TreeLibrary:
        return LIBRARIES[self.library]

    def applies(self, task: Task) -> NotApplicable | None:
        """None where the task has the columns, under their own names or as the library has them.

        A number may stand for a category, and nothing else for a number.
        """
        if self.spec.modality != "table" or task.modality != "table":
            return self.spec.accepts(task.spec)
        offered = dict(zip(task.spec.columns, task.spec.kinds, strict=False))
        found = columns_in(self.booster.columns, task.spec.columns, self._library.plain_name)
        pairs = list(zip(self.booster.columns, found, strict=True))
        absent = [name for name, column in pairs if column is None]
        if absent:
            return NotApplicable(
                f"the source reads {len(pairs)} columns, {len(absent)} of them not in the task: "
                f"{absent_columns(absent, task.spec.columns)}."
            )
        for name, column in pairs:
            kind = offered.get(column or "", "number")
            if name not in self.booster.categories and kind != "number":
                return NotApplicable(
                    f"the source reads column {name!r} as number, in the task it is {kind}."
                )
        return None

    def rows(self, X: Any) -> Any:
        """The samples as the trees read them: a matrix (N, D), or a DataFrame where some are text.

        Raises
        ------
        DataError
            A column is missing, or does not hold what it should.
        """
        inputs = X if isinstance(X, np.ndarray) and X.ndim == 2 else as_inputs(X)
        if len(inputs) == 0:
            raise DataError("there are no rows to predict.")
        wanted = self.spec.modality
        if isinstance(inputs, Table) != (wanted == "table"):
            raise DataError(f"{self._title} reads {wanted} inputs, not a {type(X).__name__}.")
        rows = rows_of(self.booster, inputs, self._library.plain_name)
        if rows.shape[1] != self.booster.width:
            raise DataError(f"{self._title} reads {self.booster.width} columns: {rows.shape[1]}.")
        return rows

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64, as the library predicts them."""

        def compute(inputs: Inputs) -> Array:
            rows = self.rows(inputs)
            with self._reading():
                return self._library.output(self.booster, rows).astype(np.float64)

        said = cached(self.booster.trees, "output", self._inputs(X), compute)
        shape = (len(said), len(self.classes)) if self.classes else (len(said),)
        if said.shape != shape or not np.isfinite(said).all():
            raise ModelError(f"{self._title} gives values that are not finite, or not {shape}.")
        return said / said.sum(axis=1, keepdims=True) if self.classes else said

    def features(self, X: Any, layer: str | None = None) -> Array:
        """Which leaf of each tree a row falls into: zeros and ones, shape (N, L), float64.

        The first trees are taken whose leaves make 512 columns at most.

        References
        ----------
        He et al., Practical Lessons from Predicting Clicks on Ads at Facebook, ADKDD 2014.
        """
        if layer is not None:
            raise NotApplicable(f"{self._title} has no layer {layer!r}: its features are leaves.")

        def compute(inputs: Inputs) -> Array:
            rows = self.rows(inputs)
            with self._reading():
                leaves = self._library.leaves(self.booster, rows)
            hot = [leaves[:, [tree]] == numbers for tree, numbers in enumerate(self._numbered)]
            return np.concatenate(hot, axis=1).astype(np.float64)

        return cached(self.booster.trees, "leaves", self._inputs(X), compute)

    @cached_property
    def _numbered(self) -> list[Array]:
        """The leaves of the first trees."""
        trees = self._library.leaf_numbers(self.booster)
        ends = np.cumsum([len(numbers) for numbers in trees])
        taken = trees[: max(1, int((ends <= WIDEST).sum()))]
        return [numbers[:WIDEST] for numbers in taken]

    def continued(self, task: Task, columns: Sequence[int], growth: Growth) -> BoostedTrees:
        """These trees and more, fitted to the task's rows; the classes stay.

        `columns` says which of the classes each of the task's is; none for a regression.
        """
        targets = np.asarray(columns)[task.targets] if self.classes else task.targets
        rows = self.rows(task.inputs)
        with self._reading():
            trees = self._library.continued(self.booster, rows, targets, growth)
        return replace(self, booster=replace(self.booster, trees=trees))

    def _inputs(self, X: Any) -> Inputs:
        """An array keeps its precision."""
        return X if isinstance(X, np.ndarray) and X.ndim == 2 else as_inputs(X)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """The libraries' own errors, most of them without a class of their own, as ours."""
        try:
            yield
        except BequestError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise ModelError(f"{self.library} fails on these rows: {said}") from error

    @property
    def _title(self) -> str:
        return self.name or "the model"

    @property
    def structure(self) -> Mapping[str, Any]:
        """The library, and the number of trees."""
        return {"trees": self.library, "number": len(self._library.leaf_numbers(self.booster))}

    def parts(self) -> tuple[object, ...]:
        """The library's object."""
        return (self.booster.trees,)

    def save(self, folder: str | Path) -> None:
        """Write the library's text or JSON beside a config of columns, categories and labels."""
        known = self.booster
        config = {
            "library": self.library,
            "spec": asdict(self.spec),
            "width": known.width,
            "categories": {name: list(levels) for name, levels in known.categories.items()},
            "own_classes": list(known.classes),
            "classes": list(self.classes),
            "structure": dict(self.structure),
        }
        write_folder(
            folder,
            kind="boosted-trees",
            config=config,
            card=self.card,
            write=lambda place: self._library.write(known, place / self._library.file),
        )


def wrap_boosted(
    trained: Any, *, name: str, classes: Sequence[Label] | None = None
) -> BoostedTrees | None:
    """Make a model of a fitted model of LightGBM, XGBoost or CatBoost; None where it is none.

    `classes` name the outputs of one that knows none of its own, in their order.

    Raises
    ------
    ModelError
        It is not fitted, or ranks, or gives several answers a row.
    """
    for library in LIBRARIES.values():
        module = sys.modules.get(library.name)
        if module is not None and library.owns(trained, module):
            booster = library.read(trained, module)
            return BoostedTrees(
                booster, library=library.name, classes=tuple(classes or ()), card=Card(name=name)
            )
    return None


def load_boosted(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> BoostedTrees:
    """Build the model of a folder whose config was read; its trees are checked first.

    Raises
    ------
    ModelError
        The trees are damaged, or do not fit the config.
    MissingExtra
        The library is not installed.
    """
    library = LIBRARIES[config["library"]]
    library_module(library)
    spec = spec_from_config(config["spec"])
    categories = {str(one): tuple(map(str, two)) for one, two in config["categories"].items()}
    known = plain_labels(config["own_classes"])
    width = int(config["width"])
    coded = [place for place, name in enumerate(spec.columns) if name in categories]
    path = folder / library.file
    trees = read_trees(path, library, width, coded, regression=not known)
    booster = Booster(trees, spec.columns, width, categories, known)
    labels = tuple(config["classes"])
    return BoostedTrees(booster, library=library.name, classes=labels, card=card)


def _spec(booster: Booster) -> InputSpec:
    if not booster.columns:
        return InputSpec("vector", (booster.width,))
    kinds: list[ColumnKind] = [
        "category" if name in booster.categories else "number" for name in booster.columns
    ]
    return InputSpec("table", None, booster.columns, tuple(kinds))
