"""Features: a small model reads what a source knows beside the task's own columns.

N samples, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, final

import numpy as np

from bequest.core import Card, Model, Predicts, Source, Task, TransferMethod, features_of
from bequest.errors import NotApplicable
from bequest.frameworks.combined.stacked import Stacked, view_of
from bequest.frameworks.encoders.encoder import fit_encoder
from bequest.methods.provenance import check_setting, model_of, with_provenance
from bequest.training.estimators import boosting_estimator, linear_estimator, vector_model

__all__ = ["Features"]


@final
@dataclass(frozen=True)
class Features(TransferMethod):
    """Fit a small model on a headless source's features and the table's columns, side by side.

    For sources that describe what a row names, as the entities of a graph; a source that predicts
    is stacked, fine-tuned or probed instead.

    Parameters
    ----------
    learner : {"linear", "boosting"}
    strength : float
        Inverse of the regularisation of a linear classifier, scikit-learn's C; regression picks
        its own by leave-one-out.

    References
    ----------
    Ristoski and Paulheim, RDF2Vec: RDF Graph Embeddings for Data Mining, ISWC 2016.

    Examples
    --------
    >>> import bequest as bq
    >>> from bequest.frameworks.combined.entities import EntityFeatures
    >>> names = [f"place {n}" for n in range(40)]
    >>> vectors = np.linspace(-1, 1, 40)[:, None]
    >>> places = EntityFeatures(names, vectors, [], np.zeros((0, 1)), scoring="transe", card=Card())
    >>> table = {"place": names, "south": [n < 20 for n in range(40)]}
    >>> task = bq.Task.from_table({k: v[::2] for k, v in table.items()}, "south")
    >>> model = Features().fit([bq.Source(places.on("place"))], task, rng=np.random.default_rng(0))
    >>> model.predict({"place": ["place 3", "place 37"]}).tolist()
    [True, False]
    """

    name: ClassVar[str] = "features"
    citation: ClassVar[str] = (
        "@inproceedings{ristoski2016rdf2vec, title={RDF2Vec: RDF graph embeddings for data "
        "mining}, author={Ristoski, Petar and Paulheim, Heiko}, booktitle={ISWC}, year={2016}}"
    )
    learner: Literal["linear", "boosting"] = "linear"
    strength: float = 0.1

    def __post_init__(self) -> None:
        known = self.learner in ("linear", "boosting")
        check_setting(self, "learner", known, "'linear' or 'boosting'")
        check_setting(self, "strength", self.strength > 0, "above zero")

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source must have no head, the task must be a table that it reads."""
        source = model_of(sources)
        if isinstance(source, Predicts):
            return NotApplicable(
                "it is for sources without outputs, such as the entities of a graph."
            )
        refused = source.applies(task)
        if refused is None and task.modality != "table":
            return NotApplicable(f"it needs a table, not {task.modality} inputs.")
        return refused

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Compute the features once, fit the small model."""
        self.check(sources, task)
        source = model_of(sources)
        encoder = fit_encoder(task.inputs)
        matrix = view_of(source, task.inputs, ("features", "inputs"), encoder)
        if self.learner == "boosting":
            leaf = max(2, min(20, len(task) // 20))
            plain = [False] * matrix.shape[1]
            estimator = boosting_estimator(task, leaf, plain, int(rng.integers(2**31)))
        else:
            estimator = linear_estimator(task, self.strength)
        model = Stacked(
            source,
            vector_model(estimator, matrix, task),
            views=("features", "inputs"),
            encoder=encoder,
            spec=task.spec,
            card=Card(),
        )
        numbers = features_of(source, task.inputs[np.arange(1)]).shape[1]
        moved = ({"part": "features", "numbers": numbers, "rule": "frozen"},)
        return with_provenance(model, self, sources, task, moved)

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """Linear at three strengths, and trees; a linear regression needs one."""
        if task.kind == "regression":
            return (cls(), cls(learner="boosting"))
        return (cls(), cls(learner="boosting"), cls(strength=1.0), cls(strength=0.01))
