"""Speed of reading series from a long panel, beside pandas.

    python benchmarks/read_series.py [--series 100000] [--points 150] [--threads 1]

Each measurement is a process of its own, because the peak of memory is that of a whole process.
"pandas" is `read_parquet`, sort and groupby into a float32 array per item, without the frequencies,
duplicates and gaps that the reader handles.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MEASURES = (
    "reader",
    "reader, scan only",
    "reader, business days",
    "reader, unsorted",
    "reader, spilled",
    "pandas",
    "pandas, unsorted",
)
DAY_US = 86_400_000_000


def write_panel(path: Path, series: int, points: int, *, business: bool, shuffled: bool) -> None:
    rng = np.random.default_rng(0)
    days = np.arange(19_000, 19_000 + points * 2)
    days = days[(days + 3) % 7 < 5][:points] if business else days[:points]
    codes = pa.array(np.repeat(np.arange(series, dtype=np.int32), points))
    names = pa.array([f"item-{index:07d}" for index in range(series)])
    times = pa.array(np.tile(days * DAY_US, series)).cast(pa.timestamp("us"))
    values = pa.array(rng.normal(size=series * points).cumsum())
    table = pa.table({"item_id": names.take(codes), "timestamp": times, "target": values})
    if shuffled:
        table = table.take(pa.array(rng.permutation(len(table))))
    pq.write_table(table, path, row_group_size=1 << 20)


def read(path: Path, **options: int) -> int:
    from gigacast.series.reader import read_series
    from gigacast.series.source import ReadOptions, SeriesSource

    source = SeriesSource(lambda: pa.OSFile(str(path)), "parquet", path.name)
    reader = read_series([source], ReadOptions(context_length=512, **options))
    return sum(len(batch) for batch in reader)


def scan(path: Path) -> int:
    from gigacast.series.formats import Limits, open_table
    from gigacast.series.scan import scan as scan_ids
    from gigacast.series.source import ColumnNames, SeriesSource

    limits = Limits(1 << 18, 1 << 30)
    source = SeriesSource(lambda: pa.OSFile(str(path)), "parquet", path.name)
    table = open_table(source, ColumnNames(), limits)
    assert table is not None
    assert scan_ids([table], pa.string(), "", limits, has_unit=False).contiguous
    return 0


def read_with_pandas(path: Path) -> int:
    import pandas as pd

    frame = pd.read_parquet(path).sort_values(["item_id", "timestamp"])
    groups = frame.groupby("item_id", sort=False)["target"]
    return len([group.to_numpy(np.float32) for _, group in groups])


def measure(kind: str, path: Path, threads: int) -> dict[str, float]:
    pa.set_cpu_count(threads)
    run: dict[str, Callable[[], int]] = {
        "pandas": lambda: read_with_pandas(path),
        "pandas, unsorted": lambda: read_with_pandas(path),
        "reader, scan only": lambda: scan(path),
        "reader, spilled": lambda: read(path, memory_limit_bytes=256 << 20),
        "reader, unsorted": lambda: read(path, memory_limit_bytes=8 << 30),
    }
    import_what_is_measured()
    start, cpu = time.perf_counter(), time.process_time()
    run.get(kind, lambda: read(path))()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def import_what_is_measured() -> None:
    import pandas  # noqa: F401

    import gigacast.series.reader
    import gigacast.series.scan  # noqa: F401


def in_own_process(arguments: list[str]) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=MEASURES)
    parser.add_argument("--write", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        shuffled = options.write in {"reader, unsorted", "reader, spilled", "pandas, unsorted"}
        business = "business" in options.write
        write_panel(
            options.path, options.series, options.points, business=business, shuffled=shuffled
        )
    elif options.measure:
        print(json.dumps(measure(options.measure, options.path, options.threads)))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    print(f"{options.series:,} series x {options.points} points, {options.threads} thread(s)")
    with tempfile.TemporaryDirectory() as folder:
        path = ["--path", f"{folder}/panel.parquet"]
        size = ["--series", str(options.series), "--points", str(options.points)]
        threads = ["--threads", str(options.threads)]
        baseline = None
        for kind in (name for name in MEASURES if name in options.only):
            in_own_process(["--write", kind, *path, *size])
            result = json.loads(in_own_process(["--measure", kind, *path, *threads]))
            baseline = baseline or result["seconds"]
            seconds, peak = result["seconds"], result["peak_mib"]
            speed = f"{seconds:7.2f} s {options.series / seconds:10,.0f} series/s"
            cpu = f"{result['cpu_seconds']:7.2f} s of processor"
            ratio = f"{seconds / baseline:6.2f} x the first"
            print(f"{kind:22}{speed} {cpu} {ratio}, peak {peak:6,.0f} MiB")


if __name__ == "__main__":
    main()
