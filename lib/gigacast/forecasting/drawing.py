"""Series of a file or table with their forecasts, to be drawn."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from gigacast.errors import DataNotFoundError, SchemaError
from gigacast.forecasting.prediction import long_table, with_own_names
from gigacast.forecasting.preview import (
    MAX_ACTUAL_STEPS,
    Histories,
    Look,
    choose_series,
    histories_of,
    look_of,
)
from gigacast.forecasting.stored.recipe import recipe_of
from gigacast.job.forecast_job import Method
from gigacast.series.reader import read_series
from gigacast.series.source import SeriesSource


def looks_of(
    source: SeriesSource,
    predictions: pa.Table,
    method: Method,
    *,
    items: Sequence[str] | None = None,
    count: int = 1,
    steps: int = 96,
) -> list[Look]:
    """Return a few series of a source beside their forecasts.

    Rows at the times of the forecast and later are its actual values.

    Parameters
    ----------
    source : SeriesSource
        History of the series, and what came after it.
    predictions : pa.Table
        Forecasts in any layout, also with the names of Nixtla's libraries.
    method : Method
        How the source is read.
    items : sequence of str, optional
        Item ids as text; the first ``count`` series by default.
    count : int
    steps : int
        Maximum number of steps before the forecast.

    Raises
    ------
    SchemaError
        If the predictions are no forecasts.
    DataNotFoundError
        If an item has no forecast, or a series no times.
    """
    table = long_table(checked_predictions(predictions))
    levels = levels_of(table)
    pairs = choose_series(table, items, count)
    histories: Histories = {}
    reading = replace(method.reading, context_length=MAX_ACTUAL_STEPS, item_id="series")
    for batch in read_series([source], reading):
        histories |= histories_of(batch, {item for item, _ in pairs})
    return [_look(table, pair, levels, histories, steps) for pair in pairs]


def _look(
    table: pa.Table,
    pair: tuple[str, str],
    levels: tuple[float, ...],
    histories: Histories,
    steps: int,
) -> Look:
    bare = look_of(table, pair, levels, {}, {})
    if pair not in histories:
        raise DataNotFoundError(
            f"{pair[0]}, {pair[1]}: the data has no such series, or it has no frequency",
            hint="give the data that was forecast",
        )
    times, values = histories[pair]
    past = times.astype(bare.times.dtype) < bare.times[0]
    place = int(np.argmin(past)) if not past.all() else len(past)
    start = max(0, place - steps)
    contexts = {pair: (times[start:place], values[start:place])}
    futures = {pair: (times[place:], values[place:])} if place < len(times) else {}
    return look_of(table, pair, levels, contexts, futures)


def checked_predictions(table: pa.Table) -> pa.Table:
    """Return forecasts with the column names of this program.

    Raises
    ------
    SchemaError
        If they are none.
    """
    table = with_own_names(table)
    missing = [n for n in ("timestamp", "predictions") if n not in table.column_names]
    if missing:
        raise SchemaError(
            f"predictions: there is no column {missing[0]!r}",
            hint="give forecasts as gigacast.forecast returns them",
        )
    rows = table.num_rows
    # Frames of other libraries say nothing of targets and fallbacks.
    for name, value in (("target_name", "target"), ("fallback", None)):
        if name not in table.column_names:
            column = pa.array([value] * 1, pa.string()).take(pa.array(np.zeros(rows, np.int64)))
            table = table.append_column(name, column)
    return table


def levels_of(table: pa.Table) -> tuple[float, ...]:
    """Return the quantile levels of the columns of forecasts, ascending."""
    levels = []
    for name in table.column_names:
        try:
            level = float(name)
        except ValueError:
            continue
        if 0 < level < 1:
            levels.append(level)
    return tuple(sorted(levels))


def method_for(predictions: pa.Table, method: Method, *, is_explicit: bool) -> Method:
    """Return how the data of forecasts is read: as their metadata says, without flags about it.

    Raises
    ------
    CorruptedFileError
    """
    metadata = predictions.schema.metadata or {}
    spec = metadata.get(b"gigacast.spec", b"").decode(errors="replace")
    recipe = None if is_explicit else recipe_of(metadata, spec, "predictions")
    return method if recipe is None else recipe.method
