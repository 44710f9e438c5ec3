"""Size and speed of each codec on realistic minute bars.

    python benchmarks/codecs.py [--rows 2000000]

Minutes of a liquid instrument: prices on a tick of 0.25 as a random walk with clustered volatility,
volume with a daily season. Files are written like those of datasets (row groups of 131,072, no
dictionary for floats), and read completely and as a single column. The best of three, one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.storage.parquet.writer import CODECS, ParquetWriter


def make_bars(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    minute = np.arange(rows)
    calm = np.exp(np.cumsum(rng.normal(0, 0.01, rows)) * 0.1)
    day = 1.2 + np.cos(minute / 1440 * 2 * np.pi)
    close = np.round((5000 + np.cumsum(rng.normal(0, 0.4, rows) * calm * day)) * 4) / 4
    first = np.concatenate([[5000.0], close[:-1]])
    reach = np.round(rng.exponential(0.6, (2, rows)) * calm * day * 4) / 4
    return pa.table(
        {
            "timestamp": pa.array(minute * 60_000_000).cast(pa.timestamp("us")),
            "open": first,
            "high": np.maximum(first, close) + reach[0],
            "low": np.minimum(first, close) - reach[1],
            "close": close,
            "volume": np.round(rng.gamma(2, 300, rows) * day),
        }
    )


def best(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def write(path: Path, table: pa.Table, codec: str) -> None:
    draft = ParquetWriter(path, table.schema, codec)
    draft.write(table)
    draft.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    options = parser.parse_args()
    table = make_bars(options.rows)
    print(f"{options.rows:,} bars, {table.nbytes / 1e6:.0f} MB in memory")
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            path = Path(folder) / f"{codec}.parquet"
            written = best(lambda p=path, c=codec: write(p, table, c))  # type: ignore[misc]
            full = best(lambda p=path: pq.read_table(p, use_threads=False))  # type: ignore[misc]
            single = best(lambda p=path: pq.read_table(p, columns=["close"], use_threads=False))  # type: ignore[misc]
            size = path.stat().st_size
            print(
                f"{codec:7} {size / 1e6:6.1f} MB, {size / table.nbytes:5.1%} of memory; "
                f"write {written:5.2f} s, read {full:5.2f} s, one column {single:5.3f} s"
            )


if __name__ == "__main__":
    main()
