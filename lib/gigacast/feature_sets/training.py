"""The end of the training part, in the unit of the rows' times."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.time.zone import from_wall, zone_of
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.source import Rows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def training_end(rows: Rows, time_column: str, recipe: Recipe) -> int:
    """Return the last time of a recipe's training part, in the unit of the rows' times.

    For a share, the times of all rows are in memory, 8 bytes each.

    Raises
    ------
    ConfigError
        If the recipe names a moment and times are steps, or there are no rows.
    """
    training = recipe.training
    assert training is not None  # noqa: S101 - a recipe that learns has one
    if training.until is not None:
        return _moment(rows.schema.field(time_column).type, time_column, training.until)
    return _moment_of_share(rows, time_column, training.share or 1.0)


def _moment(kind: pa.DataType, column: str, text: str) -> int:
    if pa.types.is_date(kind):
        kind = pa.timestamp("us")
    if not pa.types.is_timestamp(kind):
        raise ConfigError(f"training.until: {column!r} counts steps", hint="give training.share")
    moment = datetime.fromisoformat(text)
    zone = zone_of(kind) if moment.tzinfo is None else None  # a moment's own zone counts
    # A text without a zone is wall time in the zone of the column.
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH
    micros = from_wall(np.array([since // timedelta(microseconds=1)]), zone)
    value = to_arrow(micros).cast(pa.timestamp("us"))
    number: int = value.cast(pa.timestamp(kind.unit), safe=False).cast(pa.int64())[0].as_py()
    return number


def _moment_of_share(rows: Rows, column: str, share: float) -> int:
    parts: list[IntArray] = [
        to_numpy(_as_numbers(batch.column(0))) for batch in rows.read([column])
    ]
    if not parts:
        raise ConfigError(f"{rows.where} has no rows to train on")
    # The share is of rows over all items, so that no item's future is in the training part.
    times = np.sort(np.concatenate(parts))
    return int(times[max(0, min(len(times), round(len(times) * share)) - 1)])


def _as_numbers(column: pa.Array) -> pa.Array:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.cast(pa.int64()).drop_null()


def moment_text(kind: pa.DataType, moment: int) -> str:
    """Return a moment, in the unit of a type of times, as text in ISO 8601."""
    if pa.types.is_integer(kind):
        return str(moment)
    kind = pa.timestamp("us") if pa.types.is_date(kind) else kind
    value = pa.array([moment], pa.int64()).cast(kind).cast(pa.timestamp("us", kind.tz))
    return str(value[0].as_py().isoformat())
