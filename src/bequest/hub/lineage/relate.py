"""What one model is to another, decided by their weights alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from bequest.hub.lineage.contained import Containment, containment
from bequest.hub.lineage.correlate import SMALLEST_SIDE, Agreement, agreement, centred

__all__ = ["Relation", "ensemble_of", "merge_of", "relate"]

Array = NDArray[Any]
Weights = Mapping[str, Array]
# Thresholds are held against independent trainings in benchmarks/lineage.py, which prints the
# largest surprise that any pair of them has.
_SURPRISE = 8.0
_ALIKE = 0.3  # correlation
_FAR = 0.7  # difference over the parent's norm, above which two share an origin at most
_BALANCED = 0.38  # see _balance; siblings have about a half
_INSIDE = 0.6  # mean cosine of a unit and the one found for it
_ZEROED = 0.05  # share of a model's numbers that pruning set to zero, at least
_RESIDUAL = 0.1  # of a merge, over the distance to its nearest parent
_SHARE = 0.02  # least weight of a parent of a merge


@final
@dataclass(frozen=True)
class Relation:
    """What the weights say of a child and a parent.

    It is ``identical``, ``fine-tuned``, ``lora``, ``merged``, ``pruned``, ``grown``,
    ``ensemble of``, ``common origin``, ``unrelated``, or ``not told`` where too little can be
    compared.
    """

    kind: str
    evidence: str  # the numbers, as a sentence
    direction: str = "not told"  # "told" which one is the child; "reversed": it is the other one

    @property
    def related(self) -> bool:
        """Whether one was made from the other."""
        return self.kind not in ("common origin", "unrelated", "not told")


def relate(child: Weights, parent: Weights) -> Relation:
    """Say what a model is to one that it may have been made from, both as numbers by name.

    It is never ``merged``, which takes all parents at once: `merge_of`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> head = {"head": rng.normal(size=(3, 40))}
    >>> parent, other = ({"w": rng.normal(size=(40, 40))} | head for _ in range(2))
    >>> change = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 40))
    >>> child = {"w": parent["w"] + 0.1 * change} | head
    >>> relate(child, parent).kind, relate(other, parent).kind
    ('lora', 'unrelated')
    """
    same, wider, narrower = _shapes(child, parent)
    if wider and not narrower:
        return _inside(containment(parent, child), "grown")
    if narrower and not wider:
        return _inside(containment(child, parent), "pruned")
    if not same:
        return Relation("not told", "no tensor has the same name and shape in both.")
    ours, theirs = ({name: whole[name] for name in same} for whole in (child, parent))
    return _of_one_shape(ours, theirs, more=len(child) - len(same), fewer=len(parent) - len(same))


def merge_of(child: Weights, parents: Sequence[Weights]) -> tuple[tuple[float, ...], str] | None:
    """The shares with which a model is the mean of others, and the evidence; None where not.

    References
    ----------
    Wortsman et al., "Model soups", ICML 2022.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = ({"w": rng.normal(size=(9, 9))} for _ in range(2))
    >>> merge_of({"w": 0.3 * one["w"] + 0.7 * two["w"]}, [one, two])[1]
    '0.30 and 0.70 of its parents, residual 0.000 of the distance to the nearest.'
    """
    names = [n for n in child if all(n in p and _shape(n, child) == _shape(n, p) for p in parents)]
    names = [n for n in names if np.asarray(child[n]).dtype.kind == "f"]
    if len(parents) < 2 or not names:
        return None
    whole = [np.concatenate([np.ravel(w[n]) for n in names]).astype(float) for w in parents]
    own = np.concatenate([np.ravel(child[n]) for n in names]).astype(float)
    nearest = min(float(np.linalg.norm(own - parent)) for parent in whole)
    if nearest == 0:
        return None
    shares = _convex(own, whole)
    rest = own - sum(share * parent for share, parent in zip(shares, whole, strict=True))
    residual = float(np.linalg.norm(rest)) / nearest
    if residual > _RESIDUAL or (shares > _SHARE).sum() < 2:
        return None
    said = " and ".join(f"{share:.2f}" for share in shares)
    evidence = f"{said} of its parents, residual {residual:.3f} of the distance to the nearest."
    return tuple(map(float, shares)), evidence


def ensemble_of(members: Sequence[Relation]) -> Relation:
    """Say what an ensemble is to a model, from what each of its members is to it.

    It is an ensemble of the model where one member at least was made from it. Where none was, one
    that cannot be compared may have been: only of members that can all be compared is the answer
    that it has nothing of the model.

    Examples
    --------
    >>> told = ensemble_of([Relation("identical", "."), Relation("identical", "."),
    ...                     Relation("not told", "it shows no weights.")])
    >>> print(told.kind, "-", told.evidence)
    ensemble of - of 3 members 2 identical, 1 not told.
    """
    counts = Counter(member.kind for member in members)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    made = [member for member in members if member.related]
    evidence = f"of {len(members)} members {said}."
    if not made:
        first = {member.kind: member for member in reversed(members)}
        kind = next(k for k in ("not told", "common origin", "unrelated") if k in first)
        return Relation(kind, f"{evidence} {first[kind].evidence}")
    ways = {member.direction for member in made}
    direction = "told" if "told" in ways else "reversed" if ways == {"reversed"} else "not told"
    return Relation("ensemble of", evidence, direction)


def _convex(own: Array, whole: Sequence[Array]) -> Array:
    """Shares from 0 on that add up to 1, by least squares; the most negative are left out."""
    apart = np.stack([parent - own for parent in whole])
    products = apart @ apart.T
    products += 1e-12 * np.trace(products) * np.eye(len(whole))
    shares = np.zeros(len(whole))
    active = np.arange(len(whole))
    while True:
        # The least of w'Gw where w adds up to 1 is along the solution of Gw = 1.
        found = np.linalg.solve(products[np.ix_(active, active)], np.ones(len(active)))
        found /= found.sum()
        if (found >= 0).all():
            shares[active] = found
            return shares
        active = np.delete(active, found.argmin())


def _shapes(child: Weights, parent: Weights) -> tuple[list[str], list[str], list[str]]:
    """Common weights of one shape, those wider in the child, and those narrower; heads aside."""
    common = [n for n in child if n in parent and np.ndim(child[n]) == np.ndim(parent[n])]
    same = [n for n in common if _shape(n, child) == _shape(n, parent)]
    matrices = [n for n in common if np.ndim(child[n]) >= 2]
    wider, narrower = [], []
    for name in matrices:
        pairs = list(zip(_shape(name, child), _shape(name, parent), strict=True))
        if name == matrices[-1]:  # a head's outputs belong to the task
            pairs = pairs[1:]
        if any(ours > theirs for ours, theirs in pairs):
            wider.append(name)
        if any(ours < theirs for ours, theirs in pairs):
            narrower.append(name)
    return same, wider, narrower


def _shape(name: str, weights: Weights) -> tuple[int, ...]:
    return tuple(np.shape(weights[name]))


def _of_one_shape(ours: Weights, theirs: Weights, *, more: int, fewer: int) -> Relation:
    changed = [name for name in ours if not np.array_equal(ours[name], theirs[name])]
    if not changed and not more and not fewer:
        return Relation("identical", f"all {len(ours)} tensors are equal.")
    # Its outputs are the task's, in the task's order: two heads may agree with nothing in common.
    body = {name: ours[name] for name in ours if name != _head(ours)}
    found = agreement(body, theirs)
    kept = [n for n in body if n not in changed and _tells(ours[n])]
    alike = found.surprise >= _SURPRISE and found.correlation >= _ALIKE
    if not kept and not alike:
        return _no_agreement(found)
    if more and not fewer and len(kept) > len(changed):
        return Relation("grown", f"{more} tensors more; {len(kept)} weights are equal.", "told")
    zeroed = _zeroed(ours, theirs)
    if zeroed >= _ZEROED:
        return Relation("pruned", f"{zeroed:.0%} of its numbers are zero, not so in it.", "told")
    if _zeroed(theirs, ours) >= _ZEROED:
        return Relation("pruned", "the one named parent has zeros that it has not.", "reversed")
    rank = _low_rank(ours, theirs, changed)
    if rank is not None:
        return Relation("lora", f"every changed matrix differs by a rank of {rank} at most.")
    difference = _difference(body, theirs)
    numbers = f"difference {difference:.3f} of its norm, {_said(found)}"
    if not kept and (difference > _FAR or _balance(body, theirs) > _BALANCED):
        return Relation("common origin", f"{numbers}; as of two trainings from one beginning.")
    return Relation("fine-tuned", f"{numbers}; {len(kept)} weights are equal.")


def _no_agreement(found: Agreement) -> Relation:
    if not found.tensors:
        reason = f"no weight has two sides of {SMALLEST_SIDE} units or more to compare."
        return Relation("not told", reason)
    return Relation("unrelated", f"{_said(found)}: no more than chance gives.")


def _said(found: Agreement) -> str:
    sigmas = f"{found.surprise:.1f} standard deviations above chance"
    return f"correlation {found.correlation:.3f} over {found.tensors} weights, {sigmas}"


def _head(weights: Weights) -> str:
    """The last weight."""
    return next((name for name in reversed(list(weights)) if np.ndim(weights[name]) >= 2), "")


def _tells(values: Array) -> bool:
    """Whether equality of such a tensor is no accident."""
    return np.ndim(values) >= 2 and np.size(values) >= 64 and np.unique(values).size > 16


def _zeroed(ours: Weights, theirs: Weights) -> float:
    """Share of the other's numbers that are zero here and not there."""
    names = [name for name in ours if np.ndim(ours[name]) >= 2]
    there = sum(int(np.count_nonzero(theirs[n])) for n in names)
    gone = sum(int(((ours[n] == 0) & (np.asarray(theirs[n]) != 0)).sum()) for n in names)
    return gone / max(there, 1)


