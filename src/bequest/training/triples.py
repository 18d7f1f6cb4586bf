"""Train vectors of entities and relations, so that the triples of a graph score above others.

M triples, N entities, R relations, D numbers a vector, B triples a batch, K negatives.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bequest.errors import BudgetTooSmall, ModelError
from bequest.nets.scoring import Scoring
from bequest.training.link_ranks import backwards

__all__ = ["Fit", "TriplesLoop", "fit_triples"]

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class TriplesLoop:
    """How an embedding is trained.

    Parameters
    ----------
    dim : int
        D; even for complex numbers.
    epochs : int
        Passes over all triples.
    batch : int
    lr : float
        Step size of Adagrad.
    pull : float
        Weight of the cubed sizes of numbers (N3), which keeps vectors small; none for distances.
    negatives : int
        K: entities drawn for a batch, which all of its triples share. 0: all entities.
    """

    dim: int = 64
    epochs: int = 100
    batch: int = 256
    lr: float = 0.1
    pull: float = 0.02
    negatives: int = 0


@final
@dataclass(frozen=True)
class Fit:
    """What training gave: vectors, how many passes were done, and the loss of the last one.

    The entities are (N, D), the relations (2 R, D): each one, then each one backwards, from tail to
    head. The loss is in nats a query, and the pull.
    """

    entities: Tensor
    relations: Tensor
    epochs: int
    loss: float


def fit_triples(
    scoring: Scoring,
    rows: NDArray[np.int64],
    sizes: tuple[int, int],
    loop: TriplesLoop,
    *,
    rng: np.random.Generator,
    seconds: float = math.inf,
) -> Fit:
    """Train by cross-entropy: the true tail among all entities, or among drawn ones.

    The head is the tail of the relation backwards, which has a vector of its own.

    Parameters
    ----------
    scoring : Scoring
    rows : array of int, shape (M, 3)
        Places of head, relation and tail.
    sizes : (N, R)
    loop : TriplesLoop
    rng : numpy.random.Generator
        The only source of randomness.
    seconds : float
        Whole passes are done as long as there is time for another.

    Raises
    ------
    BudgetTooSmall
        Not even one pass could be done.
    ModelError
        The loss is not finite.

    References
    ----------
    Lacroix, Usunier and Obozinski, Canonical Tensor Decomposition for Knowledge Base Completion,
    ICML 2018 (the loss, relations backwards and N3); Ruffinelli, Broscheit and Gemulla, You CAN
    Teach an Old Dog New Tricks!, ICLR 2020 (the loss for the others); Lerer et al.,
    PyTorch-BigGraph, MLSys 2019 (negatives that a batch shares).

    Examples
    --------
    >>> from bequest.nets.complex import COMPLEX
    >>> ring = np.array([[n, 0, (n + 1) % 6] for n in range(6)])
    >>> loop = TriplesLoop(dim=8, epochs=100, pull=0.0)
    >>> fit = fit_triples(COMPLEX, ring, (6, 1), loop, rng=np.random.default_rng(0))
    >>> fit.entities.shape, fit.loss < 0.1
    (torch.Size([6, 8]), True)
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    entities, relations = _start(scoring, (sizes[0], 2 * sizes[1]), loop.dim, generator)
    optimiser = torch.optim.Adagrad([entities, relations], lr=loop.lr)
    triples = torch.from_numpy(np.concatenate([rows, backwards(rows, sizes[1])]))
    until = time.perf_counter() + seconds
    done, loss = 0, math.nan
    while done < loop.epochs:
        last = _Pass(scoring, entities, relations, loop, generator)
        order = torch.randperm(len(triples), generator=generator)
        # torch makes the sparse gradients itself: said, or it warns that nobody looks at them
        with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
            whole = last.over(triples[order], optimiser, until)
        if not whole:
            break
        done, loss = done + 1, last.loss / len(triples)
        if not math.isfinite(loss):
            raise ModelError(f"training diverged: the loss is {loss}. Try a smaller lr.")
    if done == 0:
        raise BudgetTooSmall(
            f"not one pass over {len(rows)} triples could be done in {seconds:g} s: give it a "
            "larger budget."
        )
    if done < loop.epochs:
        logger.warning(
            "the budget of %.3g s sufficed for %d of %d passes over the triples; another machine "
            "may do more of them, and give other vectors.",
            *(seconds, done, loop.epochs),
        )
    return Fit(entities.detach(), relations.detach(), done, loss)


def _start(
    scoring: Scoring, sizes: tuple[int, int], dim: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    if scoring.distance:  # as Bordes et al. start
        wide = 6.0 / math.sqrt(dim)
        vectors = [torch.empty(n, dim).uniform_(-wide, wide, generator=generator) for n in sizes]
    else:  # as Lacroix et al. start
        vectors = [1e-3 * torch.randn(n, dim, generator=generator) for n in sizes]
    return vectors[0].requires_grad_(), vectors[1].requires_grad_()


@final
class _Pass:
    """One pass over the triples, and the sum of its losses."""

    def __init__(
        self,
        scoring: Scoring,
        entities: Tensor,
        relations: Tensor,
        loop: TriplesLoop,
        generator: torch.Generator,
    ) -> None:
        self.loss = 0.0
        self._scoring, self._loop, self._generator = scoring, loop, generator
        self._entities, self._relations = entities, relations

    def over(self, triples: Tensor, optimiser: torch.optim.Optimizer, until: float) -> bool:
        """Train on all of them; False where the time was over before."""
        for batch in torch.split(triples, self._loop.batch):
            if time.perf_counter() > until:
                return False
            loss = self._loss(*batch.T)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            self.loss += float(loss.detach()) * len(batch)
        return True

    def _loss(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        h, t = self._rows(self._entities, head), self._rows(self._entities, tail)
        r = self._rows(self._relations, relation)
        loss = self._against_others(self._scoring.query(h, r), tail, t)
        if self._scoring.distance or not self._loop.pull:
            return loss
        cubes = [(self._scoring.sizes(part) ** 3).sum() for part in (h, r, t)]
        return loss + self._loop.pull / len(head) * torch.stack(cubes).sum()

    def _rows(self, vectors: Tensor, places: Tensor) -> Tensor:
        # Sparse gradients: a step costs what the batch has, not what the graph has.
        return functional.embedding(places, vectors, sparse=bool(self._loop.negatives))

    def _against_others(self, queries: Tensor, true: Tensor, vectors: Tensor) -> Tensor:
        compare = self._scoring.compare
        if not self._loop.negatives:
            return functional.cross_entropy(compare(queries, self._entities), true)
        drawn = torch.randint(
            len(self._entities), (self._loop.negatives,), generator=self._generator
        )
        scores = compare(queries, self._rows(self._entities, drawn))
        scores = scores.masked_fill(drawn[None] == true[:, None], -torch.inf)
        own = compare(queries[:, None], vectors[:, None]).flatten(1)
        first = torch.zeros(len(true), dtype=torch.long)
        return functional.cross_entropy(torch.cat([own, scores], dim=1), first)
