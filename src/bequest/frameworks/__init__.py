"""Models of torch, scikit-learn and plain functions, and their way to disk and back."""
