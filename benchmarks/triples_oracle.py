"""PyKEEN on the same triples: what it makes of them, and what it says of our vectors.

Run by benchmarks/triples.py in an interpreter that has PyKEEN; it knows nothing of bequest.

python triples_oracle.py FOLDER MODEL VECTORS.npz EPOCHS (0: it trains none of its own)
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.models import ComplEx, DistMult, TransE
from pykeen.regularizers import PowerSumRegularizer
from pykeen.training import LCWATrainingLoop
from pykeen.triples import TriplesFactory

DIM, BATCH, LR, PULL = 64, 256, 0.1, 0.02


def made(name: str, factory: TriplesFactory, seed: int):
    common = {"triples_factory": factory, "loss": "crossentropy", "random_seed": seed}
    if name == "transe":
        return TransE(embedding_dim=DIM, scoring_fct_norm=1, entity_constrainer=None, **common)
    small = partial(torch.nn.init.normal_, std=1e-3)
    pulled = {
        "regularizer": PowerSumRegularizer,
        "regularizer_kwargs": {"p": 3.0, "weight": PULL, "normalize": False},
        "entity_initializer": small,
        "relation_initializer": small,
    }
    if name == "distmult":
        return DistMult(embedding_dim=DIM, entity_constrainer=None, **pulled, **common)
    return ComplEx(embedding_dim=DIM // 2, **pulled, **common)


def judged(model, train, valid, test) -> dict[str, float]:
    found = RankBasedEvaluator(filtered=True).evaluate(
        model,
        test.mapped_triples,
        additional_filter_triples=[train.mapped_triples, valid.mapped_triples],
        use_tqdm=False,
    )
    metric = {"mrr": "inverse_harmonic_mean_rank"}
    metric |= {f"hits@{k}": f"hits_at_{k}" for k in (1, 3, 10)}
    return {name: float(found.get_metric(f"both.realistic.{key}")) for name, key in metric.items()}


def fill(model, name: str, place: str) -> None:
    """Put our vectors into PyKEEN's model: its relations alternate with their inverses."""
    ours = np.load(place)
    relations = ours["relations"]
    count = len(relations) // 2
    both = np.stack([relations[:count], relations[count:]], axis=1).reshape(2 * count, -1)
    for representation, vectors in (
        (model.entity_representations[0], ours["entities"]),
        (model.relation_representations[0], both),
    ):
        tensor = torch.from_numpy(vectors)
        if name == "complex":
            tensor = torch.stack(tensor.chunk(2, dim=1), dim=-1).flatten(1)  # real, imaginary, ...
        weight = representation._embeddings.weight
        weight.data = tensor.reshape(weight.shape).to(weight.dtype)


def main() -> None:
    folder, name, vectors, epochs = sys.argv[1:]
    train = TriplesFactory.from_path(Path(folder) / "train.txt", create_inverse_triples=True)
    others = [
        TriplesFactory.from_path(
            Path(folder) / f"{part}.txt",
            entity_to_id=train.entity_to_id,
            relation_to_id=train.relation_to_id,
        )
        for part in ("valid", "test")
    ]
    model = made(name, train, seed=0)
    fill(model, name, vectors)
    of_ours = judged(model, train, *others)
    said = {"of_our_vectors": of_ours}
    if int(epochs):
        model = made(name, train, seed=0)
        optimizer = torch.optim.Adagrad(model.get_grad_params(), lr=LR)
        began = time.process_time()
        LCWATrainingLoop(model=model, triples_factory=train, optimizer=optimizer).train(
            triples_factory=train, num_epochs=int(epochs), batch_size=BATCH, use_tqdm=False
        )
        seconds = time.process_time() - began
        said |= {"own": judged(model, train, *others), "cpu_s": seconds}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
