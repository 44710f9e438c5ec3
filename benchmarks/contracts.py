"""Speed of checking ten million bars against a contract, beside other engines.

    python benchmarks/contracts.py [--rows 10000000]

All engines check the same rules: types, no missing values, ranges, high and low, a unique and
ordered timestamp. Each measurement is a process of its own, because the peak of memory is that of a
whole process, and reads the same Parquet file. pandera and dataframely (on polars) are measured if
they are installed; ``--python`` runs them with another interpreter.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ENGINES = ("gigacast", "gigacast, shuffled", "pandera", "dataframely", "pandas by hand")
PRICES = ("open", "high", "low", "close")


def write_bars(path: Path, rows: int, *, shuffled: bool) -> None:
    rng = np.random.default_rng(0)
    close = np.round(100 + rng.normal(0, 0.01, rows).cumsum(), 4)
    first = np.concatenate([[100.0], close[:-1]])
    spread = np.round(rng.exponential(0.01, (2, rows)), 4)
    times = np.arange(rows) * 60_000_000
    if shuffled:
        times = times[rng.permutation(rows)]
    table = pa.table(
        {
            "timestamp": pa.array(times).cast(pa.timestamp("us")),
            "open": first,
            "high": np.maximum(first, close) + spread[0],
            "low": np.minimum(first, close) - spread[1],
            "close": close,
            "volume": rng.integers(0, 1000, rows).astype(float),
        }
    )
    pq.write_table(table, path, row_group_size=1 << 17)


def with_gigacast(path: Path) -> bool:
    from gigacast.core.contract.predefined import OHLCV_SCHEMA
    from gigacast.datasets.check import RowSource, check_rows
    from gigacast.datasets.read import rows_of_folder
    from gigacast.storage.folder.store import FolderStore

    rows = rows_of_folder(FolderStore(path.parent), path.name)
    report = check_rows(RowSource(rows.schema, rows.read), OHLCV_SCHEMA)
    # Shuffled rows break the order, and nothing else.
    return {violation.rule for violation in report.violations} <= {"ordered"}


def with_pandera(path: Path) -> bool:
    import pandera.polars as pandera
    import polars as pl

    def rule(upper: str, lower: str) -> Any:
        return pandera.Check(lambda data: data.lazyframe.select(pl.col(upper) >= pl.col(lower)))

    schema = pandera.DataFrameSchema(
        {
            "timestamp": pandera.Column(pl.Datetime("us"), unique=True),
            **{name: pandera.Column(pl.Float64) for name in PRICES},
            "volume": pandera.Column(pl.Float64, pandera.Check.ge(0), nullable=True),
        },
        checks=[rule("high", name) for name in ("low", "open", "close")]
        + [rule(name, "low") for name in ("open", "close")],
    )
    frame = pl.read_parquet(path)
    schema.validate(frame)
    return bool(frame["timestamp"].is_sorted())


def with_dataframely(path: Path) -> bool:
    import dataframely as dy
    import polars as pl

    class Bars(dy.Schema):
        timestamp = dy.Datetime(primary_key=True)
        open = dy.Float64(nullable=False)
        high = dy.Float64(nullable=False)
        low = dy.Float64(nullable=False)
        close = dy.Float64(nullable=False)
        volume = dy.Float64(nullable=True, min=0)

        @dy.rule()
        def high_is_highest(cls) -> pl.Expr:  # noqa: N805 - a class of rules
            return pl.col("high") >= pl.max_horizontal("open", "low", "close")

        @dy.rule()
        def low_is_lowest(cls) -> pl.Expr:  # noqa: N805 - a class of rules
            return pl.col("low") <= pl.min_horizontal("open", "close")

    frame = Bars.validate(pl.read_parquet(path))
    return bool(frame["timestamp"].is_sorted())


def with_pandas(path: Path) -> bool:
    import pandas as pd

    frame = pd.read_parquet(path)
    return bool(
        frame[[*PRICES, "timestamp"]].notna().all().all()
        and (frame["volume"].dropna() >= 0).all()
        and (frame["high"] >= frame[["open", "low", "close"]].max(axis=1)).all()
        and (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
        and frame["timestamp"].is_unique
        and frame["timestamp"].is_monotonic_increasing
    )


def import_what_is_measured(engine: str) -> None:
    match engine.partition(",")[0]:
        case "gigacast":
            import gigacast.datasets.check
            import gigacast.datasets.read  # noqa: F401
        case "pandera":
            import pandera.polars  # noqa: F401
        case "dataframely":
            import dataframely  # noqa: F401
        case _:
            import pandas  # noqa: F401


def measure(engine: str, path: Path) -> dict[str, float]:
    import_what_is_measured(engine)
    engines = {
        "gigacast": with_gigacast,
        "pandera": with_pandera,
        "dataframely": with_dataframely,
        "pandas by hand": with_pandas,
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    assert engines[engine.partition(",")[0]](path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_mib": peak / 1024, "grown_mib": (peak - before) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--python", default=sys.executable, help="For pandera and dataframely.")
    parser.add_argument("--only", nargs="*", default=ENGINES)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_bars(options.path, options.rows, shuffled=options.write == "shuffled")
        return
    if options.measure:
        print(json.dumps(measure(options.measure, options.path)))
        return
    print(f"{options.rows:,} bars")
    with tempfile.TemporaryDirectory() as folder:
        for engine in options.only:
            path = Path(folder) / "bars.parquet"
            # In a process of its own: a child starts with its parent's peak of memory.
            make = ["--write", "shuffled" if "shuffled" in engine else "sorted"]
            rows = ["--rows", str(options.rows), "--path", str(path)]
            subprocess.run([sys.executable, __file__, *make, *rows], check=True)
            own = engine in {"pandera", "dataframely"}
            command = [options.python if own else sys.executable, __file__, "--measure", engine]
            process = subprocess.run(
                [*command, "--path", str(path)], capture_output=True, text=True, check=False
            )
            if process.returncode:
                print(f"{engine:20} not measured: {process.stderr.strip().splitlines()[-1]}")
                continue
            result = json.loads(process.stdout.splitlines()[-1])
            rate = options.rows / result["seconds"] / 1e6
            print(
                f"{engine:20} {result['seconds']:6.2f} s {rate:6.1f} M rows/s, "
                f"peak {result['peak_mib']:6,.0f} MiB (grown by {result['grown_mib']:,.0f})"
            )


if __name__ == "__main__":
    main()
