"""Embeddings of graphs: against brute force, and on graphs whose structure is known."""

import itertools
import logging

import numpy as np
import pytest
import torch

from bequest.errors import BudgetTooSmall, ModelError
from bequest.nets.complex import COMPLEX
from bequest.nets.distmult import DISTMULT
from bequest.nets.transe import TRANSE
from bequest.training.link_ranks import backwards, filtered_ranks, rank_summary
from bequest.training.triples import TriplesLoop, fit_triples

SCORINGS = [COMPLEX, DISTMULT, TRANSE]


def brute(scoring, h, r, t) -> float:
    """The score of one triple, as its paper writes it."""
    h, r, t = (part.double().numpy() for part in (h, r, t))
    if scoring is TRANSE:
        return -np.abs(h + r - t).sum()
    if scoring is DISTMULT:
        return (h * r * t).sum()
    half = len(h) // 2
    h, r, t = (part[:half] + 1j * part[half:] for part in (h, r, t))
    return (h * r * t.conj()).sum().real


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def fitted(scoring, rows, sizes, seed=0, **loop):
    return fit_triples(
        scoring, np.array(rows), sizes, TriplesLoop(**loop), rng=np.random.default_rng(seed)
    )


@pytest.mark.parametrize("scoring", SCORINGS, ids=lambda s: s.name)
def test_a_score_is_what_its_paper_says(scoring):
    h, r, t = drawn(5, 6, seed=1), drawn(5, 6, seed=2), drawn(5, 6, seed=3)
    wanted = [brute(scoring, *triple) for triple in zip(h, r, t, strict=True)]
    assert np.allclose(scoring.score(h, r, t).numpy(), wanted, atol=1e-12)
    against_all = scoring.compare(scoring.query(h, r), t)
    assert np.allclose(against_all.diagonal().numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("scoring", SCORINGS, ids=lambda s: s.name)
def test_gradients_of_a_score_are_those_of_finite_differences(scoring):
    parts = [drawn(3, 4, seed=seed).requires_grad_() for seed in (1, 2, 3)]
    assert torch.autograd.gradcheck(scoring.score, parts)


def test_sizes_of_complex_numbers_are_their_moduli():
    vectors = torch.tensor([[3.0, 0.0, 4.0, 0.0]])
    assert torch.allclose(COMPLEX.sizes(vectors), torch.tensor([[5.0, 0.0]]), atol=1e-5)
    assert DISTMULT.sizes(-vectors).tolist() == vectors.tolist()


def test_distmult_cannot_tell_head_from_tail_and_the_others_can():
    h, r, t = drawn(5, 6, seed=1), drawn(5, 6, seed=2), drawn(5, 6, seed=3)
    assert torch.allclose(DISTMULT.score(h, r, t), DISTMULT.score(t, r, h))
    for scoring in (COMPLEX, TRANSE):
        assert not torch.allclose(scoring.score(h, r, t), scoring.score(t, r, h))


@pytest.mark.parametrize("scoring", SCORINGS, ids=lambda s: s.name)
def test_filtered_ranks_are_those_of_counting_one_by_one(scoring):
    rng = np.random.default_rng(5)
    count, relations = 9, 3
    known = np.unique(rng.integers(0, (count, relations, count), size=(60, 3)), axis=0)
    judged = known[rng.permutation(len(known))[:20]]
    entities = drawn(count, 4, seed=6).round(decimals=0)  # so that some score alike
    both = drawn(2 * relations, 4, seed=7).round(decimals=0)
    found = filtered_ranks(scoring, entities, both, judged, known)
    true = {tuple(row) for row in known.tolist()}
    ways = [true, {(t, r + relations, h) for h, r, t in true}]
    for row, ranks in zip(judged.tolist(), found, strict=True):
        turned = (row[2], row[1] + relations, row[0])
        for (anchor, relation, own), others, rank in zip((row, turned), ways, ranks, strict=True):
            scores = {
                e: brute(scoring, entities[anchor], both[relation], entities[e])
                for e in range(count)
                if e == own or (anchor, relation, e) not in others
            }
            mine = scores.pop(own)
            better = sum(score > mine + 1e-9 for score in scores.values())
            alike = sum(abs(score - mine) <= 1e-9 for score in scores.values())
            assert rank == 1 + better + alike / 2


def test_vectors_that_know_nothing_get_the_rank_of_chance():
    nothing = torch.zeros(11, 4), torch.zeros(2, 4)
    ranks = filtered_ranks(DISTMULT, *nothing, np.array([[0, 0, 1]]), np.zeros((0, 3)))
    assert ranks.tolist() == [[6.0, 6.0]]


def test_the_summary_is_the_mean_over_both_sides():
    said = rank_summary(np.array([[1.0, 4.0], [2.0, 20.0]]))
    assert said["mrr"] == pytest.approx((1 + 1 / 4 + 1 / 2 + 1 / 20) / 4)
    assert (said["hits@1"], said["hits@3"], said["hits@10"]) == (0.25, 0.5, 0.75)


def test_transe_finds_the_translations_of_a_grid():
    side = 5
    place = {cell: n for n, cell in enumerate(itertools.product(range(side), repeat=2))}
    right = [(place[x, y], 0, place[x + 1, y]) for x, y in place if x + 1 < side]
    down = [(place[x, y], 1, place[x, y + 1]) for x, y in place if y + 1 < side]
    fit = fitted(TRANSE, right + down, (side**2, 2), dim=2, epochs=1000, lr=0.3)
    ranks = filtered_ranks(
        TRANSE, fit.entities, fit.relations, np.array(right + down), np.array(right + down)
    )
    assert rank_summary(ranks)["mrr"] == 1.0
    # what was learned is the grid: all steps of one relation are one vector
    for triples in (right, down):
        steps = np.array([(fit.entities[t] - fit.entities[h]).numpy() for h, _, t in triples])
        spread = np.linalg.norm(steps - steps.mean(axis=0), axis=1).mean()
        assert spread < 0.05 * np.linalg.norm(steps.mean(axis=0))


def test_complex_learns_the_direction_of_rings_and_distmult_cannot():
    # In a ring of three, DistMult would need s(0, 1) < s(1, 2) < s(2, 0) < s(0, 1): of three ranks
    # one is wrong at least, so that 5 / 6 is its most.
    rings = np.array([(3 * n + a, 0, 3 * n + (a + 1) % 3) for n in range(5) for a in range(3)])
    mrr = {}
    for scoring in (COMPLEX, DISTMULT):
        fit = fitted(scoring, rings, (15, 1), dim=16, epochs=300, pull=0.0)
        ranks = filtered_ranks(scoring, fit.entities, fit.relations, rings, rings)
        mrr[scoring.name] = rank_summary(ranks)["mrr"]
        heads, tails = fit.entities[rings[:, 0]], fit.entities[rings[:, 2]]
        relation = fit.relations[:1].expand(len(rings), -1)
        ahead = scoring.score(heads, relation, tails) - scoring.score(tails, relation, heads)
        assert bool((ahead > 1.0).all()) == (scoring is COMPLEX)
    assert mrr["complex"] == 1.0
    assert mrr["distmult"] <= 5 / 6 + 1e-9


@pytest.mark.parametrize("negatives", [0, 8], ids=["all entities", "drawn ones"])
@pytest.mark.parametrize("scoring", SCORINGS, ids=lambda s: s.name)
def test_triples_left_out_are_found_in_a_graph_of_clusters(scoring, negatives):
    # everybody of a cluster likes all of it: a fifth of the likings is held out
    cluster = np.arange(30) // 10
    pairs = [(a, b) for a in range(30) for b in range(30) if cluster[a] == cluster[b]]
    rows = np.array([(a, cluster[a], b) for a, b in pairs])
    held = np.random.default_rng(0).random(len(rows)) < 0.2
    fit = fitted(scoring, rows[~held], (30, 3), dim=16, epochs=60, negatives=negatives)
    ranks = filtered_ranks(scoring, fit.entities, fit.relations, rows[held], rows)
    assert rank_summary(ranks)["mrr"] > 0.9


@pytest.mark.parametrize("negatives", [0, 4])
def test_the_same_seed_gives_the_same_vectors_and_leaves_torch_alone(negatives):
    ring = [(n, 0, (n + 1) % 12) for n in range(12)]
    before = torch.get_rng_state()
    fits = [
        fitted(COMPLEX, ring, (12, 1), seed, dim=4, epochs=5, negatives=negatives)
        for seed in (3, 3, 4)
    ]
    assert torch.equal(fits[0].entities, fits[1].entities)
    assert torch.equal(fits[0].relations, fits[1].relations)
    assert not torch.equal(fits[0].entities, fits[2].entities)
    assert torch.equal(torch.get_rng_state(), before)


def test_backwards_is_undone_by_itself():
    triples = np.array([[0, 1, 5], [2, 0, 2]])
    again = backwards(backwards(triples, 2), 2)
    assert (again - [0, 4, 0]).tolist() == triples.tolist()


def test_a_budget_that_ends_early_is_told(caplog, monkeypatch):
    ticks = itertools.count()  # a clock that goes on by a second whenever somebody looks at it
    monkeypatch.setattr("bequest.training.triples.time.perf_counter", lambda: float(next(ticks)))
    with caplog.at_level(logging.WARNING):
        fit = fit_triples(
            COMPLEX,
            np.array([[0, 0, 1]]),  # one batch a pass
            (2, 1),
            TriplesLoop(dim=2, epochs=100),
            rng=np.random.default_rng(0),
            seconds=5.5,
        )
    assert fit.epochs == 5
    assert "sufficed for 5 of 100 passes" in caplog.text


def test_a_budget_for_not_one_pass_is_refused():
    rows = np.array([[0, 0, 1]])
    with pytest.raises(BudgetTooSmall, match="not one pass over 1 triples"):
        fit_triples(COMPLEX, rows, (2, 1), TriplesLoop(), rng=np.random.default_rng(0), seconds=0.0)


def test_training_that_diverges_says_so():
    with pytest.raises(ModelError, match="training diverged"):
        fitted(DISTMULT, [(0, 0, 1), (1, 0, 2)], (3, 1), dim=4, lr=1e30, epochs=20)
