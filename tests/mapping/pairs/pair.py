"""What a pair is, and the small tools that all pairs share.

A pair is two independent implementations of one function. The left one is the library's
(transformers where it has the architecture), the right one is plain PyTorch with other names,
another nesting and other fusing. `truth` is written by hand: it says what the right one's
tensors are when the two are the same function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Pair:
    left: nn.Module
    right: nn.Module
    example: tuple[Tensor, ...]  # positional arguments, the same for both
    truth: Callable[[Mapping[str, Tensor]], State]  # left's state dict -> right's


def main_output(answer: object) -> Tensor:
    """The tensor itself, the logits, or else the last hidden state."""
    if isinstance(answer, Tensor):
        return answer
    for name in ("logits", "last_hidden_state"):
        if getattr(answer, name, None) is not None:
            return getattr(answer, name)
    raise TypeError(f"no main output in {type(answer).__name__}")


def scrambled(module: nn.Module, seed: int) -> nn.Module:
    """The module in eval mode, with no number left at its initial value.

    Layers start with biases of 0, norm weights of 1 and a layer scale of 1e-6; those would make a
    wrong map look right. Vectors that start as one non-zero constant are factors and become
    0.5–1.5; other vectors are shifts; everything else keeps its layer's output of order 1.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for tensor in module.parameters():
            tensor.copy_(_numbers(tensor))
        for name, buffer in module.named_buffers():
            if name in module.state_dict():  # the others are computed, like rotary angles
                _scramble_buffer(name.rpartition(".")[2], buffer)
    return module.eval()


def _numbers(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    if tensor.ndim < 2 or flat.numel() == tensor.shape[-1]:
        is_factor = bool((flat == flat[0]).all()) and flat[0] != 0
        return torch.rand_like(tensor) + 0.5 if is_factor else 0.3 * torch.randn_like(tensor)
    return torch.randn_like(tensor) * (1.5 / tensor[0].numel()) ** 0.5


def _scramble_buffer(name: str, buffer: Tensor) -> None:
    if name == "running_var":
        buffer.uniform_(0.5, 1.5)
    elif name == "num_batches_tracked":
        buffer.random_(1, 1000)
    else:
        buffer.normal_(std=0.3)


def token_ids(*shape: int, vocabulary: int, seed: int) -> Tensor:
    """Random ids from 3 on: the first three are often special (padding, start, end)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, vocabulary, shape, generator=generator)


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moved(state: Mapping[str, Tensor], places: Mapping[str, str]) -> State:
    """Everything below each left prefix, renamed to the right prefix.

    An exact name may stand in place of a prefix. A prefix that names nothing is an error.
    """
    result: State = {}
    for left, right in places.items():
        below = {k: v for k, v in state.items() if k == left or k.startswith(left + ".")}
        if not below:
            raise KeyError(left)
        result |= {right + k[len(left) :]: v for k, v in below.items()}
    return result


def stacked(state: Mapping[str, Tensor], lefts: list[str], right: str) -> State:
    """Several layers with one input, fused into one: their outputs one after the other."""
    kinds = [k for k in ("weight", "bias") if f"{lefts[0]}.{k}" in state]
    return {f"{right}.{k}": torch.cat([state[f"{left}.{k}"] for left in lefts]) for k in kinds}
