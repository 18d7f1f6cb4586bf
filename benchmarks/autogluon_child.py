"""AutoGluon in an environment of its own: predict one table's labels after fitting another.

    PYTHON autogluon_child.py TRAIN.csv TEST.csv LABEL SECONDS FOLDER

prints the predictions as a JSON list. It wants other versions than bequest, and imports none of it.
"""

import json
import sys

import pandas as pd
from autogluon.tabular import TabularPredictor

train, test, label, seconds, folder = sys.argv[1:]
predictor = TabularPredictor(
    label=label, eval_metric="balanced_accuracy", path=folder, verbosity=0
).fit(pd.read_csv(train), time_limit=float(seconds), num_cpus=1, num_gpus=0)
print(json.dumps(predictor.predict(pd.read_csv(test)).tolist()))
