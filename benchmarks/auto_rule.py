"""The rule by which `--enhance auto` leaves differences out, on synthetic series.

    python benchmarks/auto_rule.py [--model MODEL] [--count 50] [--seed 11]

Mixed series are a level that drifts, a season whose shape stays or drifts, sometimes a week, a
trend, and noise, each of random size. Loads have a day that stays and a daily level that returns to
its mean, with weekends: a difference to the day before takes what passes for what stays. Losses are
relative to the model alone; ``always`` is the first revision of ``auto``.
"""

import argparse

import numpy as np
from around import LEVELS, Array, request_of

from gigacast.forecasters.around import enhancement
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasting.frame import load_chosen
from gigacast.job.forecast_job import ModelChoice

SEASONS = {7: 28, 12: 18, 24: 48, 52: 13}
"""Steps of a season, and of the horizon."""
DRIFTS = (0.0, 0.05, 0.15, 0.3, 0.6)


def mixed(rng: np.random.Generator, season: int, steps: int, drift: float) -> Array:
    """Return a series whose season changes by a share of its size from one season to the next."""
    count = -(-steps // season)
    shape = np.convolve(rng.normal(size=3 * season), np.ones(3) / 2, "same")[season : 2 * season]
    changes = drift * rng.normal(size=(count, season)).cumsum(axis=0)
    values = (shape + changes).ravel()[:steps]
    if rng.random() < 0.3:
        week = np.repeat(rng.normal(size=7), season) * rng.choice([0.5, 1.0])
        values += np.resize(week, steps)
    values += rng.choice([0, 0.05, 0.2]) * rng.normal(size=steps).cumsum() / np.sqrt(season)
    values += rng.choice([0, 0, 0.5]) * np.arange(steps) / steps * rng.normal()
    values += rng.choice([0.1, 0.3, 0.6]) * rng.normal(size=steps)
    return 50 + 10 * values


def load(rng: np.random.Generator, season: int, steps: int) -> Array:
    """Return a series whose level returns to its mean, with two lower seasons of every seven."""
    count = -(-steps // season)
    shape = np.convolve(rng.normal(size=3 * season), np.ones(5) / 5, "same")[season : 2 * season]
    memory, level = rng.choice([0.3, 0.6, 0.8, 0.95]), np.zeros(count)
    for n in range(1, count):
        level[n] = memory * level[n - 1] + 0.4 * rng.normal()
    weekend = np.where(np.arange(count) % 7 >= 5, -rng.choice([0, 0.5, 1.0]), 0)
    values = np.interp(np.arange(steps), np.arange(count) * season + season / 2, level)
    values += np.repeat(weekend, season)[:steps] + np.tile(2 * shape, count)[:steps]
    return 50 + 10 * (values + rng.choice([0.05, 0.1, 0.3]) * rng.normal(size=steps))


def loss(forecaster: Forecaster, series: list[Array], season: int, horizon: int) -> float:
    """Return the mean quantile loss, in units of each series' spread."""
    request = request_of([s[:-horizon] for s in series], horizon, season, 512)
    quantiles = np.sort(forecaster.predict(request).astype(np.float64), axis=-1)
    apart = np.stack([s[-horizon:] for s in series])[:, :, None] - quantiles
    levels = np.array(LEVELS)
    losses = np.maximum(levels * apart, (levels - 1) * apart).mean(axis=(1, 2))
    return float((losses / np.array([s.std() for s in series])).mean())


def main() -> None:
    """Print a row for each kind of series, and the geometric mean of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gigacast-bolt-nano")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    model = load_chosen(ModelChoice(options.model, precision="float32"), None)
    print("| season | series | `flip` | always | `auto` |\n| --- | --- | --- | --- | --- |")
    every = []
    for season, horizon in SEASONS.items():
        for place, drift in enumerate((*DRIFTS, None)):
            rng = np.random.default_rng([options.seed, season, place])
            lengths = rng.integers(5 * season, 12 * season + 200, options.count) + horizon
            series = [
                load(rng, season, int(n)) if drift is None else mixed(rng, season, int(n), drift)
                for n in lengths
            ]
            plain = loss(model, series, season, horizon)
            row = [loss(Around("flip").wrap(model), series, season, horizon) / plain]
            widest, enhancement.WIDEST = enhancement.WIDEST, np.inf
            row.append(loss(Around("auto").wrap(model), series, season, horizon) / plain)
            enhancement.WIDEST = widest
            row.append(loss(Around("auto").wrap(model), series, season, horizon) / plain)
            every.append(row)
            kind = "loads" if drift is None else f"mixed, {drift:.2f}"
            print(f"| {season} | {kind} |", " | ".join(f"{r:.3f}" for r in row), "|", flush=True)
    means = np.exp(np.log(np.array(every)).mean(axis=0))
    print("| all | |", " | ".join(f"{m:.3f}" for m in means), "|")


if __name__ == "__main__":
    main()
