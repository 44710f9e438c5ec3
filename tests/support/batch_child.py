"""The program of a Batch child, with simulated accidents, for `tests/flow/batch/test_array_run.py`.

``CHILD_ACCIDENT`` is JSON: ``{"child": 3, "attempt": 1, "after": 2, "signal": "SIGKILL"}`` ends
child 3 in its first attempt while it works on its third partition. Without it this is
`handler.batch`.
"""

import json
import os
import signal
import sys
import time

from gigacast.core.partition.task import Task
from gigacast.forecasting.partition import PartitionForecaster
from gigacast.lake.plan.receipt import Receipt
from handler.batch import main


def _arrange(accident: dict[str, object]) -> None:
    forecast = PartitionForecaster.__call__
    begun = 0

    def call(self: PartitionForecaster, task: Task) -> Receipt:
        nonlocal begun
        if begun == accident["after"]:
            os.kill(os.getpid(), getattr(signal, str(accident["signal"])))
            time.sleep(30)
        begun += 1
        return forecast(self, task)

    PartitionForecaster.__call__ = call  # type: ignore[method-assign]


if __name__ == "__main__":
    accident = json.loads(os.environ.get("CHILD_ACCIDENT", "{}"))
    index = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0"))
    attempt = int(os.environ["AWS_BATCH_JOB_ATTEMPT"])
    if accident and (accident["child"], accident["attempt"]) == (index, attempt):
        _arrange(accident)
    sys.exit(main(sys.argv[1:], os.environ))
