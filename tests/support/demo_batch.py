"""The demo as an array job: a Batch and an S3 of this machine, a lost host, and the rest as on AWS.

``make demo-batch``. Needs no network and no account; the children are processes.
"""

import json
import os
import sys
from pathlib import Path

import click

from gigacast.cli.program import run
from gigacast.forecasting.demo import write_demo_data
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer

BUCKET = "gigacast-demo"
CLUMSY = (sys.executable, "-m", "tests.support.batch_child")
AS_IF = {"GIGACAST_INSTANCE": "c7i.large", "GIGACAST_PURCHASE": "spot"}
"""Machine that the children report, so that the bill is that of spot machines."""
LOST = {"child": 1, "attempt": 1, "after": 1, "signal": "SIGKILL"}


def main() -> int:
    """Run the demo; return the exit code of the forecast."""
    os.chdir(Path(__file__).parents[2])
    environment = {"CHILD_ACCIDENT": json.dumps(LOST), **AS_IF}
    with (
        MotoServer(BUCKET),
        LocalBatch(program=CLUMSY, environment=environment, lost_hosts={(1, 1)}) as batch,
    ):
        batch.provision()
        keys = write_demo_data(open_store(StoreAddress(f"s3://{BUCKET}/load")))
        _title(
            f"1. A bucket with {len(keys)} partitions, and two queues: gigacast-cpu, gigacast-gpu"
        )
        job = ["--bucket", BUCKET, "--prefix", "load", "--horizon", "24"]
        _title("2. What it would take, and cost (no receipts yet: by bytes)")
        run(["plan", *job, "--executor", "batch"])
        _title("3. Forecast it as an array of three; the host of child 1 will be lost")
        code = run([*job, "--executor", "batch", "--children", "3", "--queue", "cpu"])
        _title("4. Again: everything is done, nothing is submitted")
        run(["submit", *job, "--queue", "cpu"])
        _title("5. How it stands, from the bucket alone")
        run(["status", *job, "--executor", "batch"])
    return code


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


if __name__ == "__main__":
    sys.exit(main())
