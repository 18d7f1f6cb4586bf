import numpy as np
import pytest

from bequest.core import Card, InputSpec, Task, features_of, parameters_of
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.combined.function_model import FunctionModel

ROWS = np.array([[1.0, 2.0], [-3.0, 4.0], [5.0, -6.0]])


def model(function, classes=("a", "b")):
    return FunctionModel(
        function, spec=InputSpec("vector"), classes=classes, card=Card(name="oracle")
    )


def test_probabilities_are_passed_through_and_normalised():
    oracle = model(lambda X: np.tile(np.float32([0.3333, 0.6666]), (len(X), 1)))
    assert oracle.predict_proba(ROWS).sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert oracle.predict(ROWS).tolist() == ["b", "b", "b"]


def test_labels_become_ones_and_zeros():
    oracle = model(lambda X: np.where(X[:, 0] > 0, "b", "a"))
    assert oracle.predict_proba(ROWS).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_values_of_one_column_are_a_regression():
    assert model(lambda X: X[:, :1], ()).predict(ROWS).tolist() == [1, -3, 5]
    assert model(lambda X: X[:, 0], ()).kind == "regression"


def test_tensors_that_need_a_gradient_are_read():
    import torch

    weight = torch.ones(2, 1, requires_grad=True)
    oracle = model(lambda X: torch.from_numpy(X) @ weight, ())
    assert oracle.predict(ROWS).tolist() == [3, 1, -1]


@pytest.mark.parametrize(
    ("given", "classes", "says"),
    [
        (np.ones((3, 2)), ("a", "b"), "sums run from 2 to 2"),
        (np.array([[2.0, -1.0]] * 3), ("a", "b"), "least number is -1"),
        (np.full((3, 2), np.nan), ("a", "b"), "not finite"),
        (np.ones((3, 3)) / 3, ("a", "b"), r"\(3, 3\) for 2 classes"),
        (np.ones((2, 2)) / 2, ("a", "b"), "for 3 rows"),
        (np.float64(3), (), "for 3 rows"),
        (np.array(["a", "c", "b"]), ("a", "b"), "not among its 2 classes: c"),
        (np.ones((3, 2)), (), "name its classes"),
        (np.array(["x"] * 3), (), "no numbers"),
        (np.array([np.inf] * 3), (), "not finite"),
    ],
)
def test_predictions_that_fit_nothing_are_refused_in_one_line(given, classes, says):
    with pytest.raises(ModelError, match=says) as caught:
        model(lambda X: given, classes).output(ROWS)
    assert "\n" not in str(caught.value)
    assert "oracle" in str(caught.value)


def test_a_function_that_fails_is_a_model_error_with_its_own_words():
    def broken(X):
        raise RuntimeError("no\nconnection")

    with pytest.raises(ModelError, match="oracle fails on 3 rows: RuntimeError: no connection"):
        model(broken).output(ROWS)


def test_it_has_no_features_no_parameters_and_cannot_be_saved(tmp_path):
    oracle = model(lambda X: X[:, 0], ())
    with pytest.raises(NotApplicable, match="no features"):
        features_of(oracle, ROWS)
    with pytest.raises(NotApplicable, match="parameters"):
        parameters_of(oracle)
    with pytest.raises(NotApplicable, match="holds no code"):
        oracle.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_without_a_shape_it_applies_to_every_task_of_its_modality():
    oracle = model(lambda X: X[:, 0])
    task = Task.from_arrays(np.eye(4), [0, 1, 0, 1])
    assert oracle.applies(task) is None
    image = Task.from_arrays(np.ones((4, 1, 2, 2)), [0, 1, 0, 1])
    assert "image" in oracle.applies(image).reason


def test_another_card_leaves_the_function():
    oracle = model(lambda X: X[:, 0], ()).with_card(Card(name="other"))
    assert oracle.name == "other"
    assert oracle.predict(ROWS).tolist() == [1, -3, 5]
    assert "lambda" in oracle.structure["function"]
