"""`bequest train`: a model from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import bequest as bq
from bequest.cli._options import COMMON, Common, command
from bequest.cli._paths import is_model, new_folder
from bequest.cli._progress import progress
from bequest.cli._settings import check_options
from bequest.cli._task import DATA, TASK, TaskOptions, read_task
from bequest.core.wording import pluralise

__all__ = ["app"]

app = command(
    "train",
    "bequest train ward3.csv --target outcome --out ward3/",
    "bequest train photos/ --size 32 --out birds/",
    "bequest train reviews.csv --target stars --text body --out reviews/",
    "bequest train digits.npz --net mlp --test digits-test.npz --out digits/",
)


@app.default
def train(
    data: Annotated[Path, Parameter(help=DATA)],
    /,
    *,
    task: TaskOptions = TASK,
    net: Literal[
        "auto", "linear", "svm", "extra-trees", "boosting", "naive-bayes", "mlp", "resnet"
    ] = "auto",
    name: str | None = None,
    seed: int = 0,
    out: Path,
    common: Common = COMMON,
) -> None:
    """Train a model from scratch.

    Parameters
    ----------
    net
        auto: resnet for images; for others the best family in cross-validation.
    name
        What to call the model; the data's name where left out.
    seed
        Same seed, machine and versions: same model.
    out
        The model folder to write.
    """
    check_options(seed=seed)
    with new_folder(out, ours=is_model) as folder, progress("reading the data") as tell:
        read = read_task(data, task)
        tell(f"training on {pluralise(len(read), 'row')}", None)
        model = bq.train(read, net=net, name=name, seed=seed)
        model.save(folder)
    common.answer(
        {"model": out, "card": model.card.to_dict()},
        f"Trained {model.name!r} on {pluralise(len(read), 'row')}.",
        *(f"{metric}: {value:.4g}" for metric, value in model.card.metrics.items()),
        f"Written: {out}",
    )
