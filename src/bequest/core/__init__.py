"""The nouns: task, model, method, metric, outcome. Knows no framework."""

from bequest.core.card import Card
from bequest.core.deadline import check_time, due_in, time_left
from bequest.core.executor import Done, Executor
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
from bequest.core.jackknife_metrics import JackknifeMetric
from bequest.core.mean_metrics import MeanMetric
from bequest.core.method import Baseline, Takes, TransferMethod
from bequest.core.metric import METRICS, Metric, PerGroup, metric_named
from bequest.core.modality import ENCODERS, MODALITIES, Encoder, Modality
from bequest.core.model import (
    GivesFeatures,
    HasMembers,
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
    SourceGain,
    TestResult,
    Verdict,
)
from bequest.core.registry import Registry
from bequest.core.source import Source
from bequest.core.task import LOADERS, Label, Task
from bequest.core.task_summary import RowFingerprints, TaskSummary

__all__ = [
    "ENCODERS",
    "LOADERS",
    "METRICS",
    "MODALITIES",
    "ArmResult",
    "Baseline",
    "Card",
    "Done",
    "Encoder",
    "Executor",
    "GivesFeatures",
    "HasMembers",
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
    "RowFingerprints",
    "Source",
    "SourceGain",
    "Table",
    "Takes",
    "Task",
    "TaskSummary",
    "TestResult",
    "Texts",
    "Trains",
    "TransferMethod",
    "Verdict",
    "as_inputs",
    "check_time",
    "due_in",
    "features_of",
    "fingerprint",
    "metric_named",
    "modality_of",
    "output_of",
    "parameters_of",
    "spec_of",
    "time_left",
]
