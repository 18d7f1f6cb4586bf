"""What a graph knows of its entities, as features of whatever table names them.

N entities, R relations, D numbers a vector, B rows, C columns that name entities.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from bequest.core import Card, Inputs, InputSpec, Label, Model, Registry, Table, Task, as_inputs
from bequest.core.wording import pluralise
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.frameworks.files.folder import read_json, spec_from_config, write_folder
from bequest.frameworks.files.weights import read_weights, write_weights

__all__ = ["SCORINGS", "EntityFeatures", "load_entities"]

Array = NDArray[Any]
logger = logging.getLogger(__name__)

SCORINGS: Registry[Any] = Registry(
    "scoring of triples",
    {
        "transe": "bequest.nets.transe:TRANSE",
        "distmult": "bequest.nets.distmult:DISTMULT",
        "complex": "bequest.nets.complex:COMPLEX",
    },
    group="bequest.scorings",
)
NAMES = "names.json"
NAMES_LIMIT = 2**28  # bytes


@final
@dataclass(frozen=True, eq=False)
class EntityFeatures(Model):
    """Vectors of the entities of a graph: a source of features for tables that name entities.

    Made by `bequest.embed`. It has no head and predicts nothing by itself: with
    ``.on("country")`` it reads a table's column and is a source as any other.

    Parameters
    ----------
    entities : sequence of str
        N names, none twice.
    vectors : array of float32, shape (N, D)
    relations : sequence of str
        R names.
    relation_vectors : array of float32, shape (2 R, D)
        Each relation, then each one backwards, from tail to head.
    scoring : str
        A key of `SCORINGS`: what the vectors were trained for.
    columns : sequence of str
        The C columns of a table that name entities.
    card : Card

    Raises
    ------
    ModelError
        Names and vectors differ in number, or a name stands twice.

    Examples
    --------
    >>> features = EntityFeatures(
    ...     ["lyon", "paris"], np.array([[0.0, 1.0], [1.0, 1.0]]), ["in"], np.zeros((2, 2)),
    ...     scoring="distmult", card=Card(name="places"),
    ... )
    >>> features.of(["paris", "rome"]).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    >>> features.on("city").features({"city": ["paris", "rome"], "size": [2.1, 2.8]}).tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """

    entities: tuple[str, ...]
    vectors: Array
    relations: tuple[str, ...]
    relation_vectors: Array
    _: KW_ONLY
    scoring: str
    card: Card
    columns: tuple[str, ...] = ()
    spec: InputSpec = field(init=False)
    classes: tuple[Label, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        for name in ("entities", "relations", "columns"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("vectors", "relation_vectors"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        object.__setattr__(self, "spec", InputSpec("table", None, self.columns))
        title = self.name or "the features"
        if len(self._place) < len(self.entities) or len(self._relation) < len(self.relations):
            raise ModelError(f"{title}: an entity, or a relation, stands twice.")
        if self.vectors.ndim != 2 or not self.vectors.size:
            raise ModelError(f"{title}: vectors of shape {self.vectors.shape}, not (N, D).")
        rows, width = (len(self.entities), 2 * len(self.relations)), self.vectors.shape[1]
        for count, found in zip(rows, (self.vectors, self.relation_vectors), strict=True):
            if found.shape != (count, width):
                raise ModelError(f"{title}: vectors of shape {found.shape}, not {(count, width)}.")

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.entities)}

    @cached_property
    def _relation(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.relations)}

    def __repr__(self) -> str:
        on = f", on {', '.join(self.columns)}" if self.columns else ""
        sizes = f"{len(self.entities)} entities, {self.vectors.shape[1]} numbers each"
        return f"EntityFeatures({self.name!r}, {sizes}, {self.scoring}{on})"

    def of(self, ids: Any) -> Array:
        """The vectors of these entities, zeros for those that the graph does not have.

        Parameters
        ----------
        ids : sequence of B names
            Numbers count as the text that they are written as: 3 is ``"3"``.

        Returns
        -------
        array of float32, shape (B, D)
        """
        return self._taken(self._places(_as_text(ids)))

    def knows(self, ids: Any) -> NDArray[np.bool_]:
        """Which of these entities the graph has, shape (B,)."""
        return np.asarray(self._places(_as_text(ids)) >= 0)

    def score(self, heads: Any, relations: Any, tails: Any) -> Array:
        """How much the graph's embedding believes in these triples; higher is more.

        Parameters
        ----------
        heads, relations, tails : sequences of B names each

        Returns
        -------
        array of float64, shape (B,)
            Without a unit: compare triples of one relation only. The mean of both directions.

        Raises
        ------
        DataError
            An entity or a relation is not in the graph.
        """
        scoring = SCORINGS[self.scoring]
        head, tail = (_known(self._place, names, "entity") for names in (heads, tails))
        relation = _known(self._relation, relations, "relation")
        entities, both = torch.from_numpy(self.vectors), torch.from_numpy(self.relation_vectors)
        back = relation + len(self.relations)
        there = scoring.score(entities[head], both[relation], entities[tail])
        home = scoring.score(entities[tail], both[back], entities[head])
        return np.asarray(((there + home) / 2).double().numpy())

    def on(self, *columns: str) -> EntityFeatures:
        """The same features, read from these columns of a table: a source for `bequest.transfer`.

        Parameters
        ----------
        columns : str
            Each names one entity a row, such as ``"country"`` or ``"sender", "receiver"``.
        """
        if not columns or not all(isinstance(name, str) for name in columns):
            raise DataError("name the columns that hold entities: features.on('country').")
        return replace(self, columns=columns)

    def features(self, X: Any, layer: str | None = None) -> Array:
        """Vectors of the entities that the columns name, and whether each is known.

        Parameters
        ----------
        X : Table, DataFrame, mapping of columns
            B rows.
        layer : None
            There is one only.

        Returns
        -------
        array of float32, shape (B, C (D + 1))
            For each column D numbers and a 1, or zeros where the graph has no such entity.

        Raises
        ------
        NotApplicable
            The columns are not named yet, or a layer is asked for.
        DataError
            A column is missing.
        """
        if not self.columns or layer is not None:
            raise NotApplicable(
                f"{self.name or 'this graph'} does not say which column names its entities: "
                "features.on('column') does."
            )
        places = [self._places(column) for column in self._named(as_inputs(X))]
        parts = [np.hstack([self._taken(place), (place >= 0)[:, None]]) for place in places]
        return np.hstack(parts).astype(np.float32)

    def applies(self, task: Task) -> NotApplicable | None:
        """None where the task's table has the columns, and one row in ten names a known entity."""
        if not self.columns:
            return NotApplicable(
                "it does not say which column names its entities: features.on('column') does."
            )
        refused = super().applies(task)
        if refused is not None or not len(task):
            return refused
        for name, column in zip(self.columns, self._named(task.inputs), strict=True):
            known = self._places(column) >= 0
            if known.mean() < 0.1:
                return NotApplicable(self._strangers(name, column, known))
        return None

    def join(self, given: Any) -> Any:
        """The same task, or table, with the features as columns of numbers, for any method.

        Parameters
        ----------
        given : Task or Table, DataFrame, mapping of columns
            A task's held-out rows get them, too. A model of a joined task predicts joined tables.

        Returns
        -------
        Task or Table
            With D + 1 further columns for each column that names entities: ``"country: 0"`` to
            ``"country: known"``.

        Raises
        ------
        DataError
            A column is missing, has a name that the new ones need, or names hardly any entity.
        """
        if isinstance(given, Task):
            refused = self.applies(given)
            if refused is not None:
                raise DataError(f"{self.name or 'the graph'} cannot be joined: {refused.reason}")
            test = None if given.test is None else self.join(given.test)
            return replace(given, inputs=self.join(given.inputs), test=test)
        table = as_inputs(given)
        features = self.features(table).astype(np.float64)
        assert isinstance(table, Table)
        numbers = [*map(str, range(self.vectors.shape[1])), "known"]
        names = [f"{column}: {number}" for column in self.columns for number in numbers]
        taken = sorted(set(names) & set(table.names))
        if taken:
            raise DataError(f"the table has a column {taken[0]!r} already: it was joined before.")
        self._tell(features[:, self.vectors.shape[1] :: len(numbers)])
        return Table({**table.columns, **dict(zip(names, features.T, strict=True))})

    def parameters(self) -> Mapping[str, Array]:
        """The vectors of entities and of relations."""
        return {"entities": self.vectors, "relations": self.relation_vectors}

    @property
    def structure(self) -> Mapping[str, Any]:
        """Scoring and sizes."""
        numbers = int(self.vectors.shape[1])
        return {"scoring": self.scoring, "entities": len(self.entities), "dim": numbers}

    def save(self, folder: str | Path) -> None:
        """Write a model folder: vectors as safetensors, names as JSON."""
        names = {"entities": self.entities, "relations": self.relations}

        def write(place: Path) -> None:
            tensors = {name: torch.from_numpy(values) for name, values in self.parameters().items()}
            write_weights(place / "model.safetensors", tensors)
            (place / NAMES).write_text(json.dumps(names, ensure_ascii=True), encoding="utf-8")

        config = {"scoring": self.scoring, "spec": asdict(self.spec)}
        write_folder(folder, kind="entities", config=config, card=self.card, write=write)

    def _places(self, names: Iterable[Any]) -> NDArray[np.int64]:
        return np.array([self._place.get(name, -1) for name in names], dtype=np.int64)

    def _taken(self, places: NDArray[np.int64]) -> Array:
        return np.asarray(np.where(places[:, None] >= 0, self.vectors[places], np.float32(0)))

    def _named(self, inputs: Inputs) -> list[Array]:
        if not isinstance(inputs, Table):
            raise DataError("a graph's features are for tables, whose columns name entities.")
        absent = [name for name in self.columns if name not in inputs.names]
        if absent:
            raise DataError(f"the table lacks columns that name entities: {', '.join(absent)}.")
        chosen = inputs.select(self.columns).cast(dict.fromkeys(self.columns, "category"))
        return list(chosen.columns.values())

    def _strangers(self, name: str, column: Array, known: NDArray[np.bool_]) -> str:
        strange = next((str(value) for value in column[~known] if value is not None), "")
        close = difflib.get_close_matches(strange, self.entities[:10_000], n=1, cutoff=0.3)
        return (
            f"of {pluralise(len(known), 'row')}, {known.sum()} name an entity of the graph in "
            f"column {name!r}: {strange[:60]!a} is none of {len(self.entities)}, such as "
            f"{(close or self.entities)[0][:60]!a}. Name them as the graph does."
        )

    def _tell(self, known: Array) -> None:
        for name, column in zip(self.columns, known.T, strict=True):
            if not column.all():
                logger.warning(
                    "column %r: %d of %s name no entity of the graph, and get zeros.",
                    *(name, int((column == 0).sum()), pluralise(len(column), "row")),
                )


