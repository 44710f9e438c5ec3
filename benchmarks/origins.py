"""Count the requests beside a thousand kept nights of each partition, and extrapolate them.

    python benchmarks/origins.py [PARTITIONS] [--nights N]

The store is in memory and lists a thousand keys a page, as S3 does. Requests are counted by kind
for each command, once without kept nights and once beside all of them; what a partition adds is the
difference over the partitions. Seconds are not measured: they are the network's.
"""

import argparse
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import gigacast
from gigacast.anomalies.job import AnomalyJob
from gigacast.anomalies.stored import SearchPlanner
from gigacast.backtesting.evaluation.run import EvaluationJob, plan_evaluation
from gigacast.forecasting.prepare import prepare
from gigacast.forecasting.read import find_generations, read_generation
from gigacast.forecasting.run import run_forecast
from gigacast.forecasting.stored.listing import list_forecasts
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import origin_key
from gigacast.lake.plan.planner import make_plan
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.memory import MemoryStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import ObjectMeta, Store

NAME = "origins-benchmark"
DAYS = 40
MILLION = 1_000_000
ONE = {"forecast, one new partition", "ls origins"}
COUNTS: Counter[str] = Counter()


def count_requests(monkeyed: type[Store] = MemoryStore) -> None:
    """Count what a store of this type is asked for; a page of a listing is a request."""

    def counting(name: str) -> None:
        original: Callable[..., Any] = getattr(monkeyed, name)

        def counted(self: Store, *args: Any, **options: Any) -> Any:
            COUNTS[name] += 1
            return original(self, *args, **options)

        setattr(monkeyed, name, counted)

    for name in ("head", "get", "put", "put_if_absent", "put_if_match", "delete", "list_folder"):
        counting(name)
    pages = monkeyed.list

    def listing(self: Store, *args: Any, **options: Any) -> Iterator[list[ObjectMeta]]:
        empty = True
        for page in pages(self, *args, **options):
            empty = False
            COUNTS["list"] += 1
            yield page
        COUNTS["list"] += empty

    monkeyed.list = listing  # type: ignore[method-assign]


def panel(days: int) -> bytes:
    """Return three series of some days."""
    first = np.datetime64("2024-01-01", "us")
    times = np.tile(first + np.arange(days) * np.timedelta64(1, "D"), 3)
    items = np.repeat(["a", "b", "c"], days)
    values = np.sin(np.arange(3 * days)) + 10
    sink = io.BytesIO()
    pq.write_table(pa.table({"item_id": items, "timestamp": times, "target": values}), sink)
    return sink.getvalue()


def make_bucket(partitions: int) -> tuple[Store, ForecastJob]:
    """Return a bucket whose partitions are forecast once, and the job."""
    store = open_store(MemoryStore(NAME).address)
    content = panel(DAYS)
    for part in range(partitions):
        store.put(f"2024/02/part-{part:05d}.parquet", content)
    arguments = {"bucket": store.address.url, "model": "seasonal-naive", "horizon": 7}
    job = job_of(load_settings(nest_arguments({**arguments, "executor": "inline"})))
    run_forecast(job)
    return store, job


def keep_nights(store: Store, nights: int) -> None:
    """Put copies of each forecast where earlier nights are kept."""
    (generation,) = find_generations(store)
    prefix = generation.key.rpartition("/")[0]
    entries = [e for page in store.list(f"{prefix}/2024/") for e in page]
    first = date(2021, 1, 1)
    for entry in entries:
        content = store.get(entry.key)
        for night in range(nights):
            cutoff = f"{first + timedelta(days=night)}T000000"
            store.put(origin_key(entry.key, cutoff, f"etag {night}"), content)


def commands(store: Store, job: ForecastJob) -> dict[str, Callable[[], object]]:
    """Return what is counted by name; `ONE` of them look at one partition, the others at all."""
    (generation,) = find_generations(store)
    prepared = prepare(job)
    search, evaluation = AnomalyJob(job), EvaluationJob(job)

    def rerun() -> None:
        # One more day of one partition: its forecast is replaced.
        days = DAYS + 1 + len([*store.list_folder("audit/").objects])
        store.put("2024/02/part-00000.parquet", panel(days))
        COUNTS.clear()
        run_forecast(job)

    return {
        "plan": lambda: make_plan(prepared.inputs, prepared.outputs, prepared.request()),
        "forecast, one new partition": rerun,
        "read": lambda: read_generation(store, generation),
        "read --origin DAY": lambda: read_generation(store, generation, origin="2021-01-05"),
        "ls": lambda: list_forecasts(store.address, "specs"),
        "ls origins": lambda: list_forecasts(store.address, "origins"),
        "anomalies, the plan": lambda: SearchPlanner(search, store, store).add(generation),
        "evaluate, the plan": lambda: plan_evaluation(evaluation),
    }


def measure(store: Store, job: ForecastJob) -> dict[str, Counter[str]]:
    """Return the requests of each command."""
    counted = {}
    for name, command in commands(store, job).items():
        COUNTS.clear()
        with suppress(gigacast.GigacastError):  # there is no forecast of that day yet
            command()
        counted[name] = Counter(COUNTS)
    return counted


def main() -> None:
    """Count without and beside the nights, and print both with what a million partitions add."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partitions", type=int, nargs="?", default=20)
    parser.add_argument("--nights", type=int, default=1000)
    options = parser.parse_args()
    store, job = make_bucket(options.partitions)
    count_requests()
    before = measure(store, job)
    keep_nights(store, options.nights)
    after = measure(store, job)
    print(f"{options.partitions} partitions; requests without, and beside {options.nights} nights")
    for name, counts in after.items():
        added = counts.total() - before[name].total()
        each = added / (1 if name in ONE else options.partitions)
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
        million = f"{each:g} a partition" + (
            "" if name in ONE else f": {each * MILLION:,.0f} for a million"
        )
        print(f"{name:28} {before[name].total():5} {counts.total():5}  {million}; {kinds}")


if __name__ == "__main__":
    main()
