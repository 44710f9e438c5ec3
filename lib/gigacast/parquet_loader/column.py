"""Which columns are loaded, and their times in one form.

Columns are recognised, and times read, by the forecasting job's own rules (`gigacast.series`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from gigacast.core.column import to_arrow
from gigacast.core.series.batch import NO_TIME
from gigacast.errors import SchemaError
from gigacast.parquet_loader.dataset import LoadColumns
from gigacast.series.columns import recognise
from gigacast.series.source import ColumnNames, TimestampUnit
from gigacast.series.timestamp import Clock, clock_of, is_time_type, needs_range, number_range
from gigacast.storage.parquet.scan import refuse_twice


@dataclass(frozen=True, slots=True)
class WantedColumns:
    """What is asked for by name; the rest is recognised.

    Parameters
    ----------
    names : ColumnNames
    features : tuple of str
        Loaded beside the targets.
    timestamps : tuple of str
        Those of the features that hold times.
    unit : str, optional
        Of times that are numbers.
    """

    names: ColumnNames = field(default_factory=ColumnNames)
    features: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()
    unit: TimestampUnit | None = None

    def with_chosen(
        self, targets: Sequence[str] | None, features: Sequence[str] | None
    ) -> "WantedColumns":
        """Return the same with other targets and features, where some are given."""
        names = self.names if targets is None else replace(self.names, targets=_names(targets))
        return replace(
            self, names=names, features=self.features if features is None else _names(features)
        )


def _names(given: Sequence[str] | Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    if isinstance(given, Mapping):  # lists by group, as the settings have them
        return tuple(dict.fromkeys(name for names in given.values() for name in _names(names)))
    return (given,) if isinstance(given, str) else tuple(given)


def settle_columns(schema: pa.Schema, wanted: WantedColumns, where: str) -> LoadColumns:
    """Decide which columns of a file are loaded.

    Raises
    ------
    SchemaError
        When one is missing, ambiguous or of an unusable type.
    """
    refuse_twice(schema, schema.names, where)
    layout = recognise(schema, wanted.names, where)
    if layout.kind == "list":
        raise SchemaError(
            f"{where}: its columns hold a list for each series, and no row for each step",
            hint="gigacast.forecast and gigacast.finetune read such files",
        )
    features = dict.fromkeys((*wanted.features, *wanted.timestamps))
    missing = [name for name in features if name not in schema.names]
    if missing:
        raise SchemaError(
            f"{where}: there is no column {', '.join(map(repr, missing))}",
            hint=f"feature_columns; it has {', '.join(schema.names[:40])}",
        )
    for name in wanted.timestamps:
        if not is_time_type(schema.field(name).type):
            raise SchemaError(f"{where}: {name!r} holds no times", hint="timestamp_columns")
    return LoadColumns(
        layout.timestamp, layout.item_id, layout.targets, tuple(features), wanted.timestamps
    )


def check_columns(schema: pa.Schema, columns: LoadColumns, where: str) -> None:
    """Refuse a file that does not fit: only features may be missing, in files older than they.

    Raises
    ------
    SchemaError
        When a target or the time is missing, comes twice, or a target holds no numbers.
    """
    needed = [n for n in (columns.item_id, columns.timestamp, *columns.targets) if n]
    missing = [name for name in needed if name not in schema.names]
    if missing:
        raise SchemaError(
            f"{where}: there is no column {', '.join(map(repr, missing))}, which other files have",
            hint="ask for other target_columns, or leave that month out",
        )
    refuse_twice(schema, columns.all, where)
    for name in columns.targets:
        kind = schema.field(name).type
        if not _holds_numbers(kind):
            raise SchemaError(
                f"{where}: the target {name!r} is of type {kind} and holds no numbers",
                hint="ask for other target_columns, or write the file again",
            )


def _holds_numbers(kind: pa.DataType) -> bool:
    known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(is_kind(kind) for is_kind in known)


class Normaliser:
    """Gives all files' times one form: timestamps of microseconds, or plain steps.

    Numbers are told by the first file that has any, so that all files are read alike.

    Parameters
    ----------
    columns : LoadColumns
    unit : str, optional
    """

    def __init__(self, columns: LoadColumns, unit: TimestampUnit | None) -> None:
        self._columns = columns
        self._unit = unit
        self._units: dict[str, str] = {}

    def settle(self, table: pa.Table) -> None:
        """Look at the first rows: what their numbers are, those of all others are too."""
        for name in self._times:
            kind = table.schema.field(name).type
            if not needs_range(kind) or name in self._units:
                continue
            bounds = number_range(table.column(name).combine_chunks())
            if bounds is not None:
                clock = clock_of(kind, name, self._unit, bounds)
                self._units[name] = str(clock.unit)

    @property
    def _times(self) -> tuple[str, ...]:
        return (self._columns.timestamp, *self._columns.timestamps)

    def apply(self, table: pa.Table, where: str) -> tuple[pa.Table, int]:
        """Return rows with their times normalised, and how many were dropped for want of one.

        Raises
        ------
        SchemaError
            When there are rows and none has a readable time.
        """
        for name in self._times:
            if name not in table.column_names:  # a feature that this file does not have
                continue
            place = table.column_names.index(name)
            column = self._read(table.column(name), name, where)
            table = table.set_column(place, name, column)
        times = table.column(self._columns.timestamp)
        if not times.null_count:
            return table, 0
        if times.null_count == len(times):
            raise SchemaError(
                f"{where}: no row of {len(times)} has a readable time in "
                f"{self._columns.timestamp!r}",
                hint="write dates as 2024-01-31, or name the column: schema.datetime_column",
            )
        return table.filter(times.is_valid()), times.null_count

    def _read(self, column: pa.ChunkedArray, name: str, where: str) -> pa.Array:
        column = column.combine_chunks()
        unit = self._units.get(name)
        kind = column.type
        if needs_range(kind) and unit is not None:
            clock = Clock(pa.int64(), unit)
        else:
            clock = clock_of(kind, where, self._unit, None)
        times = clock.read(column)
        found = to_arrow(times, times == NO_TIME)
        if clock.counts_steps:
            return found
        return found.view(pa.timestamp("us", clock.zone))
