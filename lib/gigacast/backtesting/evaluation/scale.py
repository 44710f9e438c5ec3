"""The scale of each forecast: the seasonal error of its series before its first step.

Later values must not count: they are what the forecast is compared with, and a series that became
calmer since would make an old forecast look worse.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from gigacast.backtesting.evaluation.join import Forecasts
from gigacast.backtesting.partition import HISTORY, seasons_of
from gigacast.core.array import DoubleArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.time.zone import from_wall, zone_of
from gigacast.forecasters.metric import seasonal_error

MOST_HISTORY = 4 * HISTORY
"""Steps of a series that are read: its history before the oldest origin, and what came since."""
_MOST_VALUES = 4_000_000
"""Values of contexts in memory at a time: as many copies of a series as it has origins."""


def scales_before(batches: Iterable[SeriesBatch], forecasts: Forecasts) -> DoubleArray:
    """Return the scale of each forecast, float64 [N]; NaN for series without one.

    Parameters
    ----------
    batches : iterable of SeriesBatch
        Series, with values after the forecasts' beginnings or without.
    forecasts : Forecasts
        N forecasts; a series may have several, of several origins.
    """
    series = forecasts.items
    first = forecasts.first_times
    scales = np.full(len(first), np.nan)
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
            scales[rows[chunk]] = _scales(batch.take(members[chunk]), first[rows[chunk]])
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


def _scales(contexts: SeriesBatch, first: IntArray) -> DoubleArray:
    """Return the seasonal error of each series before a time, [N]."""
    owner = np.repeat(np.arange(len(contexts)), contexts.lengths)
    within = np.arange(len(owner)) - contexts.offsets[owner]
    before = _times(contexts, owner, within) < first[owner]
    position = np.bincount(owner[before], minlength=len(contexts))
    # As many steps as a backtest has at this origin, so that both have the same scale.
    before &= within >= (position - HISTORY)[owner]
    values = np.where(before, contexts.values, np.float32(np.nan))
    scales = seasonal_error(values, contexts.offsets, seasons_of(contexts))
    scales[first == NO_TIME] = np.nan
    return scales


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