def _difference(ours: Weights, theirs: Weights) -> float:
    names = [n for n in ours if np.ndim(ours[n]) >= 2 and min(np.shape(ours[n])[:2]) > 1]
    apart = sum(
        float(np.sum(np.square(np.subtract(ours[n], theirs[n], dtype=float)))) for n in names
    )
    size = sum(float(np.sum(np.square(np.asarray(theirs[n], dtype=float)))) for n in names)
    return float(np.sqrt(apart / max(size, 1e-300)))


def _balance(ours: Weights, theirs: Weights) -> float:
    """How evenly two models moved away from what they share: a half at most, as siblings do.

    Where a child is its parent and something at a right angle to it, the parent lacks nothing of
    what both share: 0. Two trainings from one beginning each have something that the other lacks.
    The median over the weights, since training unlearns one layer more than another.
    """
    found = []
    for name, values in ours.items():
        one, other = centred(values), centred(theirs[name])
        if one is None or other is None:
            continue
        shared, own, others = float((one * other).sum()), (one**2).sum(), (other**2).sum()
        apart = own + others - 2 * shared
        if apart > 0:
            found.append(float(min(own, others) - shared) / apart)
    return float(np.median(found)) if found else 0.0


def _low_rank(ours: Weights, theirs: Weights, changed: Sequence[str]) -> int | None:
    """The largest rank of a change, where every changed matrix but the head's is far below full."""
    head = _head(ours)
    stem = head.rpartition(".")[0]
    highest = 0
    for name in changed:
        if name == head or (stem and name.startswith(f"{stem}.")):
            continue
        if np.ndim(ours[name]) < 2:  # training it all moves biases and scales too
            return None
        rank, full = _rank(np.asarray(ours[name]), np.asarray(theirs[name]))
        if rank > full / 3:
            return None
        highest = max(highest, rank)
    return highest or None


