"""The built-in modalities, one file each; `bequest.core.MODALITIES` finds them by name."""