def load_entities(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> EntityFeatures:
    """Load what `EntityFeatures.save` wrote."""
    tensors = read_weights(folder / "model.safetensors")
    names = _read_names(folder / NAMES)
    return EntityFeatures(
        tuple(names["entities"]),
        tensors["entities"].numpy(),
        tuple(names["relations"]),
        tensors["relations"].numpy(),
        scoring=str(config["scoring"]),
        columns=spec_from_config(config["spec"]).columns,
        card=card,
    )


def _read_names(path: Path) -> dict[str, list[str]]:
    names = read_json(path, NAMES_LIMIT)
    if set(names) != {"entities", "relations"}:
        raise ModelError(f"{path} does not hold the names of entities and relations.")
    for held in names.values():
        if not isinstance(held, list) or not all(type(name) is str for name in held):
            raise ModelError(f"{path} holds something else than lists of names.")
    return names


def _as_text(ids: Any) -> list[Any]:
    if isinstance(ids, str):
        raise DataError(f"one name is no list of names: give [{ids!r}].")
    names: list[Any] = Table({"id": ids}).cast({"id": "category"}).columns["id"].tolist()
    return names


def _known(places: Mapping[str, int], names: Any, what: str) -> torch.Tensor:
    found = []
    for name in _as_text(names):
        if name not in places:
            close = difflib.get_close_matches(str(name), list(places)[:10_000], n=1)
            hint = f" Did you mean {close[0]!a}?" if close else ""
            raise DataError(f"the graph has no {what} {str(name)[:60]!a}.{hint}")
        found.append(places[name])
    return torch.tensor(found, dtype=torch.long)