def _rank(ours: Array, theirs: Array) -> tuple[int, int]:
    """Rank of a difference beyond what rounding gives, and the most that it can be."""
    apart = (ours.astype(float) - theirs.astype(float)).reshape(len(ours), -1)
    digits = np.finfo(ours.dtype).eps if ours.dtype.kind == "f" else 0.0
    noise = (
        digits * float(np.abs(theirs).max()) * (np.sqrt(apart.shape[0]) + np.sqrt(apart.shape[1]))
    )
    values = np.linalg.svd(apart, compute_uv=False)
    return int((values > max(noise, 1e-6 * float(values[0]))).sum()), min(apart.shape)


def _inside(found: Containment, kind: Literal["grown", "pruned"]) -> Relation:
    what = {
        "grown": "the parent's units stand among its own",
        "pruned": "its units stand among the parent's",
    }[kind]
    if not found.tensors:
        return Relation("not told", "no layer behind the first can be compared.")
    numbers = (
        f"mean cosine {found.cosine:.3f} over {found.tensors} weights, {found.surprise:.1f} "
        "standard deviations above shuffled units"
    )
    if found.cosine < _INSIDE or found.surprise < _SURPRISE:
        return Relation("unrelated", f"{numbers}: no more than chance gives.")
    direction = "not told"
    if found.repeated > 0.5:
        numbers += f"; {found.repeated:.0%} of the wider one's other units repeat these"
        direction = "told" if kind == "grown" else "reversed"
    elif found.kept_larger > 0.9 and not found.prefix:
        numbers += "; those left out are smaller"
        direction = "told" if kind == "pruned" else "reversed"
    return Relation(kind, f"{what}: {numbers}.", direction)
