"""Share of values within 80 % intervals, before and after a calibration, on the series of M4.

    python benchmarks/calibration.py M4_FOLDER [--model MODEL] [--windows 3] [--enhance NAME]

Factors are measured at the origins before the last one and judged at the last, as `backtest
--calibrate` and a forecast after it do. Horizons beyond the trained one have the default bands.
WQL is relative to that of seasonal naive at the same origin.
"""

import argparse
from pathlib import Path

import numpy as np
from around import LEVELS, request_of
from open_series import MOST_SERIES, Array, OpenSet, m4_sets

from gigacast.forecasters.around.calibration import ScoreCounts, scores_of
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import quantile_loss
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.frame import load_chosen
from gigacast.job.forecast_job import ModelChoice


def forecast(model: Forecaster, histories: list[Array], horizon: int, season: int) -> Array:
    """Return quantiles of histories, [N, H, Q]."""
    length = model.info.context_length
    parts = [
        model.predict(request_of(histories[row : row + 256], horizon, season, length))
        for row in range(0, len(histories), 256)
    ]
    return np.sort(np.concatenate(parts), axis=-1)


def measure(one: OpenSet, horizon: int, windows: int, side: Forecaster) -> tuple[int, list[float]]:
    """Return the number of series, and coverage and WQL before and after."""
    least = (windows + 1) * horizon + one.season + 4
    chosen = [series for series in one.series if len(series) >= least]
    if len(chosen) > MOST_SERIES:
        rows = np.random.default_rng(0).choice(len(chosen), MOST_SERIES, replace=False)
        chosen = [chosen[row] for row in rows]
    counts: ScoreCounts | None = None
    half = np.arange(len(chosen)) % 2
    for window in range(windows, -1, -1):
        seen = [series[: len(series) - window * horizon] for series in chosen]
        actual = np.array([series[-horizon:] for series in seen])
        histories = [series[:-horizon] for series in seen]
        quantiles = forecast(side, histories, horizon, one.season)
        if window:
            scores = scores_of(actual, quantiles[..., 4], quantiles)
            own = ScoreCounts.count(LEVELS, scores, half)
            counts = own if counts is None else counts + own
    assert counts is not None
    naive = forecast(SeasonalNaive(), histories, horizon, one.season)
    figures = []
    for numbers in (quantiles, np.sort(counts.fit().apply(quantiles, LEVELS), axis=-1)):
        exact = numbers.astype(np.float64)
        figures.append(float(((actual >= exact[..., 0]) & (actual <= exact[..., -1])).mean()))
        figures.append(_loss(actual, exact) / _loss(actual, naive))
    return len(chosen), figures


def _loss(actual: Array, quantiles: Array) -> float:
    levels = np.array(LEVELS)
    return float(quantile_loss(actual, quantiles.astype(np.float64), levels).sum())


def main() -> None:
    """Print a row for each set and horizon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("m4", type=Path)
    parser.add_argument("--model", default="gigacast-bolt-nano")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--enhance")
    options = parser.parse_args()
    model = load_chosen(ModelChoice(options.model, precision="float32"), None)
    side = Around(options.enhance).wrap(model)
    print("| set | series | 80 %: before | after | WQL: before | after |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in m4_sets(options.m4):
        for horizon in (one.horizon, 96, 192):
            if max(map(len, one.series)) < (options.windows + 1) * horizon + one.season + 4:
                continue
            count, (before, loss, after, own) = measure(one, horizon, options.windows, side)
            print(f"| {one.name}, {horizon} steps | {count} | {before:.1%} | {after:.1%} |", end="")
            print(f" {loss:.3f} | {own:.3f} |", flush=True)


if __name__ == "__main__":
    main()
