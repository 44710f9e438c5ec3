"""Speed and memory of validating and cleaning ten million minute bars, beside plain pandas.

    python benchmarks/clean.py [--rows 10000000] [--files 10] [--n_jobs 1] [--rounds 3]

Each of ten files has twenty symbols with the usual faults of raw bars: missing prices, duplicate
rows, spikes, gaps. Both ways validate rows (missing values, duplicates, order, gaps, grid), drop
duplicates, fill forward within each symbol, flag values three interquartile ranges outside of their
symbol's, drop rows that break the contract of bars (prices present, high the highest, low the
lowest, no negative volume), narrow types without loss, validate the rest, and write Parquet with
zstd, file by file. pandas uses one process, Gigacast --n_jobs. Each measurement is a process of its
own, because the peak of memory is that of a whole process; the two alternate, because the speed of
a machine drifts. Medians are printed, and the results of both must be equal.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pandas as pd

ENGINES = ("gigacast", "pandas")
Result = dict[str, Any]
SYMBOLS = 20
VALUES = ("open", "high", "low", "close", "volume")


def write_bars(folder: Path, rows: int, files: int) -> None:
    """Write the raw files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        parts = [_symbol(number, n, rows // files // SYMBOLS) for n in range(SYMBOLS)]
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(pa.concat_tables(parts), path, row_group_size=1 << 17)


def _symbol(number: int, symbol: int, rows: int) -> pa.Table:
    rng = np.random.default_rng([number, symbol])
    close = np.round(100 + rng.normal(0, 0.01, rows).cumsum(), 4)
    first = np.concatenate([[100.0], close[:-1]])
    spread = np.round(rng.exponential(0.01, (2, rows)), 4)
    volume = np.rint(rng.exponential(300, rows))
    columns = {
        "open": first,
        "high": np.maximum(first, close) + spread[0],
        "low": np.minimum(first, close) - spread[1],
        "close": close,
        "volume": volume,
    }
    for name in VALUES:
        columns[name] = np.where(rng.random(rows) < 0.001, np.nan, columns[name])
    columns["volume"][rng.random(rows) < 1e-4] *= 1000
    minutes = np.arange(rows) + number * rows
    present = rng.random(rows) > 0.002  # gaps
    again = rng.random(rows) < 0.0005  # sent twice
    order = np.sort(np.concatenate([np.flatnonzero(present), np.flatnonzero(present & again)]))
    table = {
        "symbol": pa.array([f"SYM{symbol:02d}"] * len(order)),
        "timestamp": pa.array(minutes[order] * 60_000_000).cast(pa.timestamp("us")),
        **{name: pa.array(values[order], from_pandas=True) for name, values in columns.items()},
    }
    return pa.table(table)


def with_gigacast(folder: Path, n_jobs: int = 1) -> dict[str, int]:
    from gigacast.cleaning.rules import CleanRules
    from gigacast.cleaning.run import CleanJob, clean_dataset
    from gigacast.core.contract.predefined import OHLCV_SCHEMA
    from gigacast.core.dataset.ref import DatasetRef
    from gigacast.core.time.frequency import Frequency
    from gigacast.job.audit import this_author
    from gigacast.job.file_job import FileJob, Reading, sources_of_dataset
    from gigacast.runtime.choice import make_executor
    from gigacast.storage.store import StoreAddress

    address = StoreAddress(f"file://{folder}")
    raw = sources_of_dataset(address, DatasetRef.parse("raw/BARS/2024-01-15"))
    files = FileJob(raw, address, reading=Reading(frequency=Frequency.parse("min")))
    result = clean_dataset(
        CleanJob(files, DatasetRef.parse("cleaned/BARS"), CleanRules(contract=OHLCV_SCHEMA)),
        this_author(),
        executor=make_executor("auto", n_jobs),
    )
    assert result.manifest is not None
    return {
        "rows": result.manifest.rows,
        "duplicates": result.changes["duplicates"],
        "filled": result.changes["filled"],
        "outliers": result.changes["outliers"],
        "broken": result.changes["broken_rows"],
        "gaps": sum(partition.quality.keys.missing_steps for partition in result.partitions),
    }


def validate(frame: "pd.DataFrame") -> dict[str, int]:
    """Measure the quality of raw bars with pandas, by the definitions of the quality job."""
    import pandas as pd

    steps = frame.groupby("symbol", sort=False)["timestamp"].diff()
    minute = pd.Timedelta("1min")
    return {
        "missing": int(frame.isna().sum().sum()),
        "duplicates": int(frame.duplicated(["symbol", "timestamp"]).sum()),
        "unordered": int((steps < pd.Timedelta(0)).sum()),
        "missing_steps": int((steps[steps > minute] / minute - 1).sum()),
        "off_grid": int((frame["timestamp"] != frame["timestamp"].dt.floor("min")).sum()),
    }


def with_pandas(folder: Path) -> dict[str, int]:
    import pandas as pd

    counts = dict.fromkeys(("rows", "duplicates", "filled", "outliers", "broken", "gaps"), 0)
    (folder / "pandas").mkdir()
    columns = list(VALUES)
    for path in sorted((folder / "raw/BARS/2024-01-15").iterdir()):
        frame = pd.read_parquet(path)
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
        report = validate(frame)
        frame = frame.sort_values(["symbol", "timestamp"], kind="stable")
        frame = frame.drop_duplicates(["symbol", "timestamp"], keep="last")
        counts["duplicates"] += report["duplicates"]
        missing = int(frame[columns].isna().sum().sum())
        by_symbol = frame.groupby("symbol", sort=False)
        low = by_symbol[columns].transform("quantile", 0.25)
        high = by_symbol[columns].transform("quantile", 0.75)
        reach = 3 * (high - low)
        flags = (frame[columns] < low - reach) | (frame[columns] > high + reach)
        counts["outliers"] += int(flags.sum().sum())
        frame[columns] = by_symbol[columns].ffill()
        counts["filled"] += missing - int(frame[columns].isna().sum().sum())
        for name in columns:
            frame[f"{name}_outlier"] = flags[name]
        prices = frame[["open", "high", "low", "close"]]
        good = (
            prices.notna().all(axis=1)
            & (frame["high"] >= prices.max(axis=1))
            & (frame["low"] <= prices.min(axis=1))
            & ~(frame["volume"] < 0)
        )
        counts["broken"] += int((~good).sum())
        frame = frame[good]
        for name in columns:
            narrow = frame[name].astype("float32")
            if (narrow.astype("float64") == frame[name])[frame[name].notna()].all():
                frame[name] = narrow
        frame["symbol"] = frame["symbol"].astype("category")
        counts["rows"] += len(frame)
        counts["gaps"] += validate(frame)["missing_steps"]
        frame.to_parquet(folder / "pandas" / path.name, compression="zstd", index=False)
    return counts


def clear(folder: Path) -> None:
    """Remove everything except the raw files."""
    for path in folder.iterdir():
        if path.name != "raw":
            shutil.rmtree(path)


def measure(engine: str, folder: Path, n_jobs: int) -> dict[str, object]:
    if engine == "gigacast":
        # Imports of the main process are not measured, those of workers are.
        import gigacast.cleaning.run
        import gigacast.runtime.parallel  # noqa: F401
    else:
        import pandas  # noqa: F401 - likewise
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    counts = with_gigacast(folder, n_jobs) if engine == "gigacast" else with_pandas(folder)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s += workers.ru_utime + workers.ru_stime
    # The peak of the largest process.
    peak = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, workers.ru_maxrss)
    memory = {"peak_mib": peak / 1024, "grown_mib": (peak - before) / 1024}
    return {"seconds": seconds, "cpu_s": cpu_s, **memory, "counts": counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--n_jobs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=ENGINES)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_bars(options.folder / "raw/BARS/2024-01-15", options.rows, options.files)
        return
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder, options.n_jobs)))
        return
    print(f"{options.rows:,} bars of {SYMBOLS} symbols in {options.files} files")
    results = take_turns(options)
    for engine, runs in results.items():
        tell(engine, runs, options.rows)
    if len(results) == len(ENGINES):
        compare(*(results[engine] for engine in ENGINES))


