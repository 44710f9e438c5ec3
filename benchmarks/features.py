"""Speed of computing features, beside pandas.

    python benchmarks/features.py [--items 500] [--rows 4000]

Both compute the same features of the same bars by item: lags, differences, log returns, rolling
mean, deviation, minimum, maximum and median over 20 and 200 rows, and a rolling correlation. Each
measurement is a process of its own, because the peak of memory is that of a whole process. pandas
uses `groupby` with `shift` and `rolling`, as in its manual.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa

WINDOWS = (20, 200)
STATISTICS = ("mean", "std", "min", "max", "median")
RECIPE = {
    "name": "bench",
    "features": [
        {"kind": "lag", "column": "close", "steps": [1, 2, 3]},
        {"kind": "difference", "column": "close", "order": [1, 2]},
        {"kind": "return", "column": "close"},
        {"kind": "rolling", "column": "close", "window": [*WINDOWS], "statistic": [*STATISTICS]},
        {"kind": "correlation", "column": "close", "other": "volume", "window": 60, "of": "none"},
    ],
}


def make_bars(items: int, rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(items), rows)
    names = pa.array([f"item-{n:05d}" for n in range(items)])
    return pa.table(
        {
            "symbol": names.take(pa.array(codes)),
            "timestamp": pa.array(np.tile(np.arange(rows), items) * 60_000_000).cast(
                pa.timestamp("us")
            ),
            "close": 100 * np.exp(rng.normal(0, 1e-3, (items, rows)).cumsum(axis=1)).ravel(),
            "volume": rng.gamma(2, 300, items * rows),
        }
    )


def with_gigacast(table: pa.Table) -> dict[str, float]:
    from gigacast.feature_sets.kernel.compute import Setting, compute_features
    from gigacast.feature_sets.kernel.recipe import Recipe

    recipe = Recipe.from_dict(RECIPE)
    features = compute_features(table, recipe, Setting("timestamp", "symbol"))
    return {name: float(np.nansum(features[name].to_numpy())) for name in recipe.names}


def with_pandas(table: pa.Table) -> dict[str, float]:
    frame = table.to_pandas()
    groups = frame.groupby("symbol", sort=False)["close"]
    columns: dict[str, Any] = {f"close_lag_{n}": groups.shift(n) for n in (1, 2, 3)}
    columns["close_diff_1"] = groups.diff()
    columns["close_diff_2"] = columns["close_diff_1"].groupby(frame["symbol"], sort=False).diff()
    columns["close_log_return_1"] = np.log(frame["close"] / groups.shift(1))
    for window in WINDOWS:
        for statistic in STATISTICS:
            columns[f"close_{statistic}_{window}"] = getattr(groups.rolling(window), statistic)()
    both = frame.groupby("symbol", sort=False)[["close", "volume"]].rolling(60).corr()
    columns["close_volume_corr_60"] = both.xs("volume", level=-1)["close"]
    return {name: float(np.nansum(values.to_numpy())) for name, values in columns.items()}


WAYS = {"gigacast": with_gigacast, "pandas": with_pandas}


def measure(way: str, items: int, rows: int) -> dict[str, Any]:
    import pandas  # noqa: F401

    import gigacast.feature_sets.kernel.compute  # noqa: F401

    table = make_bars(items, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    sums = WAYS[way](table)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "grown_mib": (peak - before) / 1024, "sums": sums}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.items, options.rows)))
        return
    total = options.items * options.rows
    print(f"{options.items:,} items of {options.rows:,} rows")
    results = {}
    for way in WAYS:
        size = ["--items", str(options.items), "--rows", str(options.rows)]
        command = [sys.executable, __file__, "--measure", way, *size]
        process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results[way] = json.loads(process.stdout.splitlines()[-1])
        seconds, grown = results[way]["seconds"], results[way]["grown_mib"]
        features = len(results[way]["sums"])
        rate = total * features / seconds / 1e6
        print(
            f"{way:10} {seconds:6.2f} s, {features} features, {rate:5.1f} M values/s, "
            f"grown by {grown:,.0f} MiB"
        )
    for name, value in results["gigacast"]["sums"].items():
        np.testing.assert_allclose(value, results["pandas"]["sums"][name], rtol=1e-6, err_msg=name)
    print("all sums agree")


if __name__ == "__main__":
    main()
