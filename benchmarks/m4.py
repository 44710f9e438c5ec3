"""Accuracy of a model on M4 hourly (h = 48) and weekly (h = 13), beside seasonal naive.

    python benchmarks/m4.py FOLDER_WITH_THE_M4_CSVS [MODEL ...] [--precision float32 bfloat16 int8]

The folder holds `Hourly-train.csv`, `Hourly-test.csv`, `Weekly-train.csv`, `Weekly-test.csv`: a
series per row, its id first. Seasonal naive is a point forecast at every level, with the periods 24
and 1, as in the figures published for the Chronos models. MASE and WQL are defined as there; see
`gigacast.forecasters.metric`.
"""

import argparse
import csv
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gigacast import ChronosLoader
from gigacast.forecasters.metric import add_up, figures_of, measure, seasonal_error

LEVELS = tuple(n / 10 for n in range(1, 10))
SETS = (("Hourly", 48, 24), ("Weekly", 13, 1))
Array = npt.NDArray[np.float64]


def read_rows(path: Path) -> list[Array]:
    """Read a series per row, of different lengths."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream)
        next(rows)
        return [np.array([float(v) for v in row[1:] if v]) for row in rows]


def repeat_season(history: list[Array], horizon: int, season: int) -> Array:
    """Return the last season, repeated at every level, [N, H, Q]."""
    rows = [np.resize(series[-season:], horizon) for series in history]
    return np.repeat(np.array(rows)[:, :, None], len(LEVELS), axis=2)


def score(
    history: list[Array], actuals: Array, quantiles: Array, season: int
) -> tuple[float, float]:
    """Return MASE and WQL of quantiles, [N, H, Q]."""
    offsets = np.cumsum([0, *map(len, history)])
    seasons = np.full(len(history), season)
    scales = seasonal_error(np.concatenate(history), offsets, seasons)
    losses = measure(actuals, quantiles[:, :, LEVELS.index(0.5)], quantiles, LEVELS, scales)
    (figures,) = figures_of(add_up(losses))
    return figures.mase, figures.wql


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=["gigacast-bolt-nano"])
    parser.add_argument("--precision", nargs="+", default=["auto"])
    options = parser.parse_args()
    for model, precision in product(options.models, options.precision):
        print(f"{model} in {precision}, MASE / WQL")
        relative = []
        for name, horizon, season in SETS:
            history = read_rows(options.folder / f"{name}-train.csv")
            actuals = np.array(read_rows(options.folder / f"{name}-test.csv"))
            forecast = ChronosLoader(model=model, precision=precision).predict(
                history, horizon, LEVELS
            )
            naive = score(history, actuals, repeat_season(history, horizon, season), season)
            ours = score(history, actuals, forecast.quantiles.astype(np.float64), season)
            relative.append([mine / base for mine, base in zip(ours, naive, strict=True)])
            print(f"  {name:7} naive {naive[0]:.3f} / {naive[1]:.4f}", end="")
            print(f"   model {ours[0]:.3f} / {ours[1]:.4f}")
        means = np.exp(np.log(relative).mean(axis=0))
        print(f"  geometric mean relative to naive: {means[0]:.3f} / {means[1]:.3f}")


if __name__ == "__main__":
    main()
