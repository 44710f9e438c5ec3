"""Reading of forecasts: a consistent generation, through its manifest."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.partition.name import month_of_folder
from gigacast.core.series.item_key import ids_as, item_names, items_of
from gigacast.core.time.month import Month, MonthFilter
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
)
from gigacast.lake.layout import (
    FORECASTS,
    manifest_key,
    origins_prefix,
    outdated_key,
    output_id,
)
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.plan.origin import CUTOFF, cutoff_text, last_made, list_origins, sort_origins
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store, StoreAddress

LATEST, ALL = "latest", "all"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STEP = re.compile(r"[0-9]{1,19}")
READERS = 8
"""Files read in parallel."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A spec with a manifest: the consistent set of forecasts of the last finished run."""

    model: str
    version: str
    spec: str
    modified_ns: int

    @property
    def key(self) -> str:
        """Key of the manifest."""
        return manifest_key(self.model, self.version, self.spec)


def open_forecasts(address: StoreAddress) -> Store:
    """Open the place of forecasts.

    Raises
    ------
    StorageError
        If it cannot be reached: a misspelt bucket must not be reported as one without forecasts.
    """
    outputs = open_store(address)
    outputs.check()
    return outputs


def find_generations(outputs: Store) -> list[Generation]:
    """Return all specs with a manifest, the latest first, from a few small listings."""
    generations = []
    for spec_folder in _folders(outputs, FORECASTS, depth=3):
        model, version, spec = spec_folder.removeprefix(FORECASTS).strip("/").split("/")
        try:
            meta = outputs.head(manifest_key(model, version, spec))
        # No run with this spec has ended yet.
        except ObjectNotFoundError:
            continue
        generations.append(Generation(model, version, spec, meta.modified_ns))
    return sorted(generations, key=lambda g: (-g.modified_ns, g.key))


def _folders(outputs: Store, prefix: str, depth: int) -> Iterator[str]:
    if depth == 0:
        yield prefix
        return
    for folder in outputs.list_folder(prefix).folders:
        yield from _folders(outputs, folder, depth - 1)


def choose_generation(
    outputs: Store, *, model: str | None = None, version: str | None = None, spec: str | None = None
) -> Generation:
    """Return the latest generation of a model, version and spec; each is optional.

    Raises
    ------
    DataNotFoundError
        When no generation matches; the message names those that exist.
    """
    generations = find_generations(outputs)
    names = {"model": model, "version": version, "spec": spec}
    for is_named in (_has_values, _begins_with_spec):
        for generation in generations:
            if is_named(generation, names):
                return generation
    request = ", ".join(f"{name}={value}" for name, value in names.items() if value)
    existing = ", ".join(f"{g.model}/{g.version}/{g.spec}" for g in generations[:5]) or "none"
    raise DataNotFoundError(
        f"{outputs.address.url}: no finished forecasts{f' with {request}' if request else ''}"
        f"; there are: {existing}",
        hint="a run writes its manifest when it ends",
    )


def _has_values(generation: Generation, names: Mapping[str, str | None]) -> bool:
    return all(value in (None, getattr(generation, name)) for name, value in names.items())


def _begins_with_spec(generation: Generation, names: Mapping[str, str | None]) -> bool:
    spec = names["spec"]
    return bool(spec) and (
        is_spec(generation, str(spec)) and _has_values(generation, {**names, "spec": None})
    )


def is_spec(generation: Generation, start: str) -> bool:
    """Return whether the spec's id, or the digest at its end, begins with a text."""
    return generation.spec.startswith(start) or generation.spec.rpartition("-")[2].startswith(start)


