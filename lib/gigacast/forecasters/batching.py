"""From a batch of ragged series to their forecast: what every pipeline calls.

Screens the series, groups them by length, calls the forecaster in batches that fit into memory,
gives the others their fallback, and puts everything back in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import ByteArray, FloatArray, IntArray, UintArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.series.forecast import ForecastBatch, ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.errors import ModelError
from gigacast.forecasters.budget import BatchBudget, series_tokens
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, Started, start
from gigacast.forecasters.grouping import Windows, gather_members, group_rows
from gigacast.forecasters.levels import (
    MEDIAN,
    find_level,
    interpolate_levels,
    plan_levels,
    union_levels,
)
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasters.padding import group_by_length
from gigacast.forecasters.postprocess import postprocess
from gigacast.forecasters.screening import count_between, screen, window_starts
from gigacast.forecasters.seed import series_seeds

__all__ = ["BatchBudget", "ForecastOptions", "forecast_batch"]


def forecast_batch(
    forecaster: Forecaster,
    batch: SeriesBatch,
    settings: ForecastOptions,
    budget: BatchBudget | None = None,
) -> ForecastBatch:
    """Forecast every series of a batch.

    Parameters
    ----------
    forecaster : Forecaster
        What forecasts the series that can be forecast.
    batch : SeriesBatch
        N series; those with a reason get the fallback.
    settings : ForecastOptions
        Horizon, levels and the rest.
    budget : BatchBudget, optional
        Remembers from call to call how much fits into memory.

    Returns
    -------
    ForecastBatch
        In the order of ``batch``. A series' numbers do not depend on the others, but for rounding.
        Series that nothing can be said about (no value at all) are NaN, as are all series with a
        reason when the fallback is ``drop``.

    Raises
    ------
    UnsupportedForecastError
        When a level lies outside the trained range and ``extrapolate_levels`` is not set.
    ModelError
        When not even a single series fits into memory.
    """
    levels = union_levels(settings.levels, (MEDIAN,))
    shape = (len(batch), settings.horizon, len(levels))
    quantiles = np.full(shape, np.nan, dtype=np.float32)
    job = _Job(forecaster, settings, levels, budget or BatchBudget(settings.batch_size))
    reasons = screen(batch, job.context_length, settings.min_length)
    covariates = job.covariates(batch)
    if covariates is not None and settings.missing_future == "error":
        lacking = covariates.lack_future(settings.horizon)
        reasons[(reasons == Reason.OK) & lacking] = Reason.NO_FUTURE
    good = np.flatnonzero(reasons == Reason.OK)
    job.fill(quantiles, good, _cut_windows(batch, job.context_length))
    reasons[good[np.isnan(quantiles[good, 0, 0])]] = Reason.MODEL_FAILED
    if settings.fallback == "seasonal_naive":
        naive = _Job(SeasonalNaive(), settings, levels, BatchBudget())
        _fill_fallback(naive, quantiles, reasons, batch)
    return _finish(batch, settings.levels, levels, quantiles, reasons)


def _cut_windows(batch: SeriesBatch, context_length: int) -> Windows:
    starts = window_starts(batch, context_length)
    return Windows(batch, batch.values, starts, batch.offsets[1:])


@dataclass(frozen=True, slots=True)
class _Job:
    """One forecaster with what is asked of it; ``levels`` are those to compute, L of them."""

    forecaster: Forecaster
    settings: ForecastOptions
    levels: tuple[float, ...]
    budget: BatchBudget

    @property
    def info(self) -> ForecasterInfo:
        return self.forecaster.info

    @property
    def context_length(self) -> int:
        return min(self.info.context_length, self.settings.context_length or 2**62)

    def fill(self, quantiles: FloatArray, rows: IntArray, windows: Windows) -> None:
        """Write the forecasts of ``rows`` into ``quantiles``, [N, H, L]; NaN where they failed."""
        extrapolate = self.settings.extrapolate_levels
        trained = self.info.levels
        plan = plan_levels(self.levels, trained, extrapolate=extrapolate)
        # All trained levels, whatever is asked for: quantiles that cross are put in order before
        # some are chosen, so that the median is the same whatever stands beside it.
        for part, raw in self._predict(rows, windows, trained or plan.asked):
            finite = np.isfinite(raw).all(axis=(1, 2))
            values = raw[finite]
            if trained:
                values = interpolate_levels(np.sort(values, axis=-1), trained, plan.asked)
            values = postprocess(
                plan.finish(values),
                non_negative=self.settings.non_negative,
                integer=self.settings.integer,
            )
            quantiles[part[finite]] = values

    def _predict(
        self, rows: IntArray, windows: Windows, levels: tuple[float, ...]
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield parts of ``rows`` with their raw quantiles, one part behind what is computed."""
        seasons = _seasons(windows.batch, self.settings.season)
        seeds = self._seeds(windows.batch)
        covariates = self.covariates(windows.batch)
        lengths = windows.lengths
        waiting: tuple[IntArray, Started] | None = None
        for groups in group_rows(rows, covariates, joint=self.settings.joint):
            for alike in group_by_length(lengths[groups].max(axis=1), self.info.patch_size):
                members = groups[alike.rows]
                while len(members):
                    size = groups.shape[1] + (len(covariates.names) if covariates else 0)
                    part = members[: self._part_size(len(members), alike.length, size)]
                    request = self._request(windows, part, alike.length, levels, (seasons, seeds))
                    started = self._try(request, alone=waiting is None)
                    if waiting is not None:
                        yield waiting[0].ravel(), _wanted(waiting)
                    waiting = (part, started) if started is not None else None
                    if started is not None:
                        members = members[len(part) :]
        if waiting is not None:
            yield waiting[0].ravel(), _wanted(waiting)

    def covariates(self, batch: SeriesBatch) -> Covariates | None:
        """Return what is known beside the series, where the forecaster has a use for it."""
        return batch.covariates if self.info.takes_groups else None

    def _request(
        self,
        windows: Windows,
        groups: IntArray,
        length: int,
        levels: tuple[float, ...],
        of_series: tuple[IntArray, UintArray],
    ) -> ForecastRequest:
        """Return what to ask of groups of series, int64 [G, K]."""
        covariates = self.covariates(windows.batch)
        members = gather_members(windows, groups, covariates, length, self.settings.horizon)
        # Covariates have the season and the seed of their group's first series: no one asks.
        owner = np.repeat(groups[:, 0], members.size) if members.future is not None else groups
        seasons, seeds = of_series
        return ForecastRequest(
            context=members.context,
            horizon=self.settings.horizon,
            levels=levels,
            seasons=seasons[owner.ravel()],
            seeds=seeds[owner.ravel()],
            group_size=members.size,
            future=members.future,
        )

    def _part_size(self, left: int, length: int, size: int) -> int:
        """Return the groups of the next batch: as equal as possible, so that none is tiny."""
        most = max(1, self.budget.rows(self.info, length, self.settings.horizon) // size)
        return -(-left // -(-left // most))

    def _try(self, request: ForecastRequest, *, alone: bool) -> Started | None:
        """Begin a batch, or return None after noting that it was too large.

        Beside another one it may be tried again with more room: only a batch ``alone`` says what
        does not fit.
        """
        rows, length = request.context.shape
        try:
            started = start(self.forecaster, request)
        except MemoryError as error:
            if not alone:
                return None
            if rows <= request.group_size:
                raise ModelError(
                    f"a single series of {length} steps does not fit into memory",
                    hint="lower context_length or n_jobs, or use a device with more memory",
                ) from error
            self.budget.halve(rows, series_tokens(self.info, length, request.horizon))
            return None
        self.budget.largest = max(self.budget.largest, rows)
        return started

    def _seeds(self, batch: SeriesBatch) -> UintArray:
        if self.info.samples:
            return series_seeds(batch, self.settings.seed)
        return np.zeros(len(batch), dtype=np.uint64)


def _wanted(waiting: tuple[IntArray, Started]) -> FloatArray:
    """Wait for the forecasts of groups, [G, K], and return those of their series, [G * K, H, L]."""
    groups, started = waiting
    values = started()
    if len(values) == groups.size:
        return values
    count, width = groups.shape
    return values.reshape(count, -1, *values.shape[1:])[:, :width].reshape(-1, *values.shape[1:])


def _fill_fallback(
    naive: _Job, quantiles: FloatArray, reasons: ByteArray, batch: SeriesBatch
) -> None:
    """Give every series that has a reason and a value its seasonal naive forecast."""
    rows = np.flatnonzero(reasons != Reason.OK)
    if not len(rows):
        return
    finite = np.isfinite(batch.values)
    values = np.where(finite, batch.values, np.float32(np.nan))
    starts, stops = window_starts(batch, naive.info.context_length), batch.offsets[1:]
    rows = rows[count_between(finite, starts[rows], stops[rows]) > 0]
    naive.fill(quantiles, rows, Windows(batch, values, starts, stops))


def _finish(
    batch: SeriesBatch,
    asked: tuple[float, ...],
    levels: tuple[float, ...],
    quantiles: FloatArray,
    reasons: ByteArray,
) -> ForecastBatch:
    """Split what was computed into the levels asked for and the median."""
    median = quantiles[..., find_level(MEDIAN, levels)]
    if len(asked) != len(levels):
        quantiles = np.stack([quantiles[..., find_level(level, levels)] for level in asked], -1)
    return ForecastBatch(batch, asked, quantiles, median, reasons)


def _seasons(batch: SeriesBatch, given: int | None) -> IntArray:
    """Return the season length of each series, int64 [N]; 1 where the frequency is unknown."""
    if given is not None:
        return np.full(len(batch), given, dtype=np.int64)
    lengths = [frequency.season_length for frequency in batch.frequencies]
    return np.array([*lengths, 1], dtype=np.int64)[batch.frequency_codes]
