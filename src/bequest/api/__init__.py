"""The verbs; the only room that brings the others together."""

from bequest.api.result import Result
from bequest.api.transfer import transfer
from bequest.api.verbs import rank, train

__all__ = ["Result", "rank", "train", "transfer"]
