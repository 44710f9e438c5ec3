"""Predictions: the columns and rows of forecasts in a file.

The *long* layout has a row per series and step, as Chronos' ``predict_df`` gives them. The *wide*
layout has a row per series with list columns, for large volumes. Both end with ``fallback``, the
reason why the model did not make a forecast (null where it did), and ``cutoff``, the last time of
the series that the forecast was made from. Files of earlier releases have no ``cutoff``.
"""

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import text_column, to_arrow
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch
from gigacast.core.series.item_key import ItemKey
from gigacast.core.series.reason import Reason
from gigacast.errors import NumberRangeError, SchemaError
from gigacast.job.forecast_job import Layout

DEFAULT_ROW_GROUP_ROWS = 131_072
CUTOFF = "cutoff"
"""Column of the last time of a series before its forecast, as Nixtla's libraries name it."""
MEAN = "mean"
"""Column of the mean of each forecast, the last one where it is asked for."""
_LEVEL = re.compile(r"(?P<model>.+)-(?P<kind>q|lo|hi)-(?P<number>\d+(?:\.\d+)?)")
"""Columns of quantiles of Nixtla's libraries."""


def prediction_schema(
    series: SeriesBatch | None,
    levels: tuple[float, ...],
    layout: Layout,
    metadata: Mapping[str, str],
    time_type: pa.DataType | None = None,
    item_names: tuple[str, ...] = (),
) -> pa.Schema:
    """Return the columns of a predictions file.

    Parameters
    ----------
    series : SeriesBatch or None
        Series with the types of item ids and timestamps; without one they are text and
        microseconds. Numbers are doubles if they have bases, else floats.
    levels : tuple of float
    layout : {"long", "wide"}
    metadata : mapping of str to str
        Key-value metadata of the file; empty values are left out.
    time_type : pa.DataType, optional
        Type of the timestamps; that of the series by default.
    item_names : tuple of str
        Columns of items in place of ``item_id``, as the settings name them; none by default.
    """
    number = pa.float32() if series is None or series.bases is None else pa.float64()
    moment = series.timestamp_type if series is not None else pa.timestamp("us")
    moment = time = time_type or moment
    if layout == "wide":
        number, time = pa.list_(number), pa.list_(time)
    items = item_fields(series, item_names)
    fields = [
        *items,
        pa.field("timestamp", time),
        pa.field("target_name", pa.dictionary(pa.int32(), pa.string())),
        pa.field("predictions", number),
        *(pa.field(level_name(level), number) for level in levels),
        pa.field("fallback", pa.dictionary(pa.int8(), pa.string())),
        # At the end, where it moves no column of files that have been written without it.
        pa.field(CUTOFF, moment),
    ]
    named = ItemKey(item_names, ()).metadata if item_names else {}
    return pa.schema(fields, metadata={k: v for k, v in {**metadata, **named}.items() if v})


def with_mean(schema: pa.Schema) -> pa.Schema:
    """Return the columns of a predictions file with one of means behind them."""
    return schema.append(pa.field(MEAN, schema.field("predictions").type))


def item_fields(series: SeriesBatch | None, item_names: tuple[str, ...]) -> list[pa.Field]:
    """Return the columns that name items in an output; texts if there are no series."""
    if series is not None:
        return series.item_fields()
    return [pa.field(name, pa.string()) for name in item_names or ("item_id",)]


