"""The nouns: task, model, method, metric, outcome. Knows no framework."""

from bequest.core.card import Card
from bequest.core.inputs import (
    Inputs,
    InputSpec,
    Modality,
    Table,
    Texts,
    as_inputs,
    fingerprint,
    spec_of,
)
from bequest.core.jackknife_metrics import JackknifeMetric
from bequest.core.mean_metrics import MeanMetric
from bequest.core.method import TransferMethod
from bequest.core.metric import METRICS, Metric, PerGroup, metric_named
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
    "LOADERS",
    "METRICS",
    "ArmResult",
    "Card",
    "InputSpec",
    "Inputs",
    "JackknifeMetric",
    "Label",
    "LabelsSaved",
    "MeanMetric",
    "Metric",
    "Modality",
    "Model",
    "Outcome",
    "PerGroup",
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
    "spec_of",
]
