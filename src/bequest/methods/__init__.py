"""The ways to transfer, one file each, and the table that names them."""

from bequest.core import Registry, TransferMethod

__all__ = ["METHODS"]

METHODS: Registry[type[TransferMethod]] = Registry(
    "method",
    {
        "from-scratch": "bequest.methods.from_scratch:FromScratch",
        "reuse": "bequest.methods.reuse:Reuse",
        "stack": "bequest.methods.stack:Stack",
        "probe": "bequest.methods.probe:Probe",
        "fine-tune": "bequest.methods.fine_tune:FineTune",
        "parameters": "bequest.methods.parameters:Parameters",
        "lora": "bequest.methods.lora:LoRA",
        "features": "bequest.methods.features:Features",
    },
    group="bequest.methods",
)
