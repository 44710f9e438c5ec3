"""Cost of an upload by number of keys: seconds, memory, bytes, and keys a second.

    python benchmarks/upload.py [100000 1000000] [--events 5] [--store sqlite]
        [--output benchmarks/results/upload.json]

Ten features of a key as in `benchmarks/fetch.py`: SUM, COUNT and AVERAGE over 3, 14 and 30 days,
and LAST_K(10), of purchases of 30 days. The command `gigacast feature-store upload` runs in a
process of its own, whose CPU, greatest memory and time are those that the system tells.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
FIRST = date(2024, 1, 1)
DAYS = 30
DAY_MS = 86_400_000
DEFINITION = """
from gigacast.feature_store import Aggregation, EventSource, GroupBy, Operation, Query, Source
from gigacast.feature_store import TimeUnit, Window, select

windows = [Window(length=days, timeUnit=TimeUnit.DAYS) for days in (3, 14, 30)]
query = Query(selects=select("user_id", "price"), time_column="ts")
v1 = GroupBy(
    sources=[Source(events=EventSource(table="data.purchases", topic="purchases", query=query))],
    keys=["user_id"],
    online=True,
    aggregations=[
        *(
            Aggregation(input_column="price", operation=operation, windows=windows)
            for operation in (Operation.SUM, Operation.COUNT, Operation.AVERAGE)
        ),
        Aggregation(input_column="price", operation=Operation.LAST_K(10)),
    ],
)
"""


def write_lake(folder: Path, keys: int, events: int) -> None:
    """Write the definition, and the purchases of each day: every key has some."""
    source = folder / "features" / "group_bys" / "shop" / "purchases.py"
    source.parent.mkdir(parents=True)
    source.write_text(DEFINITION)
    rng = np.random.default_rng(7)
    days = rng.integers(0, DAYS, keys * events)
    users = np.repeat(np.arange(keys), events)
    for n in range(DAYS):
        mine = rng.permutation(users[days == n])
        start = (FIRST.toordinal() - date(1970, 1, 1).toordinal() + n) * DAY_MS
        table = pa.table(
            {
                "user_id": mine,
                "ts": start + rng.integers(0, DAY_MS, len(mine)),
                "price": rng.integers(0, 1000, len(mine)),
            }
        )
        place = folder / "lake" / "data" / "purchases" / f"ds={FIRST + timedelta(n)}"
        place.mkdir(parents=True)
        pq.write_table(table, place / "part-0.parquet")


def run(folder: Path, *words: str) -> tuple[float, Any]:
    """Run a command, and return its seconds and the system's account of it."""
    command = [sys.executable, "-m", "gigacast", "feature-store", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, "--bucket", f"file://{folder / 'lake'}"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (words, status)
    return time.monotonic() - start, usage


def measure(keys: int, events: int, store: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lake(folder, keys, events)
        run(folder, "compile", str(folder / "features"))
        online = folder / "online"
        place = f"{store}:{online}"
        day = str(FIRST + timedelta(DAYS - 1))
        words = ("upload", "shop.purchases.v1", "--ds", day, "--online_store", place)
        seconds, usage = run(folder, *words)
        files = [online] if online.is_file() else [*online.rglob("*")]
        stored = sum(file.stat().st_blocks * 512 for file in files)
        cpu = usage.ru_utime + usage.ru_stime
        return {
            "keys": keys,
            "rows": keys * events,
            "seconds": round(seconds, 1),
            "cpu_s": round(cpu, 1),
            "peak_mib": round(usage.ru_maxrss / 1024),
            "store_mb": round(stored / 1e6),
            "keys_per_cpu_s": round(keys / cpu),
            "rows_per_cpu_s": round(keys * events / cpu),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("keys", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--events", type=int, default=5)
    parser.add_argument("--store", choices=["sqlite", "lmdb"], default="sqlite")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = []
    for keys in arguments.keys:
        results.append(measure(keys, arguments.events, arguments.store))
        print(json.dumps(results[-1]), flush=True)
    if arguments.output:
        content = {"store": arguments.store, "results": results}
        arguments.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
