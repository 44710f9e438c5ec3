"""Rows of the forecasts of one partition: of its origins, or as a run left it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.series.item_key import ids_as, item_names, items_of
from gigacast.errors import ConfigError, DataNotFoundError, ObjectNotFoundError
from gigacast.lake.layout import origins_prefix, output_id
from gigacast.lake.plan.origin import CUTOFF, cutoff_text, last_made, list_origins, sort_origins
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

LATEST, ALL = "latest", "all"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STEP = re.compile(r"[0-9]{1,19}")


class OriginReader:
    """Reads the rows of one partition after the other, of one or several of its forecasts.

    Parameters
    ----------
    outputs : Store
    origin : str
        ``latest``: the forecast in the manifest. ``all``: this one and all that are kept. A day, as
        ``2024-01-31``, or a number of a step: the last forecast whose newest cutoff is of that day
        or step.
    items, columns : sequence, optional
        See `gigacast.forecasting.read.read_generation`.
    as_run : bool
        Whether rows of a manifest are those of an earlier run, whose forecasts may have been
        replaced since.

    Raises
    ------
    ConfigError
        If the origin is none.
    """

    def __init__(
        self,
        outputs: Store,
        origin: str,
        *,
        items: Sequence[object] | None = None,
        columns: Sequence[str] | None = None,
        as_run: bool = False,
    ) -> None:
        self._as_run = as_run
        self._outputs = outputs
        self._items = items
        self._columns = columns
        self._origin = checked_origin(origin)

    def read(self, row: Mapping[str, str]) -> pa.Table | None:
        """Return the rows of a partition by its row of the manifest; ``None`` without any.

        Raises
        ------
        PreconditionFailedError, ObjectNotFoundError
            If a forecast was replaced or deleted meanwhile.
        """
        if self._as_run:
            return self._of_run(row)
        # By the ETag of the manifest: a forecast of a later run must not slip into this generation.
        if self._origin == LATEST:
            return self._table(row["key"], row["etag"], self._columns)
        if self._origin == ALL:
            return self._all(row)
        return self._of_day(row)

    def _of_run(self, row: Mapping[str, str]) -> pa.Table:
        """Return the forecast that a run left: the current one, or a copy that is kept."""
        key, etag = row["key"], row["etag"]
        try:
            is_current = self._outputs.head(key).etag == etag
        except ObjectNotFoundError:
            is_current = False
        if is_current:
            return self._table(key, etag, self._columns)
        for origin in list_origins(self._outputs, key):
            if origin.output_id == output_id(etag):
                return self._table(origin.meta.key, origin.meta.etag, self._columns)
        raise DataNotFoundError(
            f"{key}: what this run forecast is no longer kept",
            hint="forecast.keep_origins says how many are; partitions=[...] reads the others",
        )

    def _of_day(self, row: Mapping[str, str]) -> pa.Table | None:
        current = read_table(self._outputs, row["key"], _cutoff_columns, if_match=row["etag"])
        if CUTOFF in current.column_names:
            newest = cutoff_text(pc.max(current[CUTOFF]))
            if newest.startswith(self._origin):
                return self._table(row["key"], row["etag"], self._columns)
        # Few keys: the beginning of their names is the day.
        prefix = origins_prefix(row["key"]) + self._origin
        listed = [entry for page in self._outputs.list(prefix) for entry in page]
        origins = sort_origins(listed)
        meta = origins[0].meta if origins else None
        return self._table(meta.key, meta.etag, self._columns) if meta is not None else None

    def _all(self, row: Mapping[str, str]) -> pa.Table:
        """Return the rows of all forecasts, the earlier first, without those made again."""
        origins = list_origins(self._outputs, row["key"])[::-1]
        # A copy of the current forecast is there for a moment before it is replaced.
        current = output_id(row["etag"])
        files = [(o.meta.key, o.meta.etag) for o in origins if o.output_id != current]
        tables = [self._table(*file, None) for file in (*files, (row["key"], row["etag"]))]
        names = [*item_names(tables[-1].schema), "target_name", CUTOFF]
        remaining = last_made(_with_cutoffs(tables), names)
        rows = concatenated([table.replace_schema_metadata() for table in remaining])
        return rows if self._columns is None else rows.select(list(self._columns))

    def _table(self, key: str, etag: str, columns: Sequence[str] | None) -> pa.Table:
        chosen = _with_items(columns, self._items)
        table = read_table(self._outputs, key, columns=chosen, if_match=etag)
        return _of_items(table, self._items, columns)


def checked_origin(origin: str) -> str:
    """Return an origin as it stands in keys, a word as it is; `ConfigError` for other texts."""
    if origin in {LATEST, ALL} or _DAY.fullmatch(origin):
        return origin
    if _STEP.fullmatch(origin):
        return f"{int(origin):020d}"
    raise ConfigError(
        f"origin: {origin!r} is none", hint=f"use {LATEST}, {ALL}, or a day as 2024-01-31"
    )


def _cutoff_columns(schema: pa.Schema) -> list[str]:
    # Forecasts of earlier releases have no cutoffs.
    return [CUTOFF] if CUTOFF in schema.names else []


def _with_cutoffs(tables: list[pa.Table]) -> list[pa.Table]:
    """Return tables with a column of cutoffs, null in those of earlier releases."""
    kinds = [t.schema.field(CUTOFF).type for t in tables if CUTOFF in t.column_names]
    kind = kinds[-1] if kinds else pa.timestamp("us")
    return [
        t if CUTOFF in t.column_names else t.append_column(CUTOFF, pa.nulls(len(t), kind))
        for t in tables
    ]


def concatenated(tables: list[pa.Table]) -> pa.Table:
    """Return the rows of all tables. Times of several zones become UTC, the same instants."""
    shared = [n for n in _times(tables[0]) if all(n in t.column_names for t in tables)]
    mixed = [n for n in shared if len({t.field(n).type for t in tables}) > 1]
    tables = [_in_utc(table, mixed) for table in tables] if mixed else tables
    # Ids have the types of their inputs, which may differ.
    return pa.concat_tables(tables, promote_options="permissive")


def _times(table: pa.Table) -> list[str]:
    return [f.name for f in table.schema if pa.types.is_timestamp(_element(f.type))]


def _element(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def _in_utc(table: pa.Table, names: Iterable[str]) -> pa.Table:
    schema = table.schema
    for name in names:
        place, kind = schema.get_field_index(name), schema.field(name).type
        # Times without a zone are no instants: they stay, and are refused beside those with one.
        if getattr(_element(kind), "tz", None) is not None:
            zoned = pa.timestamp(_element(kind).unit, "UTC")
            zoned = pa.list_(zoned) if pa.types.is_list(kind) else zoned
            schema = schema.set(place, schema.field(place).with_type(zoned))
    return table.cast(schema)


def _with_items(
    columns: Sequence[str] | None, items: Sequence[object] | None
) -> Sequence[str] | Callable[[pa.Schema], list[str]] | None:
    if columns is None or items is None:
        return columns
    # Rows are chosen by the columns of items. Which these are, each file says.
    return lambda schema: list(dict.fromkeys([*columns, *item_names(schema)]))


def _of_items(
    table: pa.Table, items: Sequence[object] | None, columns: Sequence[str] | None
) -> pa.Table:
    if items is None:
        return table
    ids = items_of(table)
    try:
        values = ids_as(items, table.schema)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise ConfigError(
            f"items: these are no item ids of the type {ids.type}: {error}",
            hint="give ids of the type that read_forecasts returns",
        ) from error
    rows = table.filter(pc.is_in(ids, value_set=values))
    return rows if columns is None else rows.select(list(columns))
