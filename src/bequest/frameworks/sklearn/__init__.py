"""Estimators of scikit-learn, and their way to disk and back without pickle."""
