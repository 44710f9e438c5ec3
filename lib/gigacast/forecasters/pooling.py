"""The effects that the series of a partition have in common, from all of its batches.

They are found in a pass over the series before these are forecast, and only up to the end of each
context.
"""

from collections.abc import Iterable

import numpy as np

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.reason import Reason
from gigacast.forecasters.around.pool import Pool, PoolSums
from gigacast.forecasters.around.ridge import Panel
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.grouping import Windows, gather_members, season_lengths
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasters.padding import group_by_length
from gigacast.forecasters.screening import screen, window_starts

_CHUNK_VALUES = 1 << 20
"""Values of covariates that are looked at together."""


def needs_pool(options: ForecastOptions) -> bool:
    """Return whether forecasts need effects that series have in common."""
    return options.covariate_regressor == "pooled"


def find_pool(
    contexts: Iterable[SeriesBatch], info: ForecasterInfo, options: ForecastOptions
) -> Pool:
    """Return the common effects of the series of a partition.

    Parameters
    ----------
    contexts : iterable of SeriesBatch
        All series, each up to the origin of its forecast.
    info : ForecasterInfo
        Info of the model, whose context effects are looked for in.
    options : ForecastOptions
    """
    sums: PoolSums | None = None
    count = 0
    for batch in contexts:
        sums = _add_batch(batch, info, options, sums, count)
        count += len(batch)
    return Pool((), ()) if sums is None else sums.pool()


def _add_batch(
    batch: SeriesBatch,
    info: ForecasterInfo,
    options: ForecastOptions,
    sums: PoolSums | None,
    count: int,
) -> PoolSums | None:
    """Add the series of a batch, whose first one has the number ``count`` in the partition."""
    length = min(info.context_length, options.context_length or info.context_length)
    rows = np.flatnonzero(screen(batch, length, options.min_length) == Reason.OK)
    batch = options.calendar_columns.add_to(batch, length, options.horizon)
    covariates = batch.covariates
    if covariates is None or not covariates.names:
        return sums
    if sums is None:
        sums = PoolSums(tuple(texts is not None for texts in covariates.categories))
    windows = Windows(batch, batch.values, window_starts(batch, length), batch.offsets[1:])
    seasons = np.maximum(season_lengths(batch, options.season), 1)
    for group in group_by_length(windows.lengths[rows], info.patch_size):
        members, width = rows[group.rows], 1 + len(covariates.names)
        chunk = max(1, _CHUNK_VALUES // (width * group.length))
        for first in range(0, len(members), chunk):
            part = members[first : first + chunk]
            asked = gather_members(
                windows, part[:, None], covariates, group.length, options.horizon
            )
            assert asked.future is not None  # noqa: S101 - there are covariates
            context = asked.context.reshape(len(part), width, -1).astype(np.float64)
            ahead = asked.future.reshape(len(part), width, -1).astype(np.float64)
            panel = Panel(context[:, 0], context[:, 1:], ahead[:, 1:], seasons[part])
            sums.add(panel, part + count)
    return sums
