"""Forecast a batch of series of different lengths: the entry point of every job.

Screens the series, groups them by length, calls the forecaster in batches that fit into memory,
gives the remaining series their fallback, and returns everything in the order of the input.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import AnyArray, ByteArray, FloatArray, IntArray, UintArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.series.forecast import ForecastBatch, ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.errors import ModelError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.around.regression import RegressedForecaster
from gigacast.forecasters.around.wrapping import unchanged_of
from gigacast.forecasters.budget import BatchBudget, fixed_length, series_tokens
from gigacast.forecasters.forecaster import (
    Forecaster,
    ForecasterInfo,
    PendingForecast,
    is_shift_free,
    start,
)
from gigacast.forecasters.grouping import Windows, gather_members, group_rows, season_lengths
from gigacast.forecasters.levels import (
    MEDIAN,
    find_level,
    mean_weights,
    plan_levels,
    postprocess,
    union_levels,
)
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.options import DEFAULT_LEVELS, ForecastOptions
from gigacast.forecasters.padding import group_by_length
from gigacast.forecasters.portfolio.forecaster import PortfolioForecaster, forecast_portfolio
from gigacast.forecasters.screening import count_between, screen, window_starts
from gigacast.forecasters.seed import series_seeds

__all__ = ["BatchBudget", "ForecastOptions", "forecast_batch"]

NO_LIMIT = 2**62
"""Stands for "all history": above every context length, and far from int64's overflow."""


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
        Forecaster of the series that pass the screening.
    batch : SeriesBatch
        N series; series with a reason get the fallback.
    settings : ForecastOptions
        Horizon, quantile levels and further options.
    budget : BatchBudget, optional
        Memory limits found so far, shared between calls; a new budget by default.

    Returns
    -------
    ForecastBatch
        In the order of ``batch``. The numbers of a series depend on no other series, except for
        rounding. Series without a single value are NaN, and so is every series with a reason if
        the fallback is ``drop``.

    Raises
    ------
    UnsupportedForecastError
        If a level is outside the trained range and ``extrapolate_levels`` is not set.
    ModelError
        If not even a single series fits into memory.
    """
    budget = budget or BatchBudget(settings.batch_size)
    if isinstance(forecaster, PortfolioForecaster):
        return forecast_portfolio(forecaster, batch, settings, budget, forecast_batch)
    if not is_shift_free(forecaster.info):
        batch = batch.with_bases_added()  # such a model has to see the values as they are
    # The median is always written, whether or not it is among the requested levels.
    levels = _levels_of(settings, forecaster.info)
    shape = (len(batch), settings.horizon, len(levels))
    # Beyond the digits of float32 only where a series is: see `core.series.base`.
    kind = np.float32 if batch.bases is None else np.float64
    quantiles: FloatArray = np.full(shape, np.nan, dtype=kind)
    around = settings.around.wrap(forecaster, settings.pool)
    job = _Job(around, settings, levels, budget, settings.calibration)
    reasons = screen(batch, job.context_length, settings.min_length)
    if job.info.takes_groups:
        columns = settings.calendar_columns
        batch = columns.add_to(batch, job.context_length, settings.horizon)
    covariates = job.covariates(batch)
    if covariates is not None and settings.missing_future == "error":
        lacking = covariates.lack_future(settings.horizon)
        reasons[(reasons == Reason.OK) & lacking] = Reason.NO_FUTURE
    good = np.flatnonzero(reasons == Reason.OK)
    job.fill(quantiles, good, _cut_windows(batch, job.context_length))
    # A forecast is written as a whole or not at all, so its first number says whether it failed.
    reasons[good[np.isnan(quantiles[good, 0, 0])]] = Reason.MODEL_FAILED
    if settings.fallback == "seasonal_naive":
        # A budget of its own: the limits of the model's memory do not apply to the fallback.
        naive = _Job(SeasonalNaive(), settings, levels, BatchBudget())
        _fill_fallback(naive, quantiles, reasons, batch)
    forecast = _finish(batch, settings.levels, levels, quantiles, reasons)
    if settings.mean:
        # In float64: a mean is there to be added up.
        mean = quantiles.astype(np.float64) @ mean_weights(levels)
        mean = np.maximum(mean, 0) if settings.non_negative else mean
        forecast = replace(forecast, mean=mean.astype(quantiles.dtype))
    return replace(forecast, unchanged=unchanged_of(around))


def _levels_of(settings: ForecastOptions, info: ForecasterInfo) -> tuple[float, ...]:
    """Return the levels to compute: the requested ones, the median, and those of the mean."""
    levels = union_levels(settings.levels, (MEDIAN,))
    # Factors are known of the requested levels only.
    if not settings.mean or settings.calibration is not None:
        return levels
    # The mean is the same whatever levels are requested within the trained range.
    return union_levels(levels, info.levels or DEFAULT_LEVELS)


def _cut_windows(batch: SeriesBatch, context_length: int) -> Windows:
    starts = window_starts(batch, context_length)
    return Windows(batch, batch.values, starts, batch.offsets[1:])


@dataclass(frozen=True, slots=True)
class _Source:
    """The inputs that all requests of a job share.

    Parameters
    ----------
    windows : Windows
        N series and the part of each that the forecaster sees.
    covariates : Covariates or None
    levels : tuple of float
        Levels to request from the forecaster.
    seasons, seeds : int64 [N], uint64 [N]
    frequencies : object [N], optional
        See `ForecastRequest`.
    """

    windows: Windows
    covariates: Covariates | None
    levels: tuple[float, ...]
    seasons: IntArray
    seeds: UintArray
    frequencies: AnyArray | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """A forecaster with its options and the L levels to compute."""

    forecaster: Forecaster
    settings: ForecastOptions
    levels: tuple[float, ...]
    budget: BatchBudget
    calibration: Calibration | None = None

    @property
    def info(self) -> ForecasterInfo:
        return self.forecaster.info

    @property
    def context_length(self) -> int:
        return min(self.info.context_length, self.settings.context_length or NO_LIMIT)

    @property
    def _is_regressed(self) -> bool:
        return isinstance(self.forecaster, RegressedForecaster)

    def fill(self, quantiles: FloatArray, rows: IntArray, windows: Windows) -> None:
        """Write the forecasts of ``rows`` into ``quantiles``, [N, H, L]; failed ones stay NaN."""
        plan = plan_levels(
            self.levels, self.info.levels, extrapolate=self.settings.extrapolate_levels
        )
        bases = windows.batch.bases
        for part, raw in self._predict(rows, self._source(windows, plan.model_levels)):
            finite, values = _finite_rows(part, raw)
            values = plan.finish(values)
            if self.calibration is not None:
                values = self.calibration.apply(values, self.levels)
            if bases is not None:
                # The last step in float32 is behind, and what follows is of the values themselves.
                values = values + bases[finite, None, None]  # type: ignore[assignment]
            quantiles[finite] = postprocess(
                values,
                non_negative=self.settings.non_negative,
                integer=self.settings.integer,
            )

    def covariates(self, batch: SeriesBatch) -> Covariates | None:
        """Return the covariates of a batch; ``None`` if the forecaster cannot use them."""
        return batch.covariates if self.info.takes_groups else None

    def _source(self, windows: Windows, levels: tuple[float, ...]) -> _Source:
        batch = windows.batch
        # Hashing the names takes time, and only models that sample read the seeds.
        seeds = (
            series_seeds(batch, self.settings.seed)
            if self.info.samples
            else np.zeros(len(batch), dtype=np.uint64)
        )
        seasons = season_lengths(batch, self.settings.season)
        names = None
        if self.info.needs_frequencies:
            aliases = [frequency.pandas_alias for frequency in batch.frequencies]
            names = np.array([*aliases, ""], object)[batch.frequency_codes]
        return _Source(windows, self.covariates(batch), levels, seasons, seeds, names)

    def _predict(self, rows: IntArray, source: _Source) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield parts of ``rows`` with their raw quantiles.

        Each batch is started before the previous one is collected, so that the device computes
        while the host prepares the next request and writes the last result.
        """
        pending: tuple[IntArray, PendingForecast] | None = None
        for groups, length in self._parts(rows, source):
            remaining = groups
            while len(remaining):
                part = remaining[: self._part_size(remaining, length, source)]
                filled = self._filled(part, length, source)
                request = self._request(filled, length, source, len(part))
                started = self._try(request, alone=pending is None)
                if started is not None and self.budget.fixes(self.info):
                    started = _first_rows(started, len(part) * request.group_size)
                if pending is not None:
                    yield pending[0].ravel(), _collect(*pending)
                pending = None
                # Otherwise the same series are tried again, in a smaller or a lone batch.
                if started is not None:
                    pending = (part, started)
                    remaining = remaining[len(part) :]
        if pending is not None:
            yield pending[0].ravel(), _collect(*pending)

    def _parts(self, rows: IntArray, source: _Source) -> Iterator[tuple[IntArray, int]]:
        """Yield groups of similar length, int64 [G, K], and the length they are padded to."""
        lengths = source.windows.lengths
        for groups in group_rows(rows, source.covariates, joint=self.settings.joint):
            longest = lengths[groups].max(axis=1)
            if self.budget.fixes(self.info):
                yield from self._fixed_parts(groups, longest)
                continue
            for similar in group_by_length(longest, self.info.patch_size):
                yield groups[similar.rows], similar.length

    def _fixed_parts(self, groups: IntArray, longest: IntArray) -> Iterator[tuple[IntArray, int]]:
        """Yield groups by the length that each has in calls of one shape, the longest first."""
        sizes, place = np.unique(longest, return_inverse=True)
        padded = np.array([fixed_length(int(size), self.info) for size in sizes], np.int64)[place]
        for length in np.unique(padded)[::-1]:
            yield groups[padded == length], int(length)

    def _limit(self, groups: IntArray, length: int, source: _Source) -> int:
        """Return the most groups in a batch."""
        covariates = source.covariates
        width = int(groups.shape[1]) + (len(covariates.names) if covariates else 0)
        rows = self.budget.rows(self.info, length, self.settings.horizon)
        # Covariates that a regression takes out never reach the model.
        return rows if self._is_regressed else max(1, rows // width)

    def _filled(self, groups: IntArray, length: int, source: _Source) -> IntArray:
        """Return groups, in calls of one shape with copies of the last one up to its size."""
        missing = self._limit(groups, length, source) - len(groups)
        if missing <= 0 or not self.budget.fixes(self.info):
            return groups
        return np.concatenate([groups, groups[-1:].repeat(missing, axis=0)])

    def _part_size(self, groups: IntArray, length: int, source: _Source) -> int:
        """Return the number of groups in the next batch.

        The remaining groups are divided evenly, because a tiny last batch would cost a whole call.
        """
        limit = self._limit(groups, length, source)
        if self.budget.fixes(self.info):
            return limit
        return -(-len(groups) // -(-len(groups) // limit))

    def _request(self, groups: IntArray, length: int, source: _Source, own: int) -> ForecastRequest:
        """Return the request for groups of series, int64 [G, K], of which the first are own."""
        members = gather_members(
            source.windows, groups, source.covariates, length, self.settings.horizon
        )
        # Rows of covariates need a season and a seed too. They take those of their group's first
        # series; their own forecasts are thrown away.
        owner = np.repeat(groups[:, 0], members.size) if members.future is not None else groups
        names = source.frequencies
        return ForecastRequest(
            context=members.context,
            horizon=self.settings.horizon,
            levels=source.levels,
            seasons=source.seasons[owner.ravel()],
            seeds=source.seeds[owner.ravel()],
            group_size=members.size,
            future=members.future,
            exact=self.budget.fixes(self.info),
            frequencies=None if names is None else names[owner.ravel()],
            spare=(len(groups) - own) * members.size,
        )

    def _try(self, request: ForecastRequest, *, alone: bool) -> PendingForecast | None:
        """Start a batch; return None if it did not fit into memory.

        The limit is lowered only if the batch was ``alone``: beside a pending batch it may have
        failed for want of the memory that the other one still occupies.
        """
        rows, length = request.context.shape
        if self._is_regressed:
            rows //= request.group_size
        try:
            started = start(self.forecaster, request)
        except MemoryError as error:
            # Another batch is on the device. After its end this one may fit, so nothing is halved
            # yet.
            if not alone:
                return None
            # Rows of a group attend to each other and cannot be divided.
            if rows <= (1 if self._is_regressed else request.group_size):
                raise ModelError(
                    f"a single series of {length} steps does not fit into memory",
                    hint="lower context_length or n_jobs, or use a device with more memory",
                ) from error
            self.budget.halve(rows, series_tokens(self.info, length, request.horizon))
            return None
        self.budget.largest = max(self.budget.largest, rows)
        return started


def _finite_rows(part: IntArray, raw: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the series whose forecasts are finite, and these; the arrays themselves if all are."""
    is_finite = np.isfinite(raw)
    if is_finite.all():
        return part, raw
    rows = is_finite.all(axis=(1, 2))
    return part[rows], raw[rows]


def _first_rows(pending: PendingForecast, rows: int) -> PendingForecast:
    """Return a pending forecast without the rows that its call was filled up with."""
    return lambda: pending()[:rows]


def _collect(groups: IntArray, pending: PendingForecast) -> FloatArray:
    """Wait for the forecasts of groups, [G, K], and return those of their series, [G * K, H, L]."""
    values = pending()
    if len(values) == groups.size:
        return values
    # Each group's series come first, then its covariates, whose forecasts nobody needs.
    count, width = groups.shape
    return values.reshape(count, -1, *values.shape[1:])[:, :width].reshape(-1, *values.shape[1:])


def _fill_fallback(
    naive: _Job, quantiles: FloatArray, reasons: ByteArray, batch: SeriesBatch
) -> None:
    """Write seasonal naive forecasts for every series that has a reason and at least one value."""
    rows = np.flatnonzero(reasons != Reason.OK)
    if not len(rows):
        return
    # Infinite values count as missing here: a single one would make the whole spread infinite.
    finite = np.isfinite(batch.values)
    values = np.where(finite, batch.values, np.float32(np.nan))
    starts, stops = window_starts(batch, naive.info.context_length), batch.offsets[1:]
    rows = rows[count_between(finite, starts[rows], stops[rows]) > 0]
    naive.fill(quantiles, rows, Windows(batch, values, starts, stops))


def _finish(
    batch: SeriesBatch,
    requested: tuple[float, ...],
    levels: tuple[float, ...],
    quantiles: FloatArray,
    reasons: ByteArray,
) -> ForecastBatch:
    """Split the computed levels into the requested ones and the median."""
    median = quantiles[..., find_level(MEDIAN, levels)]
    if len(requested) != len(levels):
        quantiles = np.stack([quantiles[..., find_level(level, levels)] for level in requested], -1)
    return ForecastBatch(batch, requested, quantiles, median, reasons)
