"""One step of a lineage: a model, one that it may come from, and what the weights say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["Edge"]


@final
@dataclass(frozen=True)
class Edge:
    """One model, one that it may come from, and what speaks for it.

    Parameters
    ----------
    parent, child : str
        ``name@version``; a parent that is not in the hub as it was written.
    relation : str
        What the weights show, as `Relation.kind`.
    declared : str
        How the card says that it was made: a method, or ``derived``; empty where the parent is
        not claimed but was found.
    verified : bool or None
        Whether the weights show that one was made from the other; False where they show that it
        was not; None where they cannot tell.
    evidence : str
        The numbers, as a sentence.
    direction : str
        ``told``, ``reversed`` or ``not told``: whether the weights say which one came first.
    """

    parent: str
    child: str
    relation: str
    declared: str
    verified: bool | None
    evidence: str
    direction: str = "not told"

    def __str__(self) -> str:
        verdict = {True: "verified", False: "FALSE CLAIM", None: "not verified"}[self.verified]
        claim = f"declared {self.declared}" if self.declared else "not declared"
        if not self.declared:
            verdict = "found in the weights"
        way = f"direction {self.direction}" if self.verified else ""
        said = ", ".join(part for part in (claim, verdict, self.relation, way) if part)
        return f"{self.parent}  [{said}] {self.evidence}"
