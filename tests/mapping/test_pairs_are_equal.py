"""The pairs that judge the mapper are judged first: each is one function, written twice."""

import pytest
import torch
from tests.mapping.pairs.pair import main_output
from tests.mapping.pairs.table import HARD_PAIRS, PAIRS, TOLD_PAIRS

ALL_PAIRS = PAIRS | TOLD_PAIRS | HARD_PAIRS


@pytest.fixture(scope="module", params=list(ALL_PAIRS))
def built(request):
    return ALL_PAIRS[request.param]()


@pytest.fixture
def pair(built):
    """The pair, whose right side gets its own numbers back after each test."""
    pair = built
    own = {name: tensor.clone() for name, tensor in pair.right.state_dict().items()}
    yield pair
    pair.right.load_state_dict(own)


def difference(pair):
    with torch.no_grad():
        left, right = main_output(pair.left(*pair.example)), main_output(pair.right(*pair.example))
    assert left.shape == right.shape
    assert left.std() > 0.05
    return float((left - right).abs().max())


def test_the_right_side_with_the_left_sides_numbers_is_the_same_function(pair):
    pair.right.load_state_dict(pair.truth(pair.left.state_dict()), strict=True)

    assert difference(pair) <= 1e-5


@pytest.mark.parametrize("name", list(ALL_PAIRS))
def test_a_pair_built_twice_has_the_same_numbers(name):
    first, second = ALL_PAIRS[name](), ALL_PAIRS[name]()

    assert all(map(torch.equal, first.example, second.example))
    for side in ("left", "right"):
        ours, others = (getattr(pair, side).state_dict() for pair in (first, second))
        assert ours.keys() == others.keys()
        assert all(torch.equal(ours[key], others[key]) for key in ours)


def test_the_right_side_with_its_own_numbers_is_another_function(pair):
    assert difference(pair) > 0.05


def test_no_number_is_one_that_a_layer_starts_with(pair):
    for module in (pair.left, pair.right):
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                assert not torch.isin(tensor, torch.tensor([0.0, 1.0])).any(), name


def test_no_two_names_of_the_sides_agree(pair):
    shared = set(pair.left.state_dict()) & set(pair.right.state_dict())

    assert shared == set()


# The softmax over keys does not see what all keys share, so no output tells a key's bias. In the
# plain blocks that keep keys in a layer of their own, this is its name.
KEY_BIAS = ".a.bias"


def test_every_tensor_matters_but_for_the_biases_of_keys(pair):
    pair.right.load_state_dict(pair.truth(pair.left.state_dict()), strict=True)
    stored = pair.right.state_dict()
    tensors = dict(pair.right.named_parameters())
    tensors |= {name: b for name, b in pair.right.named_buffers() if name in stored}
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}

    silent = {name for name, tensor in floats.items() if not felt(pair.right, pair.example, tensor)}

    assert {name for name in silent if not name.endswith(KEY_BIAS)} == set()


@torch.no_grad()
def felt(module, example, tensor):
    """Whether other numbers of the same size in this tensor change the answer."""
    before, kept = main_output(module(*example)), tensor.clone()
    tensor.copy_(kept.flip(0) * 1.1 + 0.05)
    after = main_output(module(*example))
    tensor.copy_(kept)
    return float((after - before).abs().max()) > 1e-3
