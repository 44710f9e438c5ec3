"""Speed of loading a column of a month out of ten years, beside pandas and pyarrow.dataset.

    python benchmarks/load.py [--years 10] [--rows_per_month 30000] [--columns 40]

All ways read the same files: minute bars of a symbol in year and month folders, with ``ds``,
targets and features in a Parquet file per month, in row groups of 10,000. Each way is a process of
its own; imports are not measured. The median of ``--repeats`` runs, each of which lists the files
again. Bytes are those read from files, counted by the kernel; memory is the growth of the process'
peak.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

YEAR, MONTH = 2019, 3
TARGET = "target_close"
FIRST, STOP = np.datetime64("2019-03-01", "us"), np.datetime64("2019-04-01", "us")


def write_files(root: Path, years: int, rows: int, columns: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    for year in range(YEAR - years + 2, YEAR + 2):
        for month in range(1, 13):
            times = np.datetime64(f"{year}-{month:02d}-01", "us") + np.arange(rows) * 60_000_000
            walks = {f"feature_{n}": rng.normal(size=rows).cumsum() for n in range(columns - 1)}
            table = pa.table({"ds": times, TARGET: rng.normal(size=rows).cumsum(), **walks})
            folder = root / f"{year}" / f"{month:02d}"
            folder.mkdir(parents=True)
            name = f"EURUSD_1min_h15_{year}_{month:02d}_769b531dbb2ff3cb.parquet"
            pq.write_table(table, folder / name, row_group_size=10_000)


def with_pandas(root: Path) -> int:
    import pandas as pd

    frame = pd.concat([pd.read_parquet(path) for path in sorted(root.rglob("*.parquet"))])
    return len(frame[(frame["ds"] >= FIRST) & (frame["ds"] < STOP)][["ds", TARGET]])


def with_pandas_columns(root: Path) -> int:
    import pandas as pd

    files = sorted(root.rglob("*.parquet"))
    frame = pd.concat([pd.read_parquet(path, columns=["ds", TARGET]) for path in files])
    return len(frame[(frame["ds"] >= FIRST) & (frame["ds"] < STOP)])


def with_pandas_filters(root: Path) -> int:
    import pandas as pd

    in_month = [("ds", ">=", FIRST.item()), ("ds", "<", STOP.item())]
    return len(pd.read_parquet(root, columns=["ds", TARGET], filters=in_month))


def with_pandas_month(root: Path) -> int:
    import pandas as pd

    (path,) = (root / f"{YEAR}" / f"{MONTH:02d}").glob("EURUSD_*.parquet")
    return len(pd.read_parquet(path)[["ds", TARGET]])


def with_pandas_month_columns(root: Path) -> int:
    import pandas as pd

    (path,) = (root / f"{YEAR}" / f"{MONTH:02d}").glob("EURUSD_*.parquet")
    return len(pd.read_parquet(path, columns=["ds", TARGET]))


def with_pyarrow(root: Path) -> int:
    import pyarrow.dataset as ds

    in_month = (ds.field("ds") >= FIRST.item()) & (ds.field("ds") < STOP.item())
    return len(ds.dataset(root).to_table(columns=["ds", TARGET], filter=in_month))


def with_loader(root: Path, more: str = "") -> int:
    from gigacast.parquet_loader import ParquetDataLoader

    config = root.parent / "loader.yaml"
    config.write_text(f"parquet_loader:\n  data_paths: {{root_dir: '{root}'}}\n{more}")
    loader = ParquetDataLoader(config)
    return len(loader.load_training_data("EURUSD", YEAR, month=MONTH, target_columns=[TARGET]))


def with_cache(root: Path) -> int:
    cache = f"cache_dir: '{root.parent}/cache'"
    return with_loader(root, f"  performance: {{cache_intermediate: true, {cache}}}\n")


WAYS: dict[str, Callable[[Path], int]] = {
    "pandas: all files, then the month": with_pandas,
    "pandas: two columns of all files": with_pandas_columns,
    "pandas: columns= and filters=": with_pandas_filters,
    "pandas: that month's file": with_pandas_month,
    "pandas: its two columns": with_pandas_month_columns,
    "pyarrow.dataset, filtered": with_pyarrow,
    "ParquetDataLoader": with_loader,
    "ParquetDataLoader, its cache": with_cache,
}


def bytes_read() -> int:
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def measure(way: str, root: Path, rows: int, repeats: int) -> dict[str, Any]:
    import pandas  # noqa: F401
    import pyarrow.dataset

    import gigacast.parquet_loader  # noqa: F401

    pyarrow.set_cpu_count(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = bytes_read()
    assert WAYS[way](root) == rows
    read = bytes_read() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        WAYS[way](root)
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": statistics.median(seconds),
        "mb": read / 1e6,
        "grown_mib": (peak - before) / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--rows_per_month", type=int, default=30_000)
    parser.add_argument("--columns", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        result = measure(options.measure, options.root, options.rows_per_month, options.repeats)
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        write_files(root, options.years, options.rows_per_month, options.columns)
        compare(root, options)


def compare(root: Path, options: argparse.Namespace) -> None:
    files = list(root.rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files)
    rows = options.rows_per_month * len(files)
    print(f"{len(files)} files, {rows:,} rows of {options.columns} columns, {size / 1e9:.2f} GB")
    results = {}
    for way in WAYS:
        own = ["--rows_per_month", str(options.rows_per_month), "--repeats", str(options.repeats)]
        command = [sys.executable, __file__, "--measure", way, "--root", str(root), *own]
        process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results[way] = json.loads(process.stdout.splitlines()[-1])
    ours = results["ParquetDataLoader"]["seconds"]
    for way, result in results.items():
        print(
            f"{way:35} {result['seconds'] * 1e3:9,.1f} ms {result['seconds'] / ours:8.1f} x ours, "
            f"{result['mb']:9,.1f} MB read, grown by {result['grown_mib']:7,.0f} MiB"
        )


if __name__ == "__main__":
    main()