def take_turns(options: argparse.Namespace) -> dict[str, list[Result]]:
    """Measure each engine once per round, because the speed of a machine drifts."""
    results: dict[str, list[Result]] = {engine: [] for engine in options.only}
    with tempfile.TemporaryDirectory() as folder:
        # In processes of their own: a child starts with its parent's peak of memory.
        own = [sys.executable, __file__, "--folder", folder, "--n_jobs", str(options.n_jobs)]
        sizes = ["--rows", str(options.rows), "--files", str(options.files)]
        subprocess.run([*own, "--write", *sizes], check=True)
        for _ in range(options.rounds):
            for engine, runs in results.items():
                clear(Path(folder))
                process = subprocess.run(
                    [*own, "--measure", engine], capture_output=True, text=True, check=True
                )
                runs.append(json.loads(process.stdout.splitlines()[-1]))
    return results


def tell(engine: str, runs: list[Result], rows: int) -> None:
    """Print the medians of an engine, and its highest peak."""
    seconds, cpu_s = (median(run[name] for run in runs) for name in ("seconds", "cpu_s"))
    peak, grown = (max(run[name] for run in runs) for name in ("peak_mib", "grown_mib"))
    print(
        f"{engine:10} {seconds:6.2f} s {rows / seconds / 1e6:5.2f} M rows/s, "
        f"{cpu_s:6.2f} s of the core, peak {peak:6,.0f} MiB (grown by {grown:,.0f})"
    )


def compare(ours: list[Result], theirs: list[Result]) -> None:
    """Print the ratio of speeds per round, and check that both results are equal."""
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]
    low, high = min(ratios), max(ratios)
    print(f"{median(ratios):.2f} times faster ({low:.2f} to {high:.2f}), round by round")
    our_counts, their_counts = ours[0]["counts"], theirs[0]["counts"]
    assert our_counts == their_counts, f"they disagree: {our_counts} and {their_counts}"
    print(f"they agree: {our_counts}")


if __name__ == "__main__":
    main()