def row_group_rows(horizon: int, layout: Layout) -> int:
    """Return the rows of a row group, so that it holds about as many numbers in both layouts."""
    if layout == "wide":
        return max(1024, DEFAULT_ROW_GROUP_ROWS // horizon)
    return DEFAULT_ROW_GROUP_ROWS


def level_name(level: float) -> str:
    """Return the column of a quantile level: ``0.1``, ``0.975``."""
    # Ten digits, so that sums such as 0.1 + 0.2 are named 0.3.
    return f"{level:.10g}"


def prediction_batch(forecast: ForecastBatch, schema: pa.Schema, layout: Layout) -> pa.RecordBatch:
    """Return a forecast as rows of a predictions file.

    Parameters
    ----------
    forecast : ForecastBatch
        Forecasts of N series, [N, H] and [N, H, Q].
    schema : pa.Schema
        See `prediction_schema`.
    layout : {"long", "wide"}

    Returns
    -------
    pa.RecordBatch
        N x H rows, or N in the wide layout.

    Raises
    ------
    NumberRangeError
        If forecasts of series with bases are to be written as floats.
    """
    number = schema.field("predictions").type
    number = number.value_type if layout == "wide" else number
    if forecast.median.dtype == np.float64 and pa.types.is_float32(number):
        raise NumberRangeError(
            "the numbers are float, which loses steps of the forecasts",
            hint="write the numbers of the file as doubles",
        )
    time = schema.field("timestamp").type
    time = time.value_type if layout == "wide" else time
    moments = forecast.series.future_arrow(forecast.horizon, time)
    numbers = [forecast.median.ravel()]
    numbers += [forecast.quantiles[:, :, q].ravel() for q in range(len(forecast.levels))]
    if forecast.mean is not None:
        numbers.append(forecast.mean.ravel())
    # Missing numbers are NaN in arrays and null in files.
    values = [to_arrow(column, np.isnan(column)) for column in numbers]
    names = forecast.series.target_names.dictionary_encode()
    flags, cutoffs = _flags(forecast), forecast.series.last_arrow(schema.field(CUTOFF).type)
    items = forecast.series.item_columns()
    if layout == "wide":
        count = len(forecast.series) + 1
        offsets = to_arrow(np.arange(count, dtype=np.int32) * np.int32(forecast.horizon))
        lists = [pa.ListArray.from_arrays(offsets, column) for column in (moments, *values)]
        columns = [*items, lists[0], names, *lists[1:], flags, cutoffs]
    else:
        rows = to_arrow(np.repeat(np.arange(len(forecast.series)), forecast.horizon))
        ids = [column.take(rows) for column in items]
        ends = [flags.take(rows), cutoffs.take(rows)]
        columns = [*ids, moments, names.take(rows), *values, *ends]
    if forecast.mean is not None:
        columns.append(columns.pop(-3))  # behind the cutoff
    cast = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def _flags(forecast: ForecastBatch) -> pa.DictionaryArray:
    """Return the reason of each series as a label, [N]; null for those that the model forecast."""
    codes = to_arrow(forecast.reasons, forecast.reasons == Reason.OK)
    return pa.DictionaryArray.from_arrays(codes, text_column([reason.label for reason in Reason]))


def without_dropped(forecast: ForecastBatch, fallback: str) -> ForecastBatch:
    """Return a forecast; with the fallback ``drop``, without series that the model left out."""
    if fallback != "drop" or not forecast.reasons.any():
        return forecast
    rows = np.flatnonzero(forecast.reasons == Reason.OK)
    return ForecastBatch(
        series=forecast.series.take(rows),
        levels=forecast.levels,
        quantiles=forecast.quantiles[rows],
        median=forecast.median[rows],
        reasons=forecast.reasons[rows],
        unchanged=forecast.unchanged,
        unseen=forecast.unseen,
        replaced=forecast.replaced,
        mean=None if forecast.mean is None else forecast.mean[rows],
    )


def with_names(
    table: pa.Table, names: Literal["own", "nixtla"], model: str | None = None
) -> pa.Table:
    """Return predictions with the names of columns that a setting chooses."""
    return with_nixtla_names(table, model) if names == "nixtla" else table


def with_nixtla_names(table: pa.Table, model: str | None = None) -> pa.Table:
    """Return predictions with the column names of Nixtla's libraries.

    They are ``unique_id``, ``ds``, the name of the model for the point forecast, and for each
    quantile that name with ``-q-10`` and so on. The model is that of the metadata by default.
    """
    if model is None:
        model = (table.schema.metadata or {}).get(b"gigacast.model", b"gigacast").decode()
    names = {"item_id": "unique_id", "timestamp": "ds", "predictions": model}
    return table.rename_columns(
        [
            f"{model}-q-{100 * float(name):.10g}" if name[0].isdigit() else names.get(name, name)
            for name in table.column_names
        ]
    )


def with_own_names(table: pa.Table) -> pa.Table:
    """Return forecasts of Nixtla's libraries with the column names of predictions.

    A point forecast alone is the median. Any other table is returned as it is.

    Raises
    ------
    SchemaError
        If the columns are of several models.
    """
    if "item_id" in table.column_names or not {"unique_id", "ds"} <= {*table.column_names}:
        return table
    levels = {name: match for name in table.column_names if (match := _LEVEL.fullmatch(name))}
    points = [f.name for f in table.schema if pa.types.is_floating(f.type) and f.name not in levels]
    models = sorted({*points, *(match["model"] for match in levels.values())} - {"y"})
    if not models:
        return table
    if len(models) > 1 or models[0] not in table.column_names:
        raise SchemaError(
            f"data: expected the forecasts of one model, found those of {', '.join(models)}",
            hint="give unique_id, ds and the columns of one model",
        )
    names = {"unique_id": "item_id", "ds": "timestamp", models[0]: "predictions"}
    names |= {name: level_name(_level_of(match)) for name, match in levels.items()}
    table = table.rename_columns([names.get(name, name) for name in table.column_names])
    return table if levels else table.append_column(level_name(0.5), table["predictions"])


def _level_of(match: re.Match[str]) -> float:
    """Return the quantile level of a column: ``-q-10``, or ``-lo-80`` and ``-hi-80``."""
    number = float(match["number"]) / 100
    return {"q": number, "lo": (1 - number) / 2, "hi": (1 + number) / 2}[match["kind"]]


def is_wide(schema: pa.Schema) -> bool:
    """Whether predictions are in the wide layout."""
    return bool(pa.types.is_list(schema.field("predictions").type))


def long_table(table: pa.Table) -> pa.Table:
    """Return predictions of either layout in the long layout."""
    if not is_wide(table.schema):
        return table
    rows = pc.list_parent_indices(table["predictions"].combine_chunks())
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        is_list = pa.types.is_list(column.type)
        columns[name] = column.flatten() if is_list else column.take(rows)
    # The metadata says which columns name the items.
    return pa.table(columns).replace_schema_metadata(table.schema.metadata)
