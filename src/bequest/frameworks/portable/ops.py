"""The operators that a stored graph may name: tensors in, tensors out, and nothing else.

No operator reads a file, draws on custom code, runs another graph, looks at memory that it did not
make (`empty`, `as_strided`), or hands a number of a tensor back to Python.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.portable.rnn import GATES, CheckedRecurrent

__all__ = ["CHECKS_ONLY", "OPERATORS", "is_inplace", "name_of", "operator_named"]

PATTERN = re.compile(r"aten\.([A-Za-z0-9_]{1,64})\.([A-Za-z0-9_]{1,64})")
INT_LIMIT = 2**63

ALLOWED = """
    linear matmul mm bmm addmm baddbmm addbmm einsum bilinear mv dot outer
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution
    batch_norm layer_norm group_norm instance_norm rms_norm linalg_vector_norm norm _weight_norm
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices
    avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    relu relu_ relu6 relu6_ gelu silu silu_ sigmoid sigmoid_ tanh tanh_ softmax log_softmax
    elu elu_ leaky_relu leaky_relu_ prelu rrelu selu selu_ celu celu_ softplus hardtanh hardtanh_
    hardswish hardswish_ hardsigmoid hardsigmoid_ mish mish_ log_sigmoid softshrink hardshrink
    threshold threshold_ glu
    dropout dropout_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_
    feature_alpha_dropout feature_alpha_dropout_ bernoulli bernoulli_
    lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell
    scaled_dot_product_attention embedding one_hot
    add add_ sub sub_ rsub mul mul_ div div_ true_divide floor_divide remainder fmod
    neg neg_ abs abs_ exp exp_ exp2 expm1 log log_ log2 log10 log1p sqrt sqrt_ rsqrt square pow
    sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc reciprocal sign
    floor ceil round trunc frac clamp clamp_ clamp_min clamp_min_ clamp_max clamp_max_
    maximum minimum where masked_fill masked_fill_ fill fill_ zero_ copy_
    eq ne lt le gt ge logical_and logical_or logical_not logical_xor
    bitwise_and bitwise_or bitwise_not bitwise_xor __and__ __or__ isnan isinf isfinite nan_to_num
    lerp addcmul addcdiv logit logaddexp cosine_similarity
    sum mean var std var_mean std_mean amax amin max min argmax argmin all any prod
    cumsum cumprod logsumexp topk sort argsort
    view view_as reshape reshape_as flatten unflatten squeeze squeeze_ unsqueeze unsqueeze_
    transpose permute t numpy_T mT swapaxes movedim expand expand_as broadcast_to repeat
    repeat_interleave tile cat concat stack chunk split split_with_sizes tensor_split unbind
    select slice narrow index index_select gather take_along_dim index_put index_put_
    scatter scatter_add roll flip pad constant_pad_nd reflection_pad1d reflection_pad2d
    reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    pixel_shuffle pixel_unshuffle channel_shuffle unfold im2col col2im
    diagonal tril triu contiguous clone detach detach_ alias to type_as _to_copy meshgrid ravel
    zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace eye
    scalar_tensor rand randn rand_like randn_like lift_fresh_copy
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d
    upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    sym_size sym_numel
"""
OPERATORS = frozenset(ALLOWED.split())

CHECKS_ONLY = frozenset(
    {
        "_assert_async",
        "_assert_scalar",
        "_assert_tensor_metadata",
        "sym_constrain_range",
        "sym_constrain_range_for_size",
    }
)
"""What an export adds to check itself, and a stored graph leaves out."""


def _whole(function: Callable[..., int]) -> Callable[..., int]:
    """Arithmetic of sizes: whole numbers of 64 bits, so that nothing grows without end."""

    def bounded(*values: Any) -> int:
        if not all(type(value) is int for value in values):
            raise TypeError("arithmetic of anything but whole numbers")
        result = function(*values)
        if abs(result) >= INT_LIMIT:
            raise OverflowError("a size of more than 64 bits")
        return result

    return bounded


def _getitem(values: Any, place: Any) -> Any:
    if not isinstance(values, list | tuple) or type(place) is not int:
        raise TypeError("an item of anything but an operator's several outputs")
    return values[place]


PYTHON: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "operator.getitem": (operator.getitem, _getitem),
} | {
    f"operator.{name}": (getattr(operator, name), _whole(getattr(operator, name)))
    for name in ("add", "sub", "mul", "floordiv", "mod", "neg")
}
"""Name to what an export calls, and what we call in its place."""


def operator_named(name: object) -> Any:
    """The operator of a name such as ``"aten.conv2d.default"``, or ``"operator.mul"`` for sizes.

    `UnsafeModel` where it is not on the list, `ModelError` where this torch does not have it.

    Examples
    --------
    >>> operator_named("aten.relu.default")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    >>> operator_named("aten.from_file.default")
    Traceback (most recent call last):
        ...
    bequest.errors.UnsafeModel: the graph uses 'aten.from_file.default', which is not allowed.
    """
    if isinstance(name, str) and name in PYTHON:
        return PYTHON[name][1]
    match = PATTERN.fullmatch(name) if isinstance(name, str) else None
    if match is None or match[1] not in OPERATORS or match[2].endswith("out"):
        raise UnsafeModel(f"the graph uses {ascii(name)[:100]}, which is not allowed.")
    packet = getattr(torch.ops.aten, match[1], None)
    if packet is None or match[2] not in packet.overloads():
        raise ModelError(f"the graph uses {name}, which torch {torch.__version__} does not have.")
    called = getattr(packet, match[2])
    if not _is_plain(called):
        raise UnsafeModel(f"the graph uses {ascii(name)[:100]}, which is not allowed.")
    return CheckedRecurrent(called, GATES[match[1]]) if match[1] in GATES else called


def _is_plain(called: Any) -> bool:
    """Whether a form of an operator gives tensors, or a size, and sees them as what they are."""
    if called._schema.name in ("aten::sym_size", "aten::sym_numel"):
        return True
    gives = {str(result.real_type) for result in called._schema.returns}
    seen_as_other = called._schema.name == "aten::view" and called._overloadname == "dtype"
    packed = "batch_sizes" in [argument.name for argument in called._schema.arguments]
    return gives <= {"Tensor", "List[Tensor]"} and not seen_as_other and not packed


def name_of(target: Any) -> str:
    """The name under which a graph stores an export's call target, which must be on the list."""
    for name, (called, _) in PYTHON.items():
        if target is called:
            return name
    if isinstance(target, torch._ops.OpOverload):
        namespace, _, base = target._schema.name.partition("::")
        if namespace == "aten" and base in OPERATORS | CHECKS_ONLY:
            return f"aten.{base}.{target._overloadname}"
    raise ModelError(f"it uses {target}, which a portable graph cannot hold.")


def is_inplace(target: Any) -> bool:
    """Whether calling it changes a tensor, so that it counts though nobody reads its output."""
    return isinstance(target, torch._ops.OpOverload) and bool(target._schema.is_mutable)
