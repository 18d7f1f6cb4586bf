"""Make features of the entities of a graph."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

import numpy as np

from bequest.api.verbs import generator
from bequest.core import Card, TaskSummary
from bequest.core.validation import is_seconds
from bequest.core.wording import pluralise
from bequest.data.triples import Triples, read_triples, triples_from_rdf
from bequest.errors import BudgetTooSmall, DataError
from bequest.executors.local import single_threaded
from bequest.frameworks.combined.entities import SCORINGS, EntityFeatures
from bequest.hub import Hub
from bequest.nets.scoring import Scoring
from bequest.training.link_ranks import filtered_ranks, rank_summary
from bequest.training.triples import Fit, TriplesLoop, fit_triples

__all__ = ["embed"]

logger = logging.getLogger(__name__)

ALL_ENTITIES = 10_000  # up to so many, the true one is held against all of them
QUERIES = 20_000_000  # that the passes over a large graph are worth
LARGEST = 4 * 2**30  # bytes of all vectors
ONE_THREAD = 2**22  # scores a batch, up to which one thread trains fastest


def embed(
    triples: Any,
    *,
    model: str = "complex",
    dim: int = 64,
    epochs: int | None = None,
    budget: float = 300.0,
    test: Any = None,
    name: str | None = None,
    seed: int = 0,
) -> EntityFeatures:
    """Learn a vector for each entity of a graph from how it is related to others.

    Parameters
    ----------
    triples : path, DataFrame, sequence of (head, relation, tail), or Hub
        A file of three columns (.csv, .tsv, .txt) or RDF (.nt, .nq, .ttl, .trig, .n3, .jsonld,
        .rdf, .owl), whose literals are left out. A hub's own graph has its models, tasks, methods
        and outcomes as entities.
    model : {"complex", "distmult", "transe"}
        What makes a triple likely: ComplEx suits relations of any kind; DistMult cannot tell head
        from tail; TransE moves heads to tails by one vector a relation.
    dim : int
        Numbers a vector, 2 and more; even for ComplEx.
    epochs : int, optional
        Passes over the triples; where left out, 100, and fewer over more than 100,000 triples.
    budget : float
        Seconds; passes that would go beyond it are left out, and the log says so.
    test : like `triples`, optional
        Triples held out: they train nothing, and the card tells how well they are ranked (filtered,
        over both sides: ``mrr``, ``hits@1``, ``hits@3``, ``hits@10``).
    name : str, optional
        The file's stem where left out.
    seed : int
        Same seed, machine and versions, and a budget that is not used up: same vectors, in
        whatever order the triples come.

    Returns
    -------
    EntityFeatures
        ``.on("column")`` makes it a source for `bequest.transfer`; ``.of(names)`` gives vectors.

    Raises
    ------
    DataError
        The triples cannot be used as given, `dim` or `epochs` is no such number, or the vectors
        would take more than 4 GiB.
    UnknownName
        No such model.
    BudgetTooSmall
        Not one pass could be done.

    References
    ----------
    Bordes et al., NeurIPS 2013 (TransE); Yang et al., ICLR 2015 (DistMult); Trouillon et al.,
    ICML 2016 (ComplEx); Lacroix et al., ICML 2018 (how they are trained).

    Examples
    --------
    >>> places = [("paris", "in", "france"), ("lyon", "in", "france"), ("rome", "in", "italy")]
    >>> cities = embed(places, dim=8, name="places")
    >>> cities
    EntityFeatures('places', 5 entities, 8 numbers each, complex)
    >>> there = cities.score(["rome", "rome"], ["in", "in"], ["italy", "france"])
    >>> bool(there[0] > there[1])
    True
    """
    scoring: Scoring = SCORINGS[model]
    _check(scoring, dim, epochs, budget)
    rng = generator(seed)
    graph = _graph(triples, name)
    held = None if test is None else _held_out(_graph(test, None), graph)
    sizes = (len(graph.entities), len(graph.relations))
    _check_size(int(dim), *sizes)
    loop = _loop(graph, dim, epochs)
    small = (loop.negatives or sizes[0]) * loop.batch <= ONE_THREAD
    with single_threaded() if small else nullcontext():
        fit = fit_triples(scoring, graph.rows, sizes, loop, rng=rng, seconds=budget)
        metrics = {} if held is None else _metrics(scoring, fit, graph, held)
    said = TaskSummary(name=graph.name, rows=len(graph), entities=sizes[0], relations=sizes[1])
    settings = {"model": model, "dim": dim, "epochs": fit.epochs, "pull": loop.pull, "lr": loop.lr}
    card = Card(name=graph.name, task=said, metrics=metrics, method="embed", settings=settings)
    vectors = (fit.entities.numpy(), graph.relations, fit.relations.numpy())
    return EntityFeatures(graph.entities, *vectors, scoring=model, card=card)


def _check(scoring: Scoring, dim: Any, epochs: Any, budget: Any) -> None:
    if not isinstance(dim, int | np.integer) or dim < 2 or (scoring.pairs and dim % 2):
        even = " and even" if scoring.pairs else ""
        raise DataError(f"dim must be a whole number above 1{even}, it is {dim!r}.")
    whole = isinstance(epochs, int | np.integer) and not isinstance(epochs, bool)
    if epochs is not None and (not whole or epochs < 1):
        raise DataError(f"epochs must be a whole number above zero, it is {epochs!r}.")
    if not is_seconds(budget):
        raise BudgetTooSmall(f"the budget must be a number of seconds above zero, not {budget!r}.")


def _check_size(dim: int, entities: int, relations: int) -> None:
    size = 4 * dim * (entities + relations)
    if size > LARGEST:
        raise DataError(
            f"{entities} entities and {relations} relations with {dim} numbers each take "
            f"{size} bytes, {LARGEST} are the most: training takes some four times that. Give a "
            f"smaller dim."
        )


def _graph(given: Any, name: str | None) -> Triples:
    if isinstance(given, Hub):
        return triples_from_rdf(given.export("nt").encode(), ".nt", name or "hub")
    graph = read_triples(given)
    return graph if name is None else Triples(graph.entities, graph.relations, graph.rows, name)


def _held_out(test: Triples, graph: Triples) -> np.ndarray:
    rows, unknown = test.among(graph)
    if not len(rows):
        raise DataError(
            f"none of the {len(test)} held-out triples has entities and a relation that the "
            f"{len(graph)} triples know."
        )
    if unknown:
        logger.warning(
            "%s of the held-out ones left out: the graph does not know an entity of them.",
            pluralise(unknown, "triple"),
        )
    return rows


def _loop(graph: Triples, dim: int, epochs: int | None) -> TriplesLoop:
    passes = int(np.clip(QUERIES / (2 * len(graph)), 1, 100)) if epochs is None else int(epochs)
    if len(graph.entities) <= ALL_ENTITIES:
        return TriplesLoop(dim=int(dim), epochs=passes)
    # few passes: a large step, and a strong pull against learning triples by heart
    return TriplesLoop(dim=int(dim), epochs=passes, batch=1024, lr=0.3, pull=0.05, negatives=256)


def _metrics(scoring: Scoring, fit: Fit, graph: Triples, held: np.ndarray) -> dict[str, float]:
    known = np.concatenate([graph.rows, held])
    ranks = filtered_ranks(scoring, fit.entities, fit.relations, held, known)
    return rank_summary(ranks)
