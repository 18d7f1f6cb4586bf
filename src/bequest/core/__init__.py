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
from bequest.core.model import (
    GivesFeatures,
    HasParameters,
    Model,
    Predicts,
    Trains,
    features_of,
    output_of,
    parameters_of,
)
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
    "GivesFeatures",
    "HasParameters",
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
    "Predicts",
    "RankedSource",
    "Registry",
    "Table",
    "Task",
    "TestResult",
    "Texts",
    "Trains",
    "TransferMethod",
    "Verdict",
    "as_inputs",
    "features_of",
    "fingerprint",
    "metric_named",
    "output_of",
    "parameters_of",
    "spec_of",
]
