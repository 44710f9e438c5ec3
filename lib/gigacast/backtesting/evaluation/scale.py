"""What was known before a forecast: its series up to the first step, and their scale.

Later values must not count: they are what the forecast is compared with, and a series that became
calmer since would make an old forecast look worse.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gigacast.backtesting.evaluation.join import Forecasts
from gigacast.backtesting.partition import HISTORY, seasons_of
from gigacast.core.array import DoubleArray, IntArray, RealArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.series.base import add_bases
from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.time.zone import from_wall, zone_of
from gigacast.forecasters.metric import seasonal_error

MOST_HISTORY = 4 * HISTORY
"""Steps of a series that are read: its history before the oldest origin, and what came since."""
_MOST_VALUES = 4_000_000
"""Values of contexts in memory at a time: as many copies of a series as it has origins."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """Series before the first steps of forecasts: one for each of M forecasts.

    Parameters
    ----------
    rows : int64 [M]
        Numbers of the forecasts.
    series : SeriesBatch
        M series.
    values : float32 [sum of T_m]
        Values of the series; NaN at and after the first step of the forecast. They are float64 if
        the series have bases, which are added to them.
    """

    rows: IntArray
    series: SeriesBatch
    values: RealArray


def contexts_before(batches: Iterable[SeriesBatch], forecasts: Forecasts) -> Iterator[Contexts]:
    """Yield the series of forecasts as they were before the first step of each.

    Parameters
    ----------
    batches : iterable of SeriesBatch
        Series, with values after the forecasts' beginnings or without.
    forecasts : Forecasts
        N forecasts; a series may have several, of several origins.
    """
    series = forecasts.items
    first = forecasts.first_times
    names = series.append_column("row", to_arrow(np.arange(series.num_rows)))
    # Frames may have texts of Arrow's large type.
    names = names.set_column(1, "target", series["target"].cast(pa.string()))
    for batch in batches:
        # The input may have been rewritten since the forecast, with ids of another type.
        items = batch.item_ids.cast(series.schema.field("item").type)
        own = pa.table(
            {
                "item": items,
                "target": batch.target_names,
                "series": to_arrow(np.arange(len(batch))),
            }
        )
        joined = names.join(own, keys=["item", "target"], join_type="inner")
        rows, members = to_numpy(joined["row"]), to_numpy(joined["series"])
        for chunk in _chunks(batch.lengths[members]):
            yield _contexts(rows[chunk], batch.take(members[chunk]), first[rows[chunk]])


def scales_before(batches: Iterable[SeriesBatch], forecasts: Forecasts) -> DoubleArray:
    """Return the scale of each forecast, float64 [N]; NaN for series without one.

    Parameters
    ----------
    batches, forecasts
        See `contexts_before`.
    """
    scales = np.full(len(forecasts.first_times), np.nan)
    for before in contexts_before(batches, forecasts):
        series = before.series
        scales[before.rows] = seasonal_error(before.values, series.offsets, seasons_of(series))
    scales[forecasts.first_times == NO_TIME] = np.nan
    return scales


def _chunks(lengths: IntArray) -> Iterator[slice]:
    """Yield slices of series with a bounded number of values each."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _MOST_VALUES, side="right")))
        yield slice(start, stop)
        start = stop


def _contexts(rows: IntArray, series: SeriesBatch, first: IntArray) -> Contexts:
    """Return series without their values at and after a time, [M]."""
    owner = np.repeat(np.arange(len(series)), series.lengths)
    within = np.arange(len(owner)) - series.offsets[owner]
    before = _times(series, owner, within) < first[owner]
    position = np.bincount(owner[before], minlength=len(series))
    # As many steps as a backtest has at this origin, so that both have the same scale.
    before &= within >= (position - HISTORY)[owner]
    values: RealArray = series.values
    if series.bases is not None:
        values = add_bases(series.values, series.bases[owner])
    return Contexts(rows, series, np.where(before, values, np.float32(np.nan)))


def _times(contexts: SeriesBatch, owner: IntArray, within: IntArray) -> IntArray:
    """Return the time of each value as an instant; far in the future without a frequency."""
    zone = zone_of(contexts.timestamp_type)
    back = contexts.lengths[owner] - 1 - within
    times = np.full(len(owner), np.iinfo(np.int64).max)
    for code, frequency in enumerate(contexts.frequencies):
        chosen = np.flatnonzero(contexts.frequency_codes[owner] == code)
        last = contexts.last_timestamps[owner[chosen]]
        if frequency.in_wall_time or zone is None:
            shifted = frequency.shift(last, -back[chosen])
            times[chosen] = shifted if zone is None else from_wall(shifted, zone)
        else:
            times[chosen] = frequency.shift(from_wall(last, zone), -back[chosen])
    return times
