"""Forecasts of a table in memory, for notebooks: the code of the job without a bucket."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.plural import counted
from gigacast.core.series.batch import NO_TIME, SeriesBatch, concat_batches
from gigacast.core.series.forecast import ForecastBatch
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError
from gigacast.forecasters.batching import BatchBudget, forecast_batch
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, is_shift_free
from gigacast.forecasters.pooling import find_pool, needs_pool
from gigacast.forecasting.prediction import (
    prediction_batch,
    prediction_schema,
    with_mean,
    without_dropped,
)
from gigacast.job.covariates import Futures, check_context, fit_method, warn_of_horizon
from gigacast.job.engine_choice import settle_rows
from gigacast.job.forecast_job import Method, ModelChoice
from gigacast.job.model_choice import load_resolved, resolve_choice
from gigacast.lake.model.resolve import NO_REGISTRY
from gigacast.series.duplicates import warn_of_conflicts, warn_of_dropped, warn_of_no_rows
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, ReadStats, SeriesSource
from gigacast.storage.memory import MemoryStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress

logger = logging.getLogger(__name__)


def load_chosen(
    choice: ModelChoice, models: StoreAddress | None = None, *, rows: int | None = None
) -> Forecaster:
    """Load the model of a choice.

    Parameters
    ----------
    choice : ModelChoice
    models : StoreAddress, optional
        Root of ``models/``; models of a bucket are not searched by default.
    rows : int, optional
        About how many rows will be forecast from: an engine that is left open depends on it.

    Raises
    ------
    ModelError, ConfigError, StorageError
    """
    # An empty store: without a bucket, only shipped, local and public models can be found.
    empty = MemoryStore(NO_REGISTRY.partition("://")[2])
    store = empty if models is None else open_store(models)
    model, info = resolve_choice(choice, store)
    if rows is not None:
        info = settle_rows(model, info, choice, rows)
    return load_resolved(choice, model, info)


def count_rows(source: SeriesSource) -> int:
    """Return about how many rows a source has, by its size; wide rows count once per value."""
    with ExitStack() as stack:
        content = source.open()
        if isinstance(content, pa.Table):
            return int(content.nbytes) // _BYTES_PER_ROW["table"]
        file = stack.enter_context(content)
        size = int(file.seek(0, os.SEEK_END))
    return size // _BYTES_PER_ROW[source.format]


_BYTES_PER_ROW = {"table": 24, "parquet": 8, "csv": 30, "json": 60}
"""An id, a time and a value, as they usually are in each format."""


@dataclass(frozen=True)
class SourceForecast:
    """The forecasts of one source.

    Parameters
    ----------
    predictions : pa.Table
        Predictions, as the job writes them.
    batches : tuple of ForecastBatch
        The same forecasts with the context of each series.
    info : ForecasterInfo
        Model.
    horizon : int
        Steps.
    stats : ReadStats
        Counts of rows that are in no series, or that say another value of a series and time.
    """

    predictions: pa.Table
    batches: tuple[ForecastBatch, ...]
    info: ForecasterInfo
    horizon: int
    stats: ReadStats

    @property
    def conflicts(self) -> int:
        """Rows that said another value of a series and time than other rows."""
        return self.stats.conflicts


def forecast_table(
    table: pa.Table, forecaster: Forecaster, method: Method, batch_size: int | None = None
) -> pa.Table:
    """Forecast every series of a table in any layout that the reader of partitions accepts.

    Returns
    -------
    pa.Table
        Predictions, as the job writes them.

    Raises
    ------
    SchemaError, ConfigError, ModelError
    """
    source = SeriesSource.of_table(table)
    forecast = forecast_source(source, forecaster, method, batch_size)
    warn_of_conflicts(forecast.conflicts, method.duplicates)
    warn_of_dropped(forecast.stats.dropped)
    if table.num_rows == 0:
        warn_of_no_rows()
    return forecast.predictions


def forecast_source(
    source: SeriesSource, forecaster: Forecaster, method: Method, batch_size: int | None = None
) -> SourceForecast:
    """Forecast every series of one source.

    Parameters
    ----------
    source : SeriesSource
        Table or file in any layout that the reader of partitions accepts.
    forecaster : Forecaster
    method : Method
        Method; the horizon is that of the model by default.
    batch_size : int, optional
        Series per call of the model; found automatically by default.

    Raises
    ------
    SchemaError, ConfigError, ModelError
    """
    info = forecaster.info
    check_context(method, info)
    warn_of_horizon(method.horizon, info)
    if method.calibrate and method.calibration is None:
        raise ConfigError(
            "calibrate: calibrations are stored in a bucket, and this is a frame or file",
            hint="forecast the bucket that was backtested with --calibrate",
        )
    method, ignored = fit_method(method, info)
    if ignored:
        logger.warning("%s has no use for %s", info.name, ", ".join(ignored))
    options = method.options(method.horizon or info.prediction_length, batch_size)
    # The id of a table without an id column.
    reading = method.reading_for(info, options.horizon)
    reading = replace(reading, item_id="series", precise=is_shift_free(info))
    budget = BatchBudget(options.batch_size)
    if needs_pool(options):
        options = replace(options, pool=find_pool(read_series([source], reading), info, options))
    forecasts: list[ForecastBatch] = []
    futures = Futures()
    reader = read_series([source], reading)
    for batch in reader:
        forecasts.append(forecast_batch(forecaster, batch, options, budget))
        futures.add(batch, options.horizon)
    futures.refuse_if_all_lack(source.name, method)
    shared = shared_frequency([forecast.series for forecast in forecasts], reading)
    if shared is not None:
        dated = read_series([source], replace(reading, freq=shared))
        for place, batch in enumerate(dated):
            rows = _short_rows(forecasts[place].series)
            if len(rows):
                forecast = forecast_batch(forecaster, batch.take(rows), options, budget)
                forecasts[place] = _with_rows(forecasts[place], forecast, rows)
    _log_fallback(info.name, forecasts)
    forecasts = [without_dropped(forecast, method.fallback) for forecast in forecasts]
    predictions = _prediction_table(forecasts, method, info)
    return SourceForecast(predictions, tuple(forecasts), info, options.horizon, reader.stats)


def _prediction_table(
    forecasts: Sequence[ForecastBatch], method: Method, info: ForecasterInfo
) -> pa.Table:
    """Return forecasts as a table in the layout of the method."""
    # Numbers have one type, that of the series with the most digits.
    ordered = sorted(forecasts, key=lambda forecast: forecast.series.bases is None)
    schema = prediction_schema(
        ordered[0].series if ordered else None,
        method.levels,
        method.layout,
        {
            "gigacast.model": info.name,
            "gigacast.version": info.version,
            "gigacast.digest": info.digest,
        },
        _time_type(forecasts),
        method.columns.items,
    )
    schema = with_mean(schema) if method.mean else schema
    batches = [prediction_batch(forecast, schema, method.layout) for forecast in forecasts]
    return pa.Table.from_batches(batches, schema=schema)


def shared_frequency(batches: Sequence[SeriesBatch], reading: ReadOptions) -> Frequency | None:
    """Return the frequency by which items with too few times for one of their own are dated.

    As in Chronos' ``predict_df`` it is that of all other items. ``None`` if there is no such item,
    or the others differ or have none. A partition of a bucket has none either: there, no item
    depends on another one.
    """
    if reading.freq is not None or not any(len(_short_rows(batch)) for batch in batches):
        return None
    frequencies = {frequency for batch in batches for frequency in batch.frequencies}
    is_irregular = any((batch.reasons == Reason.IRREGULAR).any() for batch in batches)
    return frequencies.pop() if len(frequencies) == 1 and not is_irregular else None


def _short_rows(batch: SeriesBatch) -> IntArray:
    """Return the series with times, but too few for a frequency."""
    has_time = batch.last_timestamps != NO_TIME
    return np.flatnonzero((batch.reasons == Reason.NO_FREQUENCY) & has_time)


def _with_rows(forecast: ForecastBatch, other: ForecastBatch, rows: IntArray) -> ForecastBatch:
    """Return a forecast with other ones of some series in their places."""
    order = np.arange(len(forecast.series))
    order[rows] = len(order) + np.arange(len(rows))
    mean = None
    if forecast.mean is not None and other.mean is not None:
        mean = np.concatenate([forecast.mean, other.mean])[order]
    return replace(
        forecast,
        series=concat_batches([forecast.series, other.series]).take(order),
        quantiles=np.concatenate([forecast.quantiles, other.quantiles])[order],
        median=np.concatenate([forecast.median, other.median])[order],
        reasons=np.concatenate([forecast.reasons, other.reasons])[order],
        mean=mean,
        unchanged=forecast.unchanged + other.unchanged,
    )


def _log_fallback(name: str, forecasts: list[ForecastBatch]) -> None:
    """Say how many series a portfolio has forecast by its fallback; a bucket's receipts count."""
    unseen, replaced = (
        sum(forecast.unseen for forecast in forecasts),
        sum(forecast.replaced for forecast in forecasts),
    )
    if unseen or replaced:
        logger.warning(
            "%s forecasts %s by its fallback: no model was selected for %s, and of %s it failed",
            name,
            counted(unseen + replaced, "series", "series"),
            f"{unseen:,}",
            f"{replaced:,}",
        )


def _time_type(forecasts: Sequence[ForecastBatch]) -> pa.DataType | None:
    """Return the widest type of the forecasts' timestamps; ``None`` without forecasts."""
    kinds = [forecast.series.future_type(forecast.horizon) for forecast in forecasts]
    wider = [kind for kind in kinds if kind != forecasts[0].series.timestamp_type]
    return next(iter(wider or kinds), None)
