"""What the page on the hub takes for granted: a model to publish, and a task."""

import numpy as np

import bequest as bq

_X = np.random.default_rng(0).normal(size=(60, 3))
_old = bq.Task.from_arrays(_X, _X[:, 0] > 0, name="ward 3")
model = bq.train(_old, net="linear")
task = bq.Task.from_arrays(_X, _X[:, 0] + 0.1 * _X[:, 1] > 0, name="ward 7")
bq.Hub("~/.bequest").publish(model, "wards/ward3", licence="Apache-2.0")
