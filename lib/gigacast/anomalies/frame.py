"""Anomalies of a table in memory, for notebooks: the code of the job without a bucket."""

from dataclasses import replace

import pyarrow as pa

from gigacast.anomalies.kernel import Limits
from gigacast.anomalies.rolling import search_batch
from gigacast.anomalies.table import schema_of
from gigacast.backtesting.partition import HISTORY
from gigacast.forecasters.batching import BatchBudget
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasting.prediction import item_fields
from gigacast.job.covariates import fit_method, refuse_pooled
from gigacast.job.forecast_job import Method
from gigacast.series.duplicates import warn_of_conflicts, warn_of_dropped
from gigacast.series.reader import read_series
from gigacast.series.source import SeriesSource


def search_table(
    table: pa.Table,
    forecaster: Forecaster,
    method: Method,
    limits: Limits,
    windows: int = 1,
    batch_size: int | None = None,
) -> pa.Table:
    """Return the anomalies among the last steps of every series of a table.

    Parameters
    ----------
    table : pa.Table
        Table in any layout that the reader of partitions accepts.
    forecaster : Forecaster
    method : Method
        The horizon is that of the model by default.
    limits : Limits
    windows : int
        Number of horizons at the end of each series that are searched.
    batch_size : int, optional
        Series per call of the model; found automatically by default.

    Raises
    ------
    SchemaError, ConfigError, ModelError
    """
    info = forecaster.info
    refuse_pooled(method, "a search for anomalies")
    method, _ = fit_method(method, info)
    options = method.options(method.horizon or info.prediction_length, batch_size)
    reading = replace(
        method.reading_for(info, options.horizon),
        item_id="series",
        context_length=HISTORY + windows * options.horizon,
        precise=True,
    )
    reader = read_series([SeriesSource.of_table(table)], reading)
    budget = BatchBudget(options.batch_size)
    tables = [
        search_batch(batch, forecaster, options, windows, limits, budget).rows for batch in reader
    ]
    warn_of_conflicts(reader.stats.conflicts, method.duplicates)
    warn_of_dropped(reader.stats.dropped)
    if tables:
        # Numbers are doubles in the batches of series that need them.
        return pa.concat_tables(tables, promote_options="permissive")
    keys = [*item_fields(None, method.columns.items), pa.field("timestamp", pa.timestamp("us"))]
    return schema_of(pa.schema([*keys, pa.field("target_name", pa.string())])).empty_table()
