"""The columns to load, and their times in one form.

Columns are recognised and times are read by the rules of the forecasting job (`gigacast.series`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from gigacast.core.column import to_arrow
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.number import check_steps, number_range
from gigacast.errors import SchemaError
from gigacast.parquet_loader.dataset import LoadColumns
from gigacast.series.columns import recognise
from gigacast.series.identity import id_type, read_ids
from gigacast.series.source import ColumnNames, TimestampUnit
from gigacast.series.timestamp import Clock, OffsetGuard, clock_of, is_time_type, needs_range
from gigacast.series.value import is_value_type
from gigacast.storage.parquet.scan import refuse_twice


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Columns to load, as named by the settings or the caller. Others are recognised.

    Parameters
    ----------
    names : ColumnNames
        Item id, timestamp and targets.
    features : tuple of str
        Columns to load in addition to the targets.
    timestamps : tuple of str
        Features that hold times.
    unit : str, optional
        Unit of times stored as numbers; inferred by default.
    """

    names: ColumnNames = field(default_factory=ColumnNames)
    features: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()
    unit: TimestampUnit | None = None

    def with_chosen(
        self, targets: Sequence[str] | None, features: Sequence[str] | None
    ) -> "ColumnChoice":
        """Return the choice with other targets and features, where given."""
        names = self.names if targets is None else replace(self.names, targets=_names(targets))
        return replace(
            self, names=names, features=self.features if features is None else _names(features)
        )


