"""A model of ours as one ONNX file.

N samples, D features, C classes, T tokens.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bequest.core import Model, Trains
from bequest.errors import NotApplicable
from bequest.frameworks.encoders.encoder import Scaler, TableEncoder, VectorEncoder
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.encoders.tokens import PADDING, Tokens
from bequest.frameworks.files.output import new_file
from bequest.frameworks.onnx.model import CLASSES, MOST, onnx_place
from bequest.frameworks.portable.to_torch import (
    HasLayers,
    PrepareImages,
    WholeNetwork,
    whole_model,
    whole_network,
)
from bequest.optional import need

if TYPE_CHECKING:
    from bequest.frameworks.combined.ensemble import Ensemble
    from bequest.frameworks.combined.relabelled import Relabelled
    from bequest.frameworks.combined.stacked import Stacked
    from bequest.frameworks.torch.model import Network

    _Combined: TypeAlias = Ensemble | Relabelled | Stacked

__all__ = ["export_onnx"]

Array = NDArray[Any]
LOGGERS = ("torch.onnx", "torch.fx.experimental.symbolic_shapes", "onnxscript", "onnx_ir")
NEAR = 1e-4  # of the largest output: how far the file's answers may be from the network's
TOKENS = 8  # of the example; other lengths are read as well


@final
class _CombinedAnswers(nn.Module):
    """What the file of heads on frozen networks gives; features are those of the first network."""

    def __init__(self, model: HasLayers, classes: int) -> None:
        super().__init__()
        self.whole, self.classes = whole_model(model), classes
        for trunk in self.whole.networks():
            prepare = trunk.prepare
            if isinstance(prepare, PrepareImages):
                prepare.pixels = replace(prepare.pixels, resize=None, crop=None)
            _as_single_operators(trunk.network)

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""
        answer, features = self.whole.with_features(samples)
        if self.classes:
            return {"probabilities": answer.softmax(dim=1), "features": features}
        return {"values": answer.reshape(-1, 1), "features": features}


def _as_single_operators(network: nn.Module) -> None:
    """Of transformers: the exporter trips over fused attention."""
    inner = getattr(network, "network", None)
    if inner is not None and hasattr(inner, "set_attn_implementation"):
        inner.set_attn_implementation("eager")


@final
class _Answers(nn.Module):
    """What the file gives: probabilities or values, and the input of the head."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        encoder = model.encoder
        if isinstance(encoder, Pixels):
            model = replace(model, encoder=replace(encoder, resize=None, crop=None))
        self.whole: WholeNetwork = whole_network(model)
        _as_single_operators(self.whole.network)
        self.classes = len(model.classes)
        self.held: list[Tensor] = []
        if model.classes or isinstance(self._head(model), nn.Linear):
            self._head(model).register_forward_pre_hook(self._hold)

    def _head(self, model: Network) -> nn.Module:
        return self.whole.network.get_submodule(model.head) if model.head else nn.Identity()

    def _hold(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.held.append(given[0])

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""
        self.held.clear()
        raw = self.whole(samples).float()
        features = [one.float() for one in self.held[-1:] if one.ndim == 2]
        self.held.clear()
        found = dict(zip(["features"], features, strict=False))
        return self._prediction(raw) | found

    def _prediction(self, raw: Tensor) -> dict[str, Tensor]:
        if self.classes == 2 and (raw.ndim == 1 or raw.shape[1] == 1):
            second = raw.reshape(-1, 1).sigmoid()
            return {"probabilities": torch.cat([1 - second, second], dim=1)}
        if self.classes:
            return {"probabilities": raw.softmax(dim=1)}
        if self.whole.target_scale is None:
            return {"features": raw}
        if raw.ndim == 2 and raw.shape[1] > 1:
            return {"outputs": raw}
        return {"values": raw.reshape(-1, 1)}


def export_onnx(model: Network | _Combined, path: str | Path) -> None:
    """Write the model as one ONNX file; see `bequest.core.Model.to_onnx`."""
    place = onnx_place(path)
    need("onnxscript", extra="onnx", purpose="writing ONNX files")
    networks: list[Network] = []
    model.layers(networks)
    tensors = [one for network in networks for one in network.module.state_dict().values()]
    size = sum(tensor.nbytes for tensor in tensors)
    if size > MOST:
        raise NotApplicable(f"{_title(model)} has {size / 2**30:.1f} GiB: one ONNX file holds 2.")
    name, example = _one_example(networks, _title(model))
    answers = _answers(model).cpu().eval()
    program = _exported(answers, name, example, _title(model))
    program.model.metadata_props[CLASSES] = json.dumps(list(model.classes))
    with new_file(place) as work:
        program.save(str(work), external_data=False)
        _check_answers(work, answers, name, example, _title(model))


def _title(model: Model) -> str:
    return model.name or "this model"


def _answers(model: Network | _Combined) -> nn.Module:
    if isinstance(model, Trains):
        return _Answers(model)
    return _CombinedAnswers(model, len(model.classes))


def _one_example(networks: Sequence[Network], title: str) -> tuple[str, Tensor]:
    """Of the networks, which one file can only serve if they read the same."""
    (name, example), *others = map(_example, networks)
    if any(other != name or two.shape != example.shape for other, two in others):
        raise NotApplicable(
            f"{title} runs {len(networks)} networks that read inputs of different shapes: one ONNX "
            "file has one input. Write one member: model.members[0].to_onnx(path)."
        )
    return name, example


def _example(model: Network) -> tuple[str, Tensor]:
    """Name of the input, and two samples; their free axes are those of rows, and of tokens."""
    encoder = model.encoder
    if isinstance(encoder, Tokens):
        return "input_ids", torch.ones(2, TOKENS, dtype=torch.int64)
    if isinstance(encoder, TableEncoder):
        return "encoded", torch.zeros(2, encoder.n_numbers + len(encoder.categories))
    if isinstance(encoder, VectorEncoder):
        return "encoded", torch.zeros(2, len(encoder.scaler.mean))
    shape = model.spec.shape
    if isinstance(encoder, Pixels):
        given = shape or encoder.read_shape
        shape = None if given is None else encoder.encode(np.zeros((1, *given))).shape[1:]
    elif not (encoder is None or isinstance(encoder, Scaler)):
        raise NotApplicable(
            f"{_title(model)} encodes its inputs by a {type(encoder).__name__}: how wide they are "
            "is not known, and an ONNX file says it."
        )
    if shape is None:
        raise NotApplicable(
            "an ONNX file says the shape of its input, which is not known here: "
            "bequest.wrap(module, example=one_batch)."
        )
    return "samples", torch.zeros(2, *shape)


def _exported(answers: nn.Module, name: str, example: Tensor, title: str) -> Any:
    free: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
    if not example.is_floating_point():
        free[1] = torch.export.Dim.DYNAMIC
    with torch.no_grad():
        outputs = list(answers(example))
    with _quiet():
        try:
            program: Any = torch.onnx.export(
                answers,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[name],
                output_names=outputs,
                dynamic_shapes=(free,),
            )
        except Exception as error:  # whatever torch's exporter meets in a network
            reason = _innermost(error)
            raise NotApplicable(f"torch's exporter does not manage {title}: {reason}") from error
    return program


def _innermost(error: BaseException) -> str:
    """What went wrong in one line, without the advice that the exporter puts around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Attention as single operators; nothing on the screen but our own words."""
    fused = torch.backends.mha.get_fastpath_enabled()
    loud = [logging.getLogger(name) for name in LOGGERS]
    before = [one.level for one in loud]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for one in loud:
            one.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for one, level in zip(loud, before, strict=True):
            one.setLevel(level)


def _check_answers(work: Path, answers: nn.Module, name: str, example: Tensor, title: str) -> None:
    """Raise `NotApplicable` unless the file answers as the network does."""
    runtime = need("onnxruntime", extra="onnx", purpose="ONNX files")
    session = runtime.InferenceSession(str(work), providers=["CPUExecutionProvider"])
    for rows in (1, 3):
        samples = _other(example, rows)
        with torch.no_grad():
            wanted = {key: value.numpy() for key, value in answers(samples).items()}
        try:
            found = session.run(list(wanted), {name: samples.numpy()})
        except Exception as error:  # onnxruntime's errors share no class
            raise NotApplicable(
                f"torch's exporter gives a file of {title} that does not read {rows} rows: "
                f"{' '.join(str(error).split())[:200]}"
            ) from error
        _compare(dict(zip(wanted, found, strict=True)), wanted, title)


def _other(example: Tensor, rows: int) -> Tensor:
    """So many random samples; of tokens more than the example has, some of them padding."""
    drawn = torch.Generator().manual_seed(rows)
    if example.is_floating_point():
        return torch.rand(rows, *example.shape[1:], generator=drawn)
    tokens = torch.ones(rows, TOKENS + rows, dtype=torch.int64)
    tokens[rows // 2 :, TOKENS // 2 :] = PADDING
    return tokens


def _compare(found: Mapping[str, Array], wanted: Mapping[str, Array], title: str) -> None:
    for key, value in wanted.items():
        apart = np.abs(found[key] - value).max() if found[key].shape == value.shape else np.inf
        if not apart <= NEAR * max(1.0, np.abs(value).max()):
            raise NotApplicable(
                f"torch's exporter gives a file of {title} whose {key} are off by {apart:.2g}: it "
                "is not kept."
            )
