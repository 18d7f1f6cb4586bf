"""All benchmarks, into benchmarks/results/: one JSON each, and the table of the README.

python -m benchmarks [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
NAMES = (
    "logme",
    "training_loop",
    "executors",
    "gain_coverage",
    "gain_averages",
    "transfer",
    "pretrained",
    "heart_automl",
    "worthless",
    "boosting",
    "arms",
    "ranking_null",
    "regularisers",
    "fine_tuning",
    "lineage",
    "parameters",
    "mapping",
    "map_transformers",
    "map_confidence",
    "map_name_swaps",
    "suggest",
    "sketch_leak",
    "hub_graph",
    "hub",
    "overlap",
)


def machine() -> dict:
    names = ("bequest", "numpy", "scipy", "scikit-learn", "torch")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form, under 20 minutes")
    parser.add_argument("--only", choices=NAMES)
    chosen = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for name in [chosen.only] if chosen.only else NAMES:
        figures = importlib.import_module(f"benchmarks.{name}").run(quick=chosen.quick)
        path = RESULTS / f"{name}{'-quick' if chosen.quick else ''}.json"
        whole = {"machine": machine(), "figures": figures}
        path.write_text(json.dumps(whole, indent=1, default=float) + "\n")
        print(f"{name}: written to {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
