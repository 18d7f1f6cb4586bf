"""Boosted trees of LightGBM, XGBoost and CatBoost."""

from bequest.frameworks.boosting.library import Growth
from bequest.frameworks.boosting.model import BoostedTrees, load_boosted, wrap_boosted

__all__ = ["BoostedTrees", "Growth", "load_boosted", "wrap_boosted"]
