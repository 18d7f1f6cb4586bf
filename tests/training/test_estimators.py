"""scikit-learn's learners as small models."""

import numpy as np
import pytest

from bequest.core import Task
from bequest.methods.from_scratch import FromScratch


@pytest.mark.parametrize("target", ["kind", "size"])
def test_a_linear_model_reads_a_table_that_has_categories_only(target):
    wards = ["a", "b"] * 10
    labels = {"kind": wards, "size": [1.5 if ward == "a" else 7.25 for ward in wards]}
    kind = "regression" if target == "size" else "classification"
    task = Task.from_table({"ward": wards, target: labels[target]}, target, kind=kind)
    model = FromScratch(net="linear", strength=10.0).fit(task, rng=np.random.default_rng(0))
    predicted = model.predict({"ward": ["b", "a"]})
    if target == "kind":
        assert predicted.tolist() == ["b", "a"]
    else:
        assert np.allclose(predicted, [7.25, 1.5], atol=0.1)
