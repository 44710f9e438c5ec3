"""Rows out of datasets, of many files at once, reading no more than is asked for.

A filter rules out files by their folders and by the bounds their manifest tells, then row groups by
their statistics, then rows. Files of older schemas are read as the newest one.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gigacast.core.contract.evolution import missing_columns, unify_schemas
from gigacast.core.dataset.partitioning import folder_values
from gigacast.core.dataset.predicate import Bounds, Predicate
from gigacast.errors import DataNotFoundError, SchemaError
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.storage.parquet.read import DEFAULT_BATCH_ROWS, open_parquet, translated_parquet
from gigacast.storage.parquet.scan import Scan, ScanStats, scan_parquet
from gigacast.storage.store import ObjectMeta, Store

_FOOTERS_AT_ONCE = 8


@dataclass(frozen=True)
class ReadFile:
    """One file to read: what is known of its rows before it is opened."""

    meta: ObjectMeta
    constants: Mapping[str, Any]
    bounds: Mapping[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetRows:
    """Rows to be read, as often as wanted, in batches.

    Parameters
    ----------
    store : Store
    files : tuple of ReadFile
    schema : pyarrow.Schema
        Of all files together.
    where : str
        For messages.
    """

    store: Store
    files: tuple[ReadFile, ...]
    schema: pa.Schema
    where: str

    def read(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        stats: ScanStats | None = None,
        batch_rows: int = DEFAULT_BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Iterate over the rows that match, in the order of the files.

        Raises
        ------
        SchemaError
            When a column asked for is in no file.
        CorruptedFileError, DatasetIntegrityError, StorageError
        """
        for rows in self.read_files(columns, predicate, stats=stats, batch_rows=batch_rows):
            yield from rows

    def read_files(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        stats: ScanStats | None = None,
        batch_rows: int = DEFAULT_BATCH_ROWS,
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Iterate over the files as `read` does over their rows."""
        self._check_columns(columns, predicate)
        stats = stats if stats is not None else ScanStats()
        for file in self.files:
            if predicate is not None and not _may_hold(file, predicate):
                stats.files_skipped += 1
                continue
            scan = Scan(
                columns=tuple(columns) if columns is not None else None,
                predicate=predicate,
                schema=self.schema,
                constants=file.constants,
                batch_rows=batch_rows,
            )
            yield iter(scan_parquet(self.store, file.meta, scan, stats))

    def table(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        stats: ScanStats | None = None,
    ) -> pa.Table:
        """Return the rows that match as one table."""
        batches = list(self.read(columns, predicate, stats=stats))
        return pa.Table.from_batches(batches, self.given_schema(columns))

    def given_schema(self, columns: Sequence[str] | None = None) -> pa.Schema:
        """Return the schema of the rows `read` gives."""
        if columns is None:
            return self.schema
        return pa.schema([self.schema.field(name) for name in columns])

    def _check_columns(self, columns: Sequence[str] | None, predicate: Predicate | None) -> None:
        known = set(self.schema.names).union(*(file.constants for file in self.files))
        missing = missing_columns(columns or (), self.schema)
        missing += [n for n in (predicate.columns if predicate else ()) if n not in known]
        if missing and self.files:
            raise SchemaError(
                f"{self.where} has no column {missing[0]!r}",
                hint=f"it has {', '.join(self.schema.names[:30])}",
            )


def _may_hold(file: ReadFile, predicate: Predicate) -> bool:
    matches, rest = predicate.settle(file.constants)
    return matches and (rest is None or rest.may_match(file.bounds))


def rows_of_version(store: Store, manifest: DatasetManifest, only: str = "") -> DatasetRows:
    """Return the rows of a published version, or of its files whose path starts with ``only``.

    Raises
    ------
    DataNotFoundError
        When it has no such file.
    """
    exact = [file for file in manifest.files if file.path == only]
    chosen = exact or [
        file for file in manifest.files if not only or file.path.startswith(f"{only.rstrip('/')}/")
    ]
    if only and not chosen:
        there = ", ".join(file.path for file in manifest.files[:5])
        raise DataNotFoundError(f"{manifest.ref} has no file {only!r}; it has: {there or 'none'}")
    files = tuple(
        ReadFile(
            ObjectMeta(file.path, file.content, file.size_bytes, 0),
            _own_constants(file.path, manifest.schema),
            file.bounds,
        )
        for file in chosen
    )
    return DatasetRows(store, files, manifest.schema, str(manifest.ref))


def _own_constants(path: str, schema: pa.Schema) -> dict[str, Any]:
    """Return what the folders say of names that are no columns: a column speaks for itself."""
    return {name: value for name, value in folder_values(path).items() if name not in schema.names}


def _hint_at(where: str) -> str:
    *_, layer, name = ("", *where.split("/"))
    if layer in {"cleaned", "features"}:
        return f"a dataset's path names its version: {layer}/v1/{name} or {layer}/latest/{name}"
    return "check the path"


def rows_of_folder(store: Store, prefix: str) -> DatasetRows:
    """Return the rows of a plain folder of Parquet files, or of one file.

    Columns that only the folders' names tell, as ``asset=EURUSD/``, are added to the rows.

    Raises
    ------
    DataNotFoundError
        When there are none.
    SchemaError
        When the files do not fit together.
    """
    metas = _data_files(store, prefix)
    where = f"{store.address.url}/{prefix}".rstrip("/")
    if not metas:
        raise DataNotFoundError(f"{where}: no Parquet file there", hint=_hint_at(where))
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE, thread_name_prefix="gigacast-footer") as pool:
        schemas = list(pool.map(lambda meta: _schema_of(store, meta), metas))
    schema = unify_schemas(schemas, where)
    told = [folder_values(meta.key) for meta in metas]
    for name in dict.fromkeys(name for values in told for name in values):
        if name not in schema.names:
            values = [value for one in told if (value := one.get(name)) is not None]
            if len({type(value) for value in values}) > 1:  # asset=007 beside asset=MES
                told = [_as_text(one, name) for one in told]
                values = [str(value) for value in values]
            schema = schema.append(pa.field(name, pa.array(values[:1] or [""]).type))
    files = tuple(
        ReadFile(meta, {n: v for n, v in values.items() if n not in own.names})
        for meta, values, own in zip(metas, told, schemas, strict=True)
    )
    return DatasetRows(store, files, schema, where)


def _as_text(values: dict[str, Any], name: str) -> dict[str, Any]:
    known = values.get(name)
    return {**values, name: None if known is None else str(known)} if name in values else values


def _data_files(store: Store, prefix: str) -> list[ObjectMeta]:
    """Return the Parquet files at or below a prefix; hidden names are none."""
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    found = [meta for page in store.list(prefix) for meta in page]
    exact = [meta for meta in found if meta.key == prefix]
    return exact or [
        meta
        for meta in found
        if meta.key.startswith(folder)
        and meta.key.endswith(".parquet")
        and not any(part.startswith((".", "_")) for part in meta.key.split("/"))
    ]


def _schema_of(store: Store, meta: ObjectMeta) -> pa.Schema:
    with open_parquet(store, meta, selective=True) as file, translated_parquet(store, meta.key):
        return file.schema_arrow.remove_metadata()
