"""Cost of the two engines of the feature store over the same tables, answers compared to the bit.

    python benchmarks/spark.py [--rows 1000000] [--queries 50000]

Events of 60 days are in a folder for each day; a third of events and queries are on one key. The
queries are in the last 30 days. Features are SUM, COUNT and MAX over 1 hour, 7 days and 30 days.
Each engine is a process of its own: wall time and CPU seconds, with those of Java and of all
workers. Of Spark the start is measured apart, and the aggregation twice in the same session.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.feature_store.aggregation.kernel import Queries
from gigacast.feature_store.aggregation.operation import Call
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.engine.engine import TIME, Engine, Partition, Reading, Scan
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.table import Table
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress

DAY, HOUR = 86_400_000, 3_600_000
START = 1_696_118_400_000  # a midnight
DAYS, ENDED = 60, 30
WINDOWS = {"1h": HOUR, "7d": 7 * DAY, "30d": 30 * DAY}


def write_data(folder: Path, rows: int, queries: int) -> None:
    rng = np.random.default_rng(0)
    keys = max(5000, rows // 400)

    def draw(count: int) -> np.ndarray:
        cold = 1 + (keys * rng.random(count) ** 2).astype(np.int64)
        return np.where(rng.random(count) < 0.3, 0, cold)

    for day in range(DAYS):
        count = rows // DAYS
        at = START + day * DAY + rng.integers(0, DAY, count)
        table = pa.table({"k": draw(count), "ts": at, "x": rng.integers(0, 1000, count)})
        path = folder / f"events/ds={np.datetime64(START, 'ms').astype('M8[D]') + day}"
        path.mkdir(parents=True)
        pq.write_table(table, path / "part-0.parquet")
    at = START + ENDED * DAY + rng.integers(0, (DAYS - ENDED) * DAY, queries)
    pq.write_table(pa.table({"k": draw(queries), "ts": at}), folder / "q.parquet")


def scan_of(engine: Engine, folder: Path) -> Scan:
    table = Table("db.events", open_store(StoreAddress(f"file://{folder}")), "events/", {})
    days = list(table.partitions().values())
    columns = {"k": "k", "x": "x"}
    readings = [Reading(table, files, columns, {TIME: "ts"}, label="bench") for files in days]
    ended = tuple(
        Partition(reading, f"tiles/{n}", START + (n + 1) * DAY)
        for n, reading in enumerate(readings[:ENDED])
    )
    later = tuple(meta for files in days[ENDED:] for meta in files)
    return Scan(("k",), engine.schema(readings[0]), ended, (replace(readings[0], files=later),))


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all below it, the ended ones too."""
    process = psutil.Process()
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(name: str, folder: Path) -> None:
    parts = [
        Part(f"{operation}_{window}", "x", Call(operation), length)
        for operation in ("SUM", "COUNT", "MAX")
        for window, length in WINDOWS.items()
    ]
    table = pq.read_table(folder / "q.parquet")
    queries = Queries([table["k"].combine_chunks()], table["ts"].to_numpy())
    clock, cpu = time.perf_counter(), cpu_seconds()
    steps = {}

    def note(step: str) -> None:
        nonlocal clock, cpu
        now, used = time.perf_counter(), cpu_seconds()
        steps[step] = {"wall_s": round(now - clock, 2), "cpu_s": round(used - cpu, 2)}
        clock, cpu = now, used

    if name == "spark":
        from gigacast.feature_store.engine.spark import SparkEngine
        from gigacast.feature_store.engine.spark_session import open_session

        engine: Engine = SparkEngine(Limits())
        open_session(Limits().memory).sql("SELECT 1").collect()
        note("start")
    else:
        engine = LocalEngine(Limits())
    for attempt in ("first", "second"):
        features = engine.aggregate(queries, scan_of(engine, folder), parts)
        note(attempt)
    pq.write_table(features, folder / f"{name}.parquet")
    print(json.dumps(steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--engine", choices=["local", "spark"])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.engine:
        measure(arguments.engine, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, arguments.rows, arguments.queries)
        for engine in ("local", "spark"):
            command = [sys.executable, __file__, "--engine", engine, "--folder", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(engine, done.stdout.strip().splitlines()[-1], flush=True)
        answers = [pq.read_table(folder / f"{engine}.parquet") for engine in ("local", "spark")]
        print("equal to the bit:", answers[0].equals(answers[1]))


if __name__ == "__main__":
    main()
