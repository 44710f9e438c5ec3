"""The cost of an incremental run where 1 %, 10 % or all series of a partition changed.

    python -m benchmarks.incremental --series 20000

A panel of daily series is forecast by the shipped model, in one process. Then some of its series
get another value, and it is forecast again: with ``--incremental``, and without. Figures are
processor seconds; both ways run in turn, `--repeat` times, and the least counts. The digests alone
are measured beside them.
"""

import argparse
import contextlib
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import gigacast
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.digest import series_digests
from gigacast.core.time.frequency import Frequency

SHARES = (0.01, 0.1, 1.0)
DAY_US = 86_400_000_000


def write_input(folder: Path, values: np.ndarray) -> None:
    """Write a part of N series of T days."""
    count, steps = values.shape
    names = pa.array([f"item-{n:07d}" for n in range(count)])
    ids = pa.DictionaryArray.from_arrays(pa.array(np.repeat(np.arange(count), steps)), names)
    times = pa.array(np.tile(np.arange(steps) * DAY_US, count), pa.timestamp("us"))
    table = pa.table({"item_id": ids, "timestamp": times, "target": pa.array(values.ravel())})
    path = folder / "2024/01/part-0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def measure(folder: Path, *, incremental: bool, horizon: int) -> tuple[float, int]:
    """Return the processor seconds of a run, and the number of series that it kept."""
    start = time.process_time()
    done = gigacast.forecast(folder, horizon=horizon, n_jobs=1, incremental=incremental)
    assert not done.failures
    return time.process_time() - start, done.totals.kept or 0


def digest_seconds(values: np.ndarray) -> float:
    """Return the processor seconds of the digests of all series."""
    count, steps = values.shape
    batch = SeriesBatch(
        pa.array([f"item-{n:07d}" for n in range(count)]),
        pa.array(["target"] * count),
        values.astype(np.float32).ravel(),
        np.arange(count + 1) * steps,
        np.zeros(count, np.int64),
        (Frequency.parse("1d"),),
        np.zeros(count, np.int64),
        np.zeros(count, np.int8),
        pa.timestamp("us"),
    )
    start = time.process_time()
    for first in range(0, count, 4096):
        series_digests(batch.slice(first, min(count, first + 4096)))
    return time.process_time() - start


def main() -> None:
    """Print a row for each share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    # Small calls gain nothing from further threads, whose waiting counts as processor time.
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(options.series, options.steps)).cumsum(axis=1).round(2)
    folders = {kind: Path(tempfile.mkdtemp(prefix="incremental-")) for kind in (True, False)}
    try:
        for kind, folder in folders.items():
            write_input(folder, values)
            measure(folder, incremental=kind, horizon=options.horizon)
        print(f"{options.series} series of {options.steps} days, horizon {options.horizon}")
        print(f"digests alone: {digest_seconds(values):.3f} s of processor time")
        print(f"{'changed':>8} {'kept':>8} {'full s':>8} {'incremental s':>14} {'share':>7}")
        for share in SHARES:
            least = {True: np.inf, False: np.inf}
            for _ in range(options.repeat):
                chosen = rng.choice(options.series, int(options.series * share), replace=False)
                values[chosen, rng.integers(options.steps)] += 1.0
                for kind, folder in folders.items():
                    write_input(folder, values)
                    seconds, count = measure(folder, incremental=kind, horizon=options.horizon)
                    least[kind] = min(least[kind], seconds)
                    kept = count if kind else kept  # noqa: F821 - the incremental run comes first
            ratio = least[True] / least[False]
            print(f"{share:8.0%} {kept:8d} {least[False]:8.2f} {least[True]:14.2f} {ratio:7.1%}")
    finally:
        for folder in folders.values():
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
