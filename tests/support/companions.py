"""Panels with covariates: numbers and categories, known so far or over the horizon."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from gigacast.core.series.batch import SeriesBatch
from gigacast.series.reader import read_series
from gigacast.series.source import ColumnNames, ReadOptions, SeriesSource

COLUMNS = ColumnNames(
    past_covariates=("temperature", "weather"), known_covariates=("price", "event", "open")
)
ALL = ("temperature", "weather", "price", "event", "open")


def panel(
    items: Sequence[str] = ("a", "b", "c"),
    steps: int = 90,
    ahead: int = 12,
    targets: Sequence[str] = ("target",),
    seed: int = 0,
) -> pd.DataFrame:
    """A long panel, hourly; the rows after the last target hold what is known ahead."""
    frames = []
    for number, item in enumerate(items):
        rng = np.random.default_rng([seed, number])
        own = steps - 17 * number  # series of several lengths, all with the same end
        rows = own + ahead
        frame = pd.DataFrame(
            {
                "item_id": item,
                "timestamp": pd.date_range(end="2024-03-01", periods=rows, freq="h"),
                **{name: rng.normal(size=rows).cumsum() for name in targets},
                "temperature": rng.normal(size=rows),
                "weather": rng.choice(["sun", "rain", "fog"], rows),
                "price": rng.normal(size=rows),
                "event": rng.choice(["none", "sale", "fair"], rows),
                "open": rng.random(rows) < 0.7,
            }
        )
        frame.loc[own:, list(targets)] = np.nan
        frame.loc[rng.integers(0, own, 5), "temperature"] = np.nan
        frame.loc[rng.integers(0, own, 3), "weather"] = None
        frame.loc[rng.integers(1, own - 1, 4), targets[0]] = np.nan
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def read(
    frame: pd.DataFrame,
    columns: ColumnNames = COLUMNS,
    horizon: int = 12,
    **options: object,
) -> SeriesBatch:
    """The one batch of a panel."""
    reading = ReadOptions(columns=columns, horizon=horizon, **options)  # type: ignore[arg-type]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    (batch,) = read_series([SeriesSource.of_table(table)], reading)
    return batch
