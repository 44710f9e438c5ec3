"""Cost of a fetch of ten features by online store: CPU of the thread, beside a bare read.

    python benchmarks/fetch.py [--keys 5000] [--fetches 5000] [--output FILE]

Keys are sparse (20 to 60 events in a batch of 32 days, 0 to 120 streamed on the day) or dense
(3,000 to 5,000, and 1,000 streamed). Features are SUM, COUNT and AVERAGE over 3, 14 and 30 days,
and LAST_K(10), at moments within two days after the batch. Wall time is left out: on a shared
machine it is that of waiting. CPU time grows there, too, when neighbours empty the caches: "calm"
is the 99th percentile over keys of the least of ten fetches of each.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from gigacast.feature_store import Aggregation, EventSource, GroupBy, Operation, Query, Window
from gigacast.feature_store.aggregation.kernel import Rows
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.online.batch_state import Span, build_batch
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.key import key_digest, stream_prefix
from gigacast.feature_store.online.lmdb import LmdbOnlineStore
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.online.serving import STATES, Batch, ServedGroupBy, serving_digest
from gigacast.feature_store.online.sqlite import SqliteOnlineStore
from gigacast.feature_store.online.store import OnlineStore
from gigacast.feature_store.online.stream_state import DayValue, StreamRow
from gigacast.feature_store.uploads.writer import BatchWriter

DAY = 86_400_000
END = 19_693 * DAY
NAME = "bench.returns.v1"
SPAN = Span(END, 3 * DAY)
WINDOWS = [Window(days, "DAYS") for days in (3, 14, 30)]  # type: ignore[arg-type]
GROUP_BY = GroupBy(
    sources=[EventSource(table="data.returns", topic="returns", query=Query(time_column="ts"))],
    keys=["user_id"],
    aggregations=[
        *(
            Aggregation("price", operation, WINDOWS)
            for operation in (Operation.SUM, Operation.COUNT, Operation.AVERAGE)
        ),
        Aggregation("price", Operation.LAST_K(10)),
    ],
    name=NAME,
)
SCHEMA = pa.schema([("user_id", pa.int64()), ("price", pa.int64())])


def draw_rows(rng: np.random.Generator, keys: int, dense: bool) -> Rows:
    counts = rng.integers(3000, 5000, keys) if dense else rng.integers(20, 60, keys)
    total = int(counts.sum())
    times = END - rng.integers(1, 32 * DAY, total)
    prices = pa.table({"price": rng.integers(0, 1000, total)})
    return Rows([pa.array(np.repeat(np.arange(keys), counts))], times, prices)


def fill(store: OnlineStore, keys: int, dense: bool) -> None:
    rng = np.random.default_rng(7)
    features = Features(parts_of(GROUP_BY), SCHEMA)
    batch = Batch(f"{END}-bench", serving_digest(GROUP_BY, SCHEMA), "2023-12-01", END, 3 * DAY)
    writer = BatchWriter(store, NAME)
    start = time.process_time()
    values = [
        (key_digest(key), value)
        for key, value in build_batch(features, draw_rows(rng, keys, dense), SPAN)
    ]
    seconds = time.process_time() - start
    count = writer.write(batch, values)
    print(
        f"  built {count.keys:,} keys in {seconds:.2f} CPU s, "
        f"{count.size_bytes / count.keys:,.0f} bytes a key"
    )
    writer.serve(ServedGroupBy(GROUP_BY, batch, STATES, SCHEMA, SCHEMA, 0, count.keys))
    prefix = stream_prefix(NAME, batch.digest, END)
    items = []
    for key in range(keys):
        day = DayValue(features, END)
        for _ in range(1000 if dense else int(rng.choice([0, 3, 40, 120]))):
            at = END + int(rng.integers(0, 20 * 3_600_000))
            day.add(StreamRow(at, at, False, [int(rng.integers(0, 1000))]))
        if day.count:
            items.append((f"{prefix}{key_digest([key])}", day.encode()))
    store.put_many(items)


def measure(work: Callable[[int], object], keys: Sequence[int]) -> dict[str, float]:
    """Return percentiles of the CPU time in microseconds: of all calls, and of the least by key."""
    taken = []
    for key in keys:
        start = time.thread_time_ns()
        work(key)
        taken.append((time.thread_time_ns() - start) / 1e3)
    least = []
    for key in keys[:200]:
        best = np.inf
        for _ in range(10):
            start = time.thread_time_ns()
            work(key)
            best = min(best, (time.thread_time_ns() - start) / 1e3)
        least.append(best)
    return {
        "p50_us": round(float(np.percentile(taken, 50)), 1),
        "p99_us": round(float(np.percentile(taken, 99)), 1),
        "calm_p50_us": round(float(np.percentile(least, 50)), 1),
        "calm_p99_us": round(float(np.percentile(least, 99)), 1),
    }


def bench(
    name: str, store: OnlineStore, keys: int, fetches: int, dense: bool
) -> dict[str, dict[str, float]]:
    print(f"{name}, {'dense' if dense else 'sparse'} keys")
    fill(store, keys, dense)
    chosen = random.Random(1)
    order = [chosen.randrange(keys) for _ in range(fetches)]
    moments = {key: END + chosen.randrange(20 * 3_600_000, 47 * 3_600_000) for key in range(keys)}
    fetcher = Fetcher(store, refresh_s=60)
    stored = [key for key, _ in store.scan("b/")]

    def fetch(key: int) -> object:
        return fetcher.fetch_group_by([Request(NAME, {"user_id": key}, moments[key])])

    results = {
        "read": measure(lambda key: store.get_many([stored[key]]), order),
        "fetch": measure(fetch, order),
    }
    for label, figures in results.items():
        print(f"  {label:6s}" + "  ".join(f"{n} {value:7.1f}" for n, value in figures.items()))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--fetches", type=int, default=5000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = {}
    for dense in (False, True):
        keys = max(arguments.keys // 100, 10) if dense else arguments.keys
        with tempfile.TemporaryDirectory() as folder:
            stores: dict[str, OnlineStore] = {
                "memory": MemoryOnlineStore(),
                "SQLite": SqliteOnlineStore(Path(folder) / "online.sqlite"),
                "LMDB": LmdbOnlineStore(Path(folder) / "lmdb", map_bytes=1 << 30),
            }
            for name, store in stores.items():
                label = f"{name}, {'dense' if dense else 'sparse'}"
                results[label] = bench(name, store, keys, arguments.fetches, dense)
                store.close()
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
