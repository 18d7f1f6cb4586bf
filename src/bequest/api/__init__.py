"""The verbs; the only room that brings the others together."""

from bequest.api.embed import embed
from bequest.api.estimators import TransferClassifier, TransferRegressor
from bequest.api.push import push
from bequest.api.result import Result, load_result
from bequest.api.transfer import transfer
from bequest.api.verbs import rank, train

__all__ = [
    "Result",
    "TransferClassifier",
    "TransferRegressor",
    "embed",
    "load_result",
    "push",
    "rank",
    "train",
    "transfer",
]
