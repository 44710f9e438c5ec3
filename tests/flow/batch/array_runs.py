"""Array runs on a local service: buckets, submissions, and what they leave."""

import time
from collections import Counter
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.submit import Submission, submit_run
from gigacast.batch.watch import watch_run
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.audit import Audit
from gigacast.lake.plan.receipt import Receipt
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.support.moto_server import MotoServer
from tests.support.panels import put_panels


def job_in(store: Store, **options: Any) -> ForecastJob:
    arguments = {"bucket": store.address.url, "model": "seasonal-naive", "horizon": 6, **options}
    return job_of(load_settings(nest_arguments(arguments)))


def submit(store: Store, service: BatchService, children: int = 8, **options: Any) -> Submission:
    settings = load_settings(nest_arguments({"children": children}))
    return submit_run(job_in(store, **options), array_options_of(settings), service)


def watch(store: Store, submission: Submission, service: BatchService) -> Audit:
    return watch_run(store, submission.run_id, service, sleep=lambda seconds: time.sleep(0.05))


def bucket_of(server: MotoServer, parts: int) -> Store:
    store = open_store(server.new_address())
    put_panels(store, ("2024-01", "2024-02"), parts)
    return store


def forecasts(store: Store) -> dict[str, bytes]:
    """The content of every forecast, by key."""
    keys = [e.key for page in store.list("forecasts/") for e in page]
    return {key: store.get(key) for key in keys if not key.endswith("_manifest.parquet")}


def receipts(store: Store) -> list[Receipt]:
    keys = [e.key for page in store.list("timings/") for e in page]
    return [Receipt.from_json(store.get(key), key) for key in keys]


def assert_done_once(store: Store, partitions: int) -> None:
    """Every partition has its forecast and a single receipt."""
    receipt_counts = Counter(receipt.partition for receipt in receipts(store))
    assert len(receipt_counts) == partitions == len(forecasts(store))
    assert set(receipt_counts.values()) == {1}
