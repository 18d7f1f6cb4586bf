"""Which source helps: transferability scores and the ranking made of them."""

from bequest.selection.joint import JointTable
from bequest.selection.moments import Moments
from bequest.selection.quick import quick_order
from bequest.selection.ranking import Ranking, rank
from bequest.selection.score import SCORES, Score
from bequest.selection.scores.gbc import gbc, gbc_axes, gbc_from_moments
from bequest.selection.scores.h_score import h_score, h_score_from_moments
from bequest.selection.scores.knn import knn_score
from bequest.selection.scores.leep import leep, leep_from_table
from bequest.selection.scores.logme import logme, logme_from_moments
from bequest.selection.scores.nce import nce, nce_from_table
from bequest.selection.scores.nleep import nleep
from bequest.selection.scores.probe import probe_score

__all__ = [
    "SCORES",
    "JointTable",
    "Moments",
    "Ranking",
    "Score",
    "gbc",
    "gbc_axes",
    "gbc_from_moments",
    "h_score",
    "h_score_from_moments",
    "knn_score",
    "leep",
    "leep_from_table",
    "logme",
    "logme_from_moments",
    "nce",
    "nce_from_table",
    "nleep",
    "probe_score",
    "quick_order",
    "rank",
]
