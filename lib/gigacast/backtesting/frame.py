"""Backtests and evaluations of tables in memory: the code of the jobs without a bucket."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from gigacast.backtesting.evaluation.figures import PartSums
from gigacast.backtesting.evaluation.join import (
    Forecasts,
    match,
    read_forecasts,
    select_actuals,
)
from gigacast.backtesting.evaluation.result import Evaluation, FigureKey
from gigacast.backtesting.evaluation.scale import MOST_HISTORY, scales_before
from gigacast.backtesting.job import BacktestJob
from gigacast.backtesting.result import BacktestResult
from gigacast.backtesting.run import run_backtest
from gigacast.core.array import DoubleArray, FloatArray
from gigacast.core.series.item_key import ITEM_COLUMNS, key_columns
from gigacast.errors import ConfigError, GigacastError, SchemaError
from gigacast.forecasters.metric import figures_of
from gigacast.forecasting.prediction import long_table, with_own_names
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents
from gigacast.runtime.choice import InlineExecutor
from gigacast.series.columns import recognise
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource
from gigacast.storage.memory import MemoryStore, forget_memory
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import StoreAddress

_KEY = "year=1970/month=01/series"
"""Key, without ending, of rows in memory; ``series`` is the id of rows without ids."""
_NAME = "forecasts"
"""Name of forecasts of which only the table is known."""
_SEGMENTS = ("target", "frequency", "length", "window")
"""Segments that say something about a table, besides columns."""


def backtest_table(
    table: pa.Table, job: BacktestJob, events: RunEvents | None = None
) -> BacktestResult:
    """Backtest the series of a table.

    Parameters
    ----------
    table : pa.Table
        Table in any layout that the reader of partitions accepts.
    job : BacktestJob
        Its addresses are not used.
    events : RunEvents, optional
        Callbacks for the progress of each model's run.

    Raises
    ------
    SchemaError, ConfigError, ModelError, DataNotFoundError
    """
    column = _segment_column(job)
    layout = recognise(table.schema, job.forecast.method.columns, "table")
    used = dict.fromkeys((*layout.id_names, *layout.columns))
    own = [name for name in used if name in table.column_names]  # without the key of several ids
    more = [column] if column in table.column_names and column not in own else []
    content = table_bytes(_storable(table.select([*own, *more])))
    try:
        return _backtest_object("parquet", content, job, events, "table")
    except SchemaError:
        # Other columns may tell conflicting rows apart: the reader of the whole table names them.
        for _ in read_series([SeriesSource.of_table(table)], job.forecast.method.reading):
            pass
        raise


def backtest_file(
    source: SeriesSource, job: BacktestJob, events: RunEvents | None = None
) -> BacktestResult:
    """Backtest the series of a file.

    Parameters
    ----------
    source : SeriesSource
        File, which is read into memory.
    job : BacktestJob
        Its addresses are not used.
    events : RunEvents, optional
        Callbacks for the progress of each model's run.

    Raises
    ------
    DataError, ConfigError, ModelError
    """
    _segment_column(job)
    with source.open() as file:
        content = file.read()
    # The leaderboard is in a memory that is gone.
    result = _backtest_object(source.format, content, job, events, source.name)
    return replace(result, location="")


def _segment_column(job: BacktestJob) -> str:
    """Return the column of a job's segment; the segment itself if it is none."""
    column = job.segment.removeprefix("column:")
    if job.segment not in {"partition", *_SEGMENTS} and column == job.segment:
        raise ConfigError(
            f"segment: a table has no {job.segment!r}",
            hint=f"use one of {', '.join(_SEGMENTS)}, or column:NAME",
        )
    return column


def _backtest_object(
    extension: str, content: bytes, job: BacktestJob, events: RunEvents | None, name: str
) -> BacktestResult:
    key = f"{_KEY}.{extension}"
    with _in_memory(key, content) as address:
        forecast = replace(job.forecast, bucket=address, inputs=address, outputs=address)
        try:
            result = run_backtest(
                replace(job, forecast=forecast), events=events, executor=InlineExecutor()
            )
            # What it has stored is in a memory that is gone.
            calibrations = tuple(replace(one, key="") for one in result.calibrations)
            segments = result.leaderboard.segments.items()
            own = {(name if label == _KEY else label): figures for label, figures in segments}
            leaderboard = replace(result.leaderboard, segments=own)
            return replace(result, calibrations=calibrations, leaderboard=leaderboard)
        except GigacastError as error:
            # Nobody knows the key in memory.
            error.message = error.message.replace(key, name)
            raise


@contextmanager
def _in_memory(key: str, content: bytes) -> Iterator[StoreAddress]:
    """Put an object into a memory of its own, and forget that afterwards."""
    name = f"backtest-{uuid.uuid4().hex}"
    store = MemoryStore(name)
    store.put(key, content)
    try:
        yield store.address
    finally:
        forget_memory(name)


