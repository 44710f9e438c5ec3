"""Forecast a partition on each queue of a deployment, from plan to receipt: `make smoke`.

``python -m infra.smoke [--config FILE] [--bucket BUCKET] [--queue cpu|gpu]``. Data, plan, forecast
and receipt are below ``_smoke/`` of the prefix, where children may write, too; they are removed
when all is well. On the queue ``gpu`` the child computes on CUDA or fails: a build of torch that
does not fit the driver of the machine's image is found here.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gigacast.batch.aws import BatchService
from gigacast.batch.service import ArrayService
from gigacast.batch.submit import submit_run
from gigacast.batch.watch import watch_run
from gigacast.errors import ComputeError, ConfigError, GigacastError
from gigacast.lake.layout import TIMINGS
from gigacast.lake.plan.receipt import Receipt
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.writer import ParquetSink
from gigacast.storage.store import Store, StoreAddress
from infra.account import DEFAULT_MODEL
from infra.configuration import ROOT, Deployment

FOLDER = "_smoke"
QUEUES = ("cpu", "gpu")
_KEY = "2024/01/part-00000.parquet"
_SERIES, _STEPS, _HORIZON = 8, 240, 24
_SCHEMA = pa.schema(
    [("item_id", pa.string()), ("timestamp", pa.timestamp("us")), ("target", pa.float32())]
)


@dataclass(frozen=True)
class Smoked:
    """What a queue has done.

    Parameters
    ----------
    queue, run_id : str
    device, instance : str
        Device and machine that the receipt names.
    series : int
    """

    queue: str
    run_id: str
    device: str
    instance: str
    series: int


def smoke(
    deployment: Deployment,
    bucket: str,
    service: ArrayService,
    *,
    queues: Sequence[str] = QUEUES,
    sleep: Callable[[float], None] | None = None,
) -> list[Smoked]:
    """Forecast a partition on each queue; return what the receipts say.

    Parameters
    ----------
    deployment : Deployment
    bucket : str
    service : ArrayService
    queues : sequence of str
    sleep : callable, optional
        Waits for a number of seconds; `time.sleep` by default.

    Raises
    ------
    ComputeError
        If a partition was not forecast; the message has the reason.
    """
    return [_smoke(deployment, bucket, service, queue, sleep) for queue in queues]


def _smoke(
    deployment: Deployment,
    bucket: str,
    service: ArrayService,
    queue: str,
    sleep: Callable[[float], None] | None,
) -> Smoked:
    prefix = f"{deployment.prefix}{FOLDER}/{queue}"
    store = open_store(StoreAddress(f"s3://{bucket}/{prefix}", region=deployment.region))
    _clear(store)
    _write_partition(store)
    arguments = {
        "bucket": bucket,
        "prefix": prefix,
        "region": deployment.region,
        "model": deployment.parameters.get("Model", DEFAULT_MODEL),
        "horizon": _HORIZON,
        "queue": queue,
        "children": 1,
        "stack": deployment.name,
    }
    settings = load_settings(nest_arguments(arguments))
    submission = submit_run(job_of(settings), array_options_of(settings), service)
    sys.stderr.write(f"{submission.queue}: {submission.run_id}\n")
    more = {} if sleep is None else {"sleep": sleep}
    audit = watch_run(store, submission.run_id, service, **more)
    receipts = _receipts(store)
    if audit.status != "completed" or len(receipts) != 1:
        reasons = [str(failure.get("message")) for failure in audit.failures]
        raise ComputeError(
            f"{submission.queue}: {'; '.join(reasons) or audit.status}",
            hint=f"gigacast logs {submission.run_id} --bucket {bucket} --prefix {prefix}; for CUDA "
            "see gpu_torch_index and GpuAmi in config/aws.yaml",
        )
    (receipt,) = receipts
    _clear(store)
    return Smoked(
        queue, submission.run_id, receipt.device, receipt.instance or "unknown", receipt.series
    )


def _write_partition(store: Store) -> None:
    hours = np.datetime64("2024-01-01", "us") + np.arange(_STEPS) * np.timedelta64(1, "h")
    levels = np.repeat(np.arange(1, _SERIES + 1), _STEPS)
    daily = np.sin(np.arange(_STEPS) / 24 * 2 * np.pi)
    table = pa.table(
        {
            "item_id": np.char.add("series-", levels.astype(str)),
            "timestamp": np.tile(hours, _SERIES),
            "target": (10 * levels + np.tile(daily, _SERIES)).astype(np.float32),
        },
        _SCHEMA,
    )
    with ParquetSink(store, _KEY, _SCHEMA) as sink:
        sink.write(table)


def _receipts(store: Store) -> list[Receipt]:
    keys = [entry.key for page in store.list(TIMINGS) for entry in page]
    return [Receipt.from_json(store.get(key), key) for key in keys]


def _clear(store: Store) -> None:
    keys = [entry.key for page in store.list() for entry in page]
    if keys:
        store.delete(keys)


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "aws.yaml")
    parser.add_argument("--bucket", help="that of the stack NAME-storage by default")
    parser.add_argument("--queue", choices=QUEUES, help="both by default")
    options = parser.parse_args(arguments)
    try:
        deployment = Deployment.read(options.config)
        bucket = options.bucket or _bucket_of(deployment)
        queues = [options.queue] if options.queue else QUEUES
        done = smoke(deployment, bucket, BatchService(deployment.region), queues=queues)
    except GigacastError as error:
        sys.stderr.write(f"smoke: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return 1
    for entry in done:
        print(  # noqa: T201
            f"{deployment.name}-{entry.queue}: {entry.series} series on {entry.device} "
            f"({entry.instance}), {entry.run_id}"
        )
    return 0


def _bucket_of(deployment: Deployment) -> str:
    import boto3  # noqa: PLC0415 - only needed without --bucket

    from infra.cloud import Cloud  # noqa: PLC0415 - as above

    client = boto3.client("cloudformation", region_name=deployment.region)
    bucket = Cloud(deployment, client).outputs("storage").get("Bucket")
    if bucket is None:
        raise ConfigError(f"{deployment.name}-storage: not deployed", hint="make deploy")
    return bucket


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