def read_generation(  # noqa: PLR0913 - keywords, each a part of what is read
    outputs: Store,
    generation: Generation,
    *,
    months: MonthFilter | None = None,
    partitions: Sequence[str] | None = None,
    items: Sequence[object] | None = None,
    columns: Sequence[str] | None = None,
    origin: str = LATEST,
) -> pa.Table:
    """Return the predictions of a generation.

    Parameters
    ----------
    outputs : Store
    generation : Generation
    months : MonthFilter, optional
        Months to read; all by default.
    partitions : sequence of str, optional
        Names as in the manifest, ``2014/03/EURUSD_1min_h15``; all by default.
    items : sequence, optional
        Item ids; all by default. With several columns of items, a tuple of values for each.
    columns : sequence of str, optional
        Names of columns; all by default.
    origin : str
        Forecasts of a partition to read; see `OriginReader`.

    Raises
    ------
    ConfigError
        When the origin is none.
    DataNotFoundError
        When no partition matches, or none has this origin.
    SchemaError
        When the partitions are of types that do not fit one table.
    InputChangedError
        When a forecast was replaced after the run that wrote the manifest.
    """
    manifest, _ = read_manifest(outputs, generation.key)
    check_current(outputs, generation)
    if months is not None and months.latest:
        months = months.among(months_of(manifest))
    rows = [r for r in manifest.to_pylist() if _is_selected(r["partition"], months, partitions)]
    if not rows:
        raise DataNotFoundError(f"{generation.key}: holds none of the requested partitions")
    reader = OriginReader(outputs, origin, items=items, columns=columns)
    try:
        with ThreadPoolExecutor(READERS) as pool:
            tables = [table for table in pool.map(reader.read, rows) if table is not None]
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{generation.key}: a forecast was replaced after this manifest: {error.message}",
            hint="a run is under way or was killed; let one finish, then read again",
        ) from error
    if not tables:
        raise DataNotFoundError(
            f"{generation.key}: none of the requested partitions has a forecast of {origin}",
            hint='origin="all" reads all that are kept; the column cutoff has their times',
        )
    # The metadata of a file names its own partition only.
    return _joined([table.replace_schema_metadata() for table in tables], generation)


def months_of(manifest: pa.Table) -> list[Month]:
    """Return the months of the partitions of a manifest."""
    folders = {name.rpartition("/")[0] for name in manifest["partition"].to_pylist()}
    return [month for folder in folders if (month := month_of_folder(folder)) is not None]


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
        See `read_generation`.

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
    ) -> None:
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
        # By the ETag of the manifest: a forecast of a later run must not slip into this generation.
        if self._origin == LATEST:
            return self._table(row["key"], row["etag"], self._columns)
        if self._origin == ALL:
            return self._all(row)
        return self._of_day(row)

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
        rows = _concatenated([table.replace_schema_metadata() for table in remaining])
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


def check_current(outputs: Store, generation: Generation) -> None:
    """Check that no run failed to add its forecasts to the manifest of a generation.

    Raises
    ------
    InputChangedError
    """
    note = outdated_key(generation.model, generation.version, generation.spec)
    folder = outputs.list_folder(f"{generation.key.rpartition('/')[0]}/")
    if any(entry.key == note for entry in folder.objects):
        raise InputChangedError(
            f"{generation.key}: a later run has made forecasts, and could not write this manifest",
            hint="run again: a rerun writes it, or says why it can't",
        )


def _joined(tables: list[pa.Table], generation: Generation) -> pa.Table:
    """Return the rows of all tables."""
    try:
        return _concatenated(tables)
    except pa.ArrowException as error:
        raise SchemaError(
            f"{generation.key}: its partitions cannot be read as one table: {error}",
            hint="read them one by one, by partitions=[...] or months=...",
        ) from error


def _concatenated(tables: list[pa.Table]) -> pa.Table:
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


def _is_selected(
    partition: str, months: MonthFilter | None, partitions: Sequence[str] | None
) -> bool:
    if partitions is not None and partition not in partitions:
        return False
    if months is None:
        return True
    month = month_of_folder(partition.rpartition("/")[0])
    return month is not None and month in months


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
