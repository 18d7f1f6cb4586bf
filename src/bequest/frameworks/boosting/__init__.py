"""Boosted trees of LightGBM, XGBoost and CatBoost."""

from bequest.frameworks.boosting.model import BoostedTrees, load_boosted, wrap_boosted

__all__ = ["BoostedTrees", "load_boosted", "wrap_boosted"]