def _storable(table: pa.Table) -> pa.Table:
    """Return a table without dictionaries, of which Parquet holds only those of texts."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(place).combine_chunks()
            chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
            plain = pa.chunked_array([c.dictionary_decode() for c in chunks], field.type.value_type)
            table = table.set_column(place, field.with_type(plain.type), plain)
    return table


def evaluate_table(forecasts: pa.Table, actuals: pa.Table, job: ForecastJob) -> Evaluation:
    """Compare a table of forecasts with a table of actuals.

    Parameters
    ----------
    forecasts : pa.Table
        Forecasts as `gigacast.forecast` returns them, in either layout and any order.
    actuals : pa.Table
        Table in any layout that the reader of partitions accepts.
    job : ForecastJob
        Job whose method says how actuals are read.

    Raises
    ------
    SchemaError
        If the forecasts lack a column, or their series differ in length.
    """
    forecasts = _with_targets(with_own_names(forecasts), actuals, job)
    items = key_columns(forecasts.schema) or job.method.columns.items
    rows, horizon = _in_order(forecasts, items)
    table = read_forecasts(rows, horizon)
    reading = _read_options(job, items)
    source = [SeriesSource.of_table(actuals, name="actuals")]
    runs = read_series(source, reading).rows()
    parts = (((r.item_ids, r.offsets, r.times, r.values), targets) for r, targets in runs)
    try:
        selected = select_actuals(parts, table, job.method.duplicates)
        # This reads all series, and refuses actuals in which too many rows conflict.
        reader = read_series(source, reading)
        scales = scales_before(reader, table)
        result = _evaluation(table, match(table, selected.table), scales, selected.conflicts)
    except pa.ArrowException as error:
        raise SchemaError(
            f"actuals: their item ids do not fit those of the forecasts: {error}",
            hint="give both ids of the same type",
        ) from error
    result.dropped = reader.stats.dropped
    return result


def _with_targets(forecasts: pa.Table, actuals: pa.Table, job: ForecastJob) -> pa.Table:
    """Return forecasts with the name of their target, which is that of the actuals if not given."""
    if "target_name" in forecasts.column_names or "predictions" not in forecasts.column_names:
        return forecasts
    targets = recognise(actuals.schema, job.method.columns, "actuals").targets
    if len(targets) > 1:
        raise SchemaError(
            "data: the forecasts have no column 'target_name', and the actuals several targets",
            hint="give the target of each row, or name one by targets",
        )
    return forecasts.append_column("target_name", pa.repeat(targets[0], forecasts.num_rows))


def _in_order(forecasts: pa.Table, items: tuple[str, ...]) -> tuple[pa.Table, int]:
    """Return forecasts in the long layout, in the order of series and time, and their horizon.

    ``items`` are their columns of items, if these are several.
    """
    ids = items or ("item_id",)
    names = (*ids, "timestamp", "target_name", "predictions")
    missing = [name for name in names if name not in forecasts.column_names]
    if missing:
        raise SchemaError(
            f"data: the forecasts have no column {missing[0]!r}",
            hint="give what gigacast.forecast returns, with its column names",
        )
    rows = long_table(_storable(forecasts).combine_chunks())
    if items:
        rows = rows.replace_schema_metadata({ITEM_COLUMNS: json.dumps(items)})
    counts = rows.group_by([*ids, "target_name"]).aggregate([([], "count_all")])
    lengths = set(counts["count_all"].to_pylist())
    if len(lengths) != 1:
        raise SchemaError(
            f"data: the series have {', '.join(map(str, sorted(lengths))) or 'no'} forecast rows",
            hint="give all rows that gigacast.forecast has returned, each series once",
        )
    keys = [(name, "ascending") for name in (*ids, "target_name", "timestamp")]
    return rows.sort_by(keys), lengths.pop()


def _read_options(job: ForecastJob, items: tuple[str, ...]) -> ReadOptions:
    reading = job.method.reading
    item_id = None if items else reading.columns.item_id
    return replace(
        reading,
        columns=replace(reading.columns, items=items, item_id=item_id),
        context_length=MOST_HISTORY,
        item_id="series",
        memory_limit_bytes=job.resources.memory_limit_bytes,
        precise=True,
    )


def _evaluation(
    forecasts: Forecasts, actual: FloatArray, scales: DoubleArray, conflicts: int
) -> Evaluation:
    part = PartSums.of(forecasts, actual, scales)
    evaluation = Evaluation(steps=part.steps, matched=part.matched, conflicts=conflicts)
    evaluation.levels[_NAME] = part.levels
    evaluation.figures["version"] = {FigureKey(_NAME, "all"): figures_of(part.all_steps)[0]}
    evaluation.figures["step"] = {
        FigureKey(_NAME, str(step)): figures_of(sums)[0]
        for step, sums in enumerate(part.by_step, start=1)
    }
    return evaluation
