"""The ways to train from scratch and to transfer, one file each, and the tables that name them."""

from bequest.core import Baseline, Registry, TransferMethod

__all__ = ["BASELINES", "METHODS"]

BASELINES: Registry[type[Baseline]] = Registry(
    "baseline",
    {"from-scratch": "bequest.methods.from_scratch:FromScratch"},
    group="bequest.baselines",
    of=Baseline,
    classes=True,
)

METHODS: Registry[type[TransferMethod]] = Registry(
    "method",
    {
        "reuse": "bequest.methods.reuse:Reuse",
        "stack": "bequest.methods.stack:Stack",
        "probe": "bequest.methods.probe:Probe",
        "continued-boosting": "bequest.methods.continued_boosting:ContinuedBoosting",
        "fine-tune": "bequest.methods.fine_tune:FineTune",
        "parameters": "bequest.methods.parameters:Parameters",
        "lora": "bequest.methods.lora:LoRA",
        "features": "bequest.methods.features:Features",
        "pooled": "bequest.methods.pooled:Pooled",
    },
    group="bequest.methods",
    of=TransferMethod,
    classes=True,
)
