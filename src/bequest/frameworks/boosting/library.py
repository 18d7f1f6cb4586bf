"""What bequest asks of a library of boosted trees.

N rows, D columns, C classes, T trees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Label
from bequest.errors import ModelError

__all__ = ["Booster", "Growth", "TreeLibrary"]

Array = NDArray[Any]
ANY: tuple[str, ...] = ()  # levels of a category whose library takes any text


@final
@dataclass(frozen=True)
class Booster:
    """A library's trees, and what they read.

    Parameters
    ----------
    trees : Any
        The library's own object, which nothing changes.
    columns : tuple of str
        The D columns in the order of the trees; empty where they were fitted on an array.
    width : int
        D.
    categories : mapping of str to tuple of str
        Of the columns that hold categories the levels in the order of their codes; no levels where
        the library takes any text.
    classes : tuple
        C labels in the order of the probabilities; empty for regression.
    """

    trees: Any
    columns: tuple[str, ...]
    width: int
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[Label, ...] = ()


@final
@dataclass(frozen=True)
class Growth:
    """How trees are added: rounds of boosting, step size, least rows in a leaf, seed."""

    rounds: int
    lr: float
    leaf: int
    seed: int


class TreeLibrary(ABC):
    """One of the libraries; final subclasses without fields.

    Attributes
    ----------
    name, package : str
        What is imported, and what pip installs.
    file : str
        Name of the file in a model folder.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    file: ClassVar[str]

    @abstractmethod
    def owns(self, trained: Any, module: Any) -> bool:
        """Whether it is a fitted model of the library, whose module is given."""

    @abstractmethod
    def read(self, trained: Any, module: Any) -> Booster:
        """A copy of its trees that ends at the best round; `ModelError` where it has none."""

    def plain_name(self, column: str) -> str:
        """What the library makes of a column's name."""
        return column

    @abstractmethod
    def output(self, booster: Booster, rows: Any) -> Array:
        """Probabilities (N, C) or values (N,) of rows as `bequest.frameworks.boosting.rows`."""

    @abstractmethod
    def leaves(self, booster: Booster, rows: Any) -> Array:
        """The leaf of each tree, int, shape (N, T)."""

    @abstractmethod
    def leaf_numbers(self, booster: Booster) -> list[Array]:
        """Of each tree the numbers that its leaves have in `leaves`."""

    @abstractmethod
    def write(self, booster: Booster, path: Path) -> None:
        """Write the trees as the library's own text or JSON."""

    @abstractmethod
    def load(self, path: Path, module: Any, *, regression: bool) -> Any:
        """The trees of a file that was checked."""

    @abstractmethod
    def check(self, text: str, width: int) -> None:
        """Raise `ModelError` where the text holds trees that cannot be walked."""

    @abstractmethod
    def continued(self, booster: Booster, rows: Any, targets: Array, growth: Growth) -> Any:
        """The trees, and more of them fitted to the rows.

        `targets` are places among the booster's classes (N,), or values (N,).
        """


def check_tree(left: Sequence[int], right: Sequence[int], nodes: int, what: str) -> None:
    """Raise `ModelError` unless children lead from node 0 to each node once, and nowhere else.

    A tree that leads back into itself never ends, and one that leads out of its arrays reads
    memory that is not its own; the libraries check neither.

    Parameters
    ----------
    left, right : sequence of int
        Of each of the nodes its children; both below zero at a leaf.
    nodes : int
        How many there are.
    what : str
        Begins the message.
    """
    seen = np.zeros(nodes, dtype=bool)
    waiting = [0]
    while waiting:
        node = waiting.pop()
        if not 0 <= node < nodes or seen[node]:
            raise ModelError(f"{what} has a node that is not there, or is reached twice.")
        seen[node] = True
        children = (left[node], right[node])
        if min(children) >= 0:
            waiting += children
        elif max(children) >= 0:
            raise ModelError(f"{what} has a node with one child.")
