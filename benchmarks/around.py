"""Accuracy of what is done around a model, on real series that anyone can get.

    python benchmarks/around.py M4_FOLDER PACKAGES_FOLDER [--model MODEL] [--long]

See `open_series` for the folders. MASE, WQL and SQL are relative to those of seasonal naive of the
same set; 80 % is the share of values between the quantiles 0.1 and 0.9. AutoETS and AutoTheta are
added where statsforecast is installed, for seasons of at most 12 steps. With --long, horizons
beyond the trained one.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from open_series import Array, OpenSet, open_sets

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import MissingExtraError
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import add_up, figures_of, measure, seasonal_error
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.statistical import StatisticalForecaster
from gigacast.forecasting.frame import load_chosen
from gigacast.job.forecast_job import ModelChoice

LEVELS = tuple(n / 10 for n in range(1, 10))
LONGEST_FITTED = 12
"""Longest season that AutoETS and AutoTheta are fitted to: longer ones take minutes."""


def request_of(histories: list[Array], horizon: int, season: int, length: int) -> ForecastRequest:
    """Return histories, cut to a length, as one batch."""
    width = -(-min(length, max(map(len, histories))) // 16) * 16
    context = np.full((len(histories), width), np.nan, np.float32)
    for row, history in enumerate(histories):
        recent = history[-width:]
        context[row, width - len(recent) :] = recent
    count = len(histories)
    return ForecastRequest(
        context, horizon, LEVELS, np.full(count, season), np.zeros(count, np.uint64)
    )


def score(one: OpenSet, forecaster: Forecaster, horizon: int | None, steps: slice) -> Array:
    """Return MASE, WQL, SQL and the share of values within 80 %."""
    histories, actuals = one.windows(horizon)
    length = forecaster.info.context_length
    request = request_of(histories, actuals.shape[1], one.season, length)
    parts = [
        forecaster.predict(_rows(request, slice(row, row + 256)))
        for row in range(0, len(histories), 256)
    ]
    quantiles = np.sort(np.concatenate(parts), axis=-1).astype(np.float64)[:, steps]
    actual = actuals[:, steps]
    offsets = np.cumsum([0, *map(len, histories)])
    scales = seasonal_error(np.concatenate(histories), offsets, np.full(len(histories), one.season))
    (figures,) = figures_of(add_up(measure(actual, quantiles[..., 4], quantiles, LEVELS, scales)))
    inside = (actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])
    return np.array([figures.mase, figures.wql, figures.sql, inside.mean()])


def _rows(request: ForecastRequest, rows: slice) -> ForecastRequest:
    return ForecastRequest(
        request.context[rows], request.horizon, LEVELS, request.seasons[rows], request.seeds[rows]
    )


def short_sides(model: Forecaster, season: int) -> Iterator[tuple[str, Forecaster, int]]:
    """Yield what is compared within the trained horizon, with passes."""
    for name in (None, "trend", "seasonal_difference", "flip", "auto"):
        around = Around(name)
        yield name or "model alone", around.wrap(model), around.passes(model.info, 1)
    for name in ("auto-ets", "auto-theta") if season <= LONGEST_FITTED else ():
        try:
            yield name, StatisticalForecaster(name), 0
        except MissingExtraError:
            print(f"{name}: statsforecast is not installed")


def main() -> None:
    """Print a table for each set, and geometric means over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("m4", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--model", default="gigacast-bolt-nano")
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    model = load_chosen(ModelChoice(options.model, precision="float32"), None)
    every: dict[str, list[Array]] = {}
    for one in open_sets(options.m4, options.packages):
        if options.long and not one.name.startswith("M4"):
            continue
        for horizon in (96, 192) if options.long else (None,):
            beyond = slice(model.info.prediction_length, None) if options.long else slice(None)
            naive = score(one, SeasonalNaive(), horizon, beyond)
            print(f"| {one.name}, {horizon or one.horizon} steps | seasonal naive |  |", end="")
            print(f" {naive[0]:.3f} | {naive[1]:.4f} | {naive[2]:.3f} | {naive[3]:.0%} |")
            sides = (
                [(n, Around(None, n).wrap(model), 0) for n in ("stock", "bands", "dilated")]
                if options.long
                else short_sides(model, one.season)
            )
            for name, side, passes in sides:
                figures = score(one, side, horizon, beyond)
                figures[:3] /= naive[:3]
                every.setdefault(name, []).append(figures)
                print(f"| | {name} | {passes or ''} |", end="")
                print(
                    "".join(f" {f:.3f} |" for f in figures[:3]), f"{figures[3]:.0%} |", flush=True
                )
    for name, rows in every.items():
        means = np.exp(np.log(np.array(rows)[:, :3]).mean(axis=0))
        held = np.array(rows)[:, 3].mean()
        print(f"| all | {name} | |", "".join(f" {m:.3f} |" for m in means), f"{held:.0%} |")


if __name__ == "__main__":
    main()
