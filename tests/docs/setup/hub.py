"""What the page on the hub takes for granted: a model to publish, a task, and a bucket."""

import logging
import os
import urllib.request

import numpy as np
from moto.server import ThreadedMotoServer

import bequest as bq

logging.getLogger("werkzeug").setLevel(logging.ERROR)
_server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
_server.start()
_address = "http://{}:{}".format(*_server.get_host_and_port())
urllib.request.urlopen(urllib.request.Request(f"{_address}/team-models", method="PUT")).close()
os.environ |= {"AWS_ENDPOINT_URL": _address, "AWS_REGION": "us-east-1"}
os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

_X = np.random.default_rng(0).normal(size=(60, 3))
_old = bq.Task.from_arrays(_X, _X[:, 0] > 0, name="ward 3")
model = bq.train(_old, net="linear")
task = bq.Task.from_arrays(_X, _X[:, 0] + 0.1 * _X[:, 1] > 0, name="ward 7")
bq.Hub("~/.bequest").publish(model, "wards/ward3", licence="Apache-2.0")