def _names(columns: Sequence[str] | Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    if isinstance(columns, Mapping):  # lists by group, as in the settings
        return tuple(dict.fromkeys(name for names in columns.values() for name in _names(names)))
    return (columns,) if isinstance(columns, str) else tuple(columns)


def settle_columns(schema: pa.Schema, choice: ColumnChoice, source: str) -> LoadColumns:
    """Return the columns of a file to load.

    Raises
    ------
    SchemaError
        If a column is missing, ambiguous or of an unusable type.
    """
    # Columns are chosen by name: with a name that comes twice any choice would be arbitrary.
    refuse_twice(schema, schema.names, source)
    layout = recognise(schema, choice.names, source)
    # A row per series has no time of each step, by which the loader sorts and splits.
    if layout.kind == "list":
        raise SchemaError(
            f"{source}: its columns hold a list for each series instead of a row for each step",
            hint="gigacast.forecast and gigacast.finetune read such files",
        )
    features = dict.fromkeys((*choice.features, *choice.timestamps))
    missing = [name for name in features if name not in schema.names]
    if missing:
        raise SchemaError(
            f"{source}: there is no column {', '.join(map(repr, missing))}",
            hint=f"correct feature_columns; the file has {', '.join(schema.names[:40])}",
        )
    for name in choice.timestamps:
        if not is_time_type(schema.field(name).type):
            raise SchemaError(
                f"{source}: {name!r} holds no times", hint="correct timestamp_columns"
            )
    return LoadColumns(
        layout.timestamp,
        None if layout.items else layout.item_id,
        layout.targets,
        tuple(features),
        choice.timestamps,
        layout.items,
    )


def check_columns(schema: pa.Schema, columns: LoadColumns, source: str) -> None:
    """Check that a file has the columns to load. Only features may be missing.

    A feature is often younger than the first files, which then have no column for it.

    Raises
    ------
    SchemaError
        If a target or the time is missing or comes twice, or a target holds no numbers.
    """
    required = [*columns.ids, columns.timestamp, *columns.targets]
    missing = [name for name in required if name not in schema.names]
    if missing:
        raise SchemaError(
            f"{source}: there is no column {', '.join(map(repr, missing))}, which other files have",
            hint="ask for other target_columns, or leave that month out",
        )
    refuse_twice(schema, columns.all, source)
    for name in columns.targets:
        kind = schema.field(name).type
        stored = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not is_value_type(kind) or pa.types.is_boolean(stored):
            raise SchemaError(
                f"{source}: the target {name!r} is of type {kind} and holds no numbers",
                hint="ask for other target_columns, or write the file again",
            )


def loaded_schema(schema: pa.Schema, columns: LoadColumns) -> pa.Schema:
    """Return a schema with the types in which ids and targets are loaded.

    Ids have the type that forecasts give them. Targets are numbers without a dictionary.
    """
    return pa.schema([entry.with_type(_loaded_type(entry, columns)) for entry in schema])


def _loaded_type(entry: pa.Field, columns: LoadColumns) -> pa.DataType:
    kind = entry.type
    # Arrow sorts neither dictionaries nor extension types, nor do they agree from file to file.
    if entry.name in columns.ids:
        return id_type(kind)
    if entry.name not in columns.targets:
        return kind
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _with_loaded_types(table: pa.Table, columns: LoadColumns, source: str) -> pa.Table:
    schema = loaded_schema(table.schema, columns)
    for place, entry in enumerate(schema):
        column = table.column(place)
        if column.type == entry.type:
            continue
        if entry.name in columns.ids:
            column = read_ids(column.combine_chunks(), entry.type, source)
        elif pa.types.is_dictionary(column.type):
            column = column.combine_chunks().dictionary_decode().cast(entry.type)
        else:
            column = column.cast(entry.type)
        table = table.set_column(place, entry, column)
    return table


class Normaliser:
    """Converts the times of all files to one form: timestamps in microseconds, or step numbers.

    The unit of times stored as numbers is inferred from the first file that has any, and used for
    all files: the numbers of a single short file could fit several units.

    Parameters
    ----------
    columns : LoadColumns
    unit : str, optional
    """

    def __init__(self, columns: LoadColumns, unit: TimestampUnit | None) -> None:
        self._columns = columns
        self._unit = unit
        self._units: dict[str, str] = {}
        self._offsets: dict[str, OffsetGuard] = {}

    def settle(self, table: pa.Table) -> None:
        """Infer the units of times stored as numbers from these rows, unless they are known."""
        for name in self._times:
            if name not in table.column_names:  # a feature that this file lacks
                continue
            kind = table.schema.field(name).type
            if not needs_range(kind) or name in self._units:  # timestamps, texts, settled columns
                continue
            bounds = number_range(table.column(name).combine_chunks())
            if bounds is not None:
                clock = clock_of(kind, name, self._unit, bounds)
                if clock.counts_steps and self._unit is None:
                    check_steps(bounds, name, name)
                self._units[name] = str(clock.unit)

    @property
    def _times(self) -> tuple[str, ...]:
        return (self._columns.timestamp, *self._columns.timestamps)

    def apply(self, table: pa.Table, source: str) -> tuple[pa.Table, int]:
        """Return rows with normalised times, and the number of rows dropped for lack of a time.

        Raises
        ------
        SchemaError
            If there are rows and none has a readable time, or none an item id.
        """
        table = _with_loaded_types(table, self._columns, source)
        # Of several columns of items each must say something in a row that has an item.
        for name in table.column_names:
            if name in self._columns.ids and 0 < len(table) == table.column(name).null_count:
                raise SchemaError(
                    f"{source}: no row has an item id: column {name!r} is empty",
                    hint="name the column of item ids: schema.item_id_column",
                )
        table = self.with_times(table, source)
        times = table.column(self._columns.timestamp)
        if not times.null_count:
            return table, 0
        if times.null_count == len(times):
            raise SchemaError(
                f"{source}: no row of {len(times)} has a readable time in "
                f"{self._columns.timestamp!r}",
                hint="write dates as 2024-01-31, or name the column: schema.datetime_column",
            )
        return table.filter(times.is_valid()), times.null_count

    def with_times(self, table: pa.Table, source: str) -> pa.Table:
        """Return rows with normalised times; those that cannot be read are missing."""
        for name in self._times:
            if name not in table.column_names:  # a feature that this file lacks
                continue
            place = table.column_names.index(name)
            table = table.set_column(place, name, self._read(table.column(name), name, source))
        return table

    def _read(self, column: pa.ChunkedArray, name: str, source: str) -> pa.Array:
        column = column.combine_chunks()
        unit = self._units.get(name)
        kind = column.type
        if needs_range(kind) and unit is not None:
            clock = Clock(pa.int64(), unit)
        else:
            clock = clock_of(kind, source, self._unit, None)
        self._offsets.setdefault(name, OffsetGuard()).check(column, source)
        times = clock.read(column, source)
        numbers = to_arrow(times, times == NO_TIME)
        if clock.counts_steps:
            return numbers
        return numbers.view(pa.timestamp("us", clock.zone))
