"""The nouns: task, model, method, metric, outcome. Knows no framework."""

from bequest.core.card import Card
from bequest.core.inputs import (
    Inputs,
    InputSpec,
    Table,
    Texts,
    as_inputs,
    fingerprint,
    modality_of,
    spec_of,
)
from bequest.core.method import TransferMethod
from bequest.core.metric import METRICS, Metric, metric_named
from bequest.core.modality import ENCODERS, MODALITIES, Encoder, Modality
from bequest.core.model import Model
from bequest.core.outcome import (
    ArmResult,
    LabelsSaved,
    Outcome,
    RankedSource,
    TestResult,
    Verdict,
)
from bequest.core.registry import Registry
from bequest.core.task import LOADERS, Label, Task

__all__ = [
    "ENCODERS",
    "LOADERS",
    "METRICS",
    "MODALITIES",
    "ArmResult",
    "Card",
    "Encoder",
    "InputSpec",
    "Inputs",
    "Label",
    "LabelsSaved",
    "Metric",
    "Modality",
    "Model",
    "Outcome",
    "RankedSource",
    "Registry",
    "Table",
    "Task",
    "TestResult",
    "Texts",
    "TransferMethod",
    "Verdict",
    "as_inputs",
    "fingerprint",
    "metric_named",
    "modality_of",
    "spec_of",
]
